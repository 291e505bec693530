"""The process of one system: `python -m benchmarks.worker SYSTEM URL CORPUS`, then a JSON line a request and answer.

It runs in the system's own environment, so it imports nothing but redis-py, the system, and this folder.
"""

from __future__ import annotations

import gc
import importlib
import json
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import IO, Any

from benchmarks.corpus import Corpus
from benchmarks.drivers import AsyncDriver, Call, ThreadDriver
from benchmarks.parts import Sampler
from benchmarks.stage import Stage
from benchmarks.systems import BY_NAME, Row

APPLICATION = ("fastapi", "langchain.agents", "langchain.chat_models", "langgraph.graph", "openai")
"""What a chat server imports: hundreds of thousands of objects that the garbage collector goes through."""


class Worker:
    """One system, its sessions, and how it is driven."""

    def __init__(self, row: Row, url: str, corpus: Corpus) -> None:
        self._row = row
        self._corpus = corpus
        self._pairs = corpus.pairs()
        self._driver = AsyncDriver() if row.asynchronous else ThreadDriver()
        self._stage = Stage(url, documents=row.needs_search)
        self._system: Any = importlib.import_module(f"benchmarks.systems.{row.module}").System()
        self._system.open(url)
        self._staged: tuple[int, int, int] = (0, 0, 0)

    def versions(self) -> dict[str, str]:
        """Return the versions that the results name."""
        found = {"python": platform.python_version()}
        for package in self._row.packages:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = "absent"
        return found

    def round(
        self,
        *,
        action: str,
        history: int,
        sessions: int,
        at_once: int = 1,
        last: int | None = None,
        seen: bool = False,
        repeats: int = 1,
        passes: int = 1,
        others: int = 0,
        skip: int = 0,
        parts: bool = False,
    ) -> dict[str, Any]:
        """Time an action once on each of the sessions.

        Args:
            action: "turn", "read" or "append".
            history: how many messages each session holds, at the beginning of each action.
            sessions: how many sessions there are. No session serves twice, unless `repeats` says so.
            at_once: how many of them are served at once, the others after them.
            last: of "read": how many messages from the end; None for all.
            seen: whether this process has read the session before, as where a user comes back to the same server.
            repeats: how many times each session is served. More than once only where the history is so long that what
                a turn adds is nothing to it, and that copying it before each turn would leave cold caches.
            passes: how many times all of this is done.
            others: how many more sessions lie in the server.
            skip: how many messages of the corpus the histories leave out at its beginning.
            parts: whether to tell what the main thread spends its user time on.
        """
        self._make_template(history, others, skip)
        measured = Measured(self._stage.server_cpu, Sampler() if parts else None)
        names = self._stage.copies(sessions)
        for number in range(passes):
            if number:
                names = self._stage.renamed() if action == "read" else self._stage.copies(sessions)
            if seen:
                self._driver.run([[self._read(name, last or 50) for name in names]])
            calls = self._calls(action, names * repeats, last)
            measured.run(lambda: self._driver.run([calls[i::at_once] for i in range(at_once)]))  # noqa: B023 - called now
        return measured.result()

    def application(self, **request: Any) -> dict[str, float]:
        """Time a round in a process that has imported what a chat server imports, without and with `gc.freeze`.

        The imports cannot be undone, so later rounds of other scenarios have them too. Where one thread does all the
        work, the figures have its parts.
        """
        for name in APPLICATION:
            with suppress(ModuleNotFoundError):  # a peer's environment has other packages
                importlib.import_module(name)
        usual = self.round(**request, parts=self._row.asynchronous)
        gc.collect()
        gc.freeze()
        frozen = self.round(**request, parts=self._row.asynchronous)
        gc.unfreeze()
        return {**usual, **{f"frozen_{metric}": value for metric, value in frozen.items()}}

    def memory(self, *, history: int) -> dict[str, float]:
        """Return what a message takes in the server, of all keys of a session."""
        self._make_template(history, 0, 0)
        return {"bytes": self._stage.bytes_used() / history}

    def beside(self, *, history: int, appends: int, reading: bool) -> dict[str, float]:
        """Time appends to a small session, alone or while another coroutine reads a large one again and again."""
        self._make_template(history, 0, 0)
        (large,) = self._stage.copies(1)
        queue = self._appends_to("small", appends)
        driver: Any = self._driver
        took = driver.beside(queue, self._read(large, None)) if reading else driver.run([queue])
        return {"p50": _quantile(took, 0.5), "p99": _quantile(took, 0.99)}

    def close(self) -> None:
        """Close everything."""
        self._driver.wait(self._system.close())
        self._driver.close()
        self._stage.close()

    def _make_template(self, history: int, others: int, skip: int) -> None:
        if (history, others, skip) != self._staged:
            messages = self._system.prepare(self._corpus.history(history, skip=skip))
            self._stage.make_template(lambda name: self._driver.wait(self._system.seed(name, messages)))
            self._stage.additional(others)
            self._staged = history, others, skip

    def _calls(self, action: str, names: list[str], last: int | None) -> list[Call]:
        if action == "read":
            return [self._read(name, last) for name in names]
        method = getattr(self._system, action)
        return [partial(method, name, pair) for name, pair in zip(names, self._new(len(names)), strict=True)]

    def _read(self, name: str, last: int | None) -> Call:
        return partial(self._system.read, name, last)

    def _appends_to(self, name: str, number: int) -> list[Call]:
        return [partial(self._system.append, name, pair) for pair in self._new(number)]

    def _new(self, number: int) -> list[list[Any]]:
        flat = [message for pair in islice(self._pairs, number) for message in pair]
        prepared = self._system.prepare(flat)
        return [prepared[i : i + 2] for i in range(0, len(prepared), 2)]


class Measured:
    """Adds up wall time, CPU of this process with all its threads and of the server, and the collector's time."""

    def __init__(self, server_cpu: Callable[[], float], sampler: Sampler | None = None) -> None:
        self._server_cpu = server_cpu
        self._sampler = sampler
        self._took: list[float] = []
        self._pauses: list[float] = []
        self._collecting_since = self._collector_since = 0.0
        self._wall = self._cpu = self._kernel = self._server = self._collector = 0.0

    def run(self, what: Callable[[], list[float]]) -> None:
        """Run it and add what it took."""
        if not self._took:
            gc.collect()  # what the preparation left is not this round's; once, as it costs more than a small pass
        gc.callbacks.append(self._note_collection)
        server, wall, cpu, kernel = self._server_cpu(), time.perf_counter(), time.process_time(), _kernel_seconds()
        with self._sampler or nullcontext():
            self._took += what()
        gc.callbacks.remove(self._note_collection)
        self._wall += time.perf_counter() - wall
        self._cpu += time.process_time() - cpu
        self._kernel += _kernel_seconds() - kernel
        self._server += self._server_cpu() - server

    def _note_collection(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since, self._collector_since = time.perf_counter(), time.thread_time()
        else:
            self._pauses.append(time.perf_counter() - self._collecting_since)
            self._collector += time.thread_time() - self._collector_since

    def result(self) -> dict[str, float]:
        """Return the figures of a call."""
        number = len(self._took)
        return {
            "p50": _quantile(self._took, 0.5),
            "p99": _quantile(self._took, 0.99),
            "per_second": number / self._wall,
            "cpu": self._cpu / number,
            "kernel": self._kernel / number,
            "collector": self._collector / number,
            "longest_pause": max(self._pauses, default=0.0),
            "server_cpu": self._server / number,
            **self._parts(),
        }

    def _parts(self) -> dict[str, float]:
        """Return the parts of user time; a sample cannot come while the collector runs."""
        if self._sampler is None:
            return {}
        user = max(self._cpu - self._kernel - self._collector, 0.0) / len(self._took)
        return {name: share * user for name, share in self._sampler.stop().items()}


def _kernel_seconds() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_stime


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def _answers() -> IO[str]:
    """Return a stream of the standard output that nothing which a system prints can get into."""
    stream = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return stream


def main() -> None:
    """Serve requests until the input ends."""
    name, url, corpus = sys.argv[1:]
    answers = _answers()
    worker = Worker(BY_NAME[name], url, Corpus(Path(corpus)))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": getattr(worker, request.pop("do"))(**request)}
        except Exception as error:  # noqa: BLE001 - the run goes on without this system, and says why
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)
    worker.close()


if __name__ == "__main__":
    main()
