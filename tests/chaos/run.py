"""A run: workers, what happens to them and to the servers meanwhile, and what is there at its end."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from langchain_core import messages as lc

import chatmem.sync
from tests.chaos import shared
from tests.chaos.journal import lines
from tests.chaos.sites import ROWS, Site
from tests.chaos.victim import PARTS
from tests.chaos.worker import PREFIX, TTL, Task, journal_path, work

SKEW = 600.0
"""Seconds by which clocks are wrong, one way and the other."""
CALM = (0.1, 0.8)
"""Seconds between two disturbances, from and to."""
KILLS = 0.15
"""How often it is a worker that is killed."""


@dataclass
class Outcome:
    """What became of a run."""

    row: str
    acknowledged: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    disturbances: Counter[str] = field(default_factory=Counter)
    verdicts: list[tuple[str, str]] = field(default_factory=list)

    def count(self, kind: str) -> int:
        return sum(one == kind for one, _ in self.verdicts)


@dataclass
class Worker:
    """A running process, and the pipe to it."""

    task: Task
    process: BaseProcess
    pipe: Connection

    @classmethod
    def start(cls, task: Task) -> Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(task, theirs), daemon=True)
        process.start()
        theirs.close()
        return cls(task, process, ours)


class Run:
    """Workers on a site."""

    def __init__(self, site: Site, folder: Path, outcome: Outcome, seed: str) -> None:
        self._site, self._folder, self._outcome = site, folder, outcome
        self._rng = random.Random(seed)
        self._workers: list[Worker] = []

    def work(self, tasks: list[Task]) -> None:
        """Let the workers work, and disturb them, until all of them are done."""
        with chatmem.sync.connect(self._site.url, prefix=PREFIX, ttl=TTL) as memory:
            other = [lc.HumanMessage("of another life", id=f"kept {number}") for number in range(3)]
            memory.history("another life").append(*other, idempotency_key="kept")
        self._workers = [Worker.start(task) for task in tasks]
        until = time.monotonic() + self._rng.uniform(*CALM)
        while self._workers:
            self._serve(max(until - time.monotonic(), 0))
            if self._workers and (began := time.monotonic()) >= until:
                self._disturb()
                took = time.monotonic() - began  # so that at least half of the time is for work
                until = time.monotonic() + max(self._rng.uniform(*CALM), took)
        self._site.settle()

    def _serve(self, seconds: float) -> None:
        """Answer workers that wait until nothing is on its way, and let those go that are done."""
        for ready in wait([worker.pipe for worker in self._workers], seconds):
            worker = next(one for one in self._workers if one.pipe is ready)
            try:
                worker.pipe.recv()
            except EOFError:
                worker.process.join()
                if worker.process.exitcode:
                    self._outcome.verdicts.append(("wrong", f"worker {worker.task.number} ended with an error"))
                self._workers.remove(worker)
            else:
                threading.Thread(target=self._settle, args=(worker.pipe,), daemon=True).start()

    def _settle(self, pipe: Connection) -> None:
        self._site.settle()
        with suppress(OSError):  # its process was killed meanwhile
            pipe.send("settled")

    def _disturb(self) -> None:
        if self._rng.random() < KILLS:
            worker = self._rng.choice(self._workers)
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()
            self._site.settle()
            self._workers[self._workers.index(worker)] = Worker.start(worker.task)
            self._outcome.disturbances["kill a worker"] += 1
            return
        name = self._rng.choice(list(self._site.disturbances))
        self._site.disturbances[name]()
        self._outcome.disturbances[name] += 1

    def check(self, tasks: list[Task]) -> None:
        """Compare what is there with the journals."""
        journals = [
            list(lines(journal_path(self._folder, task.number, lane))) for task in tasks for lane in range(task.lanes)
        ]
        outcome = self._outcome
        for line in (line for journal in journals for line in journal):
            if "error" in line:
                outcome.errors[line["error"]] += 1
            elif "verdict" in line:
                outcome.verdicts.append((line["verdict"], line["what"]))
            outcome.acknowledged += line.get("counted", int("acknowledged" in line or "stored" in line))
        with chatmem.sync.connect(self._site.url, prefix=PREFIX, ttl=TTL) as memory:
            for session, told in shared.claims(journals).items():
                entries = list(memory.history(session).entries())
                outcome.verdicts += shared.verdicts(session, told, entries)
                if entries and not self._site.loses:
                    listed = {one.session_id for one in memory.sessions(shared.USER, limit=1000).sessions}
                    if session not in listed:
                        outcome.verdicts.append(("wrong", f"{session}: is not among the user's sessions"))
        outcome.verdicts += _deadlines(self._site)


def _deadlines(site: Site) -> Iterator[tuple[str, str]]:
    """The keys of a session expire together; what lies beside them, for a fork that was not finished, expires too."""
    client = site.raw()
    ends: dict[str, dict[str, int]] = {}
    for key in client.scan_iter(f"{PREFIX}:{{*", count=1000):
        session, _, part = key.decode().rpartition(":")
        end = int(client.pexpiretime(key))
        if end == -2:  # it has expired since it was found
            continue
        if part in PARTS:
            ends.setdefault(session, {})[part] = end
        elif end < 0:
            yield "wrong", f"{key!r} never expires"
    for session, parts in ends.items():
        lost_some = any(name in session for name in ("{victim", "{evicted"))
        if (len(set(parts.values())) > 1 or min(parts.values()) < 0) and not lost_some:
            yield "wrong", f"{session}: expires in parts: {parts}"
    client.close()


def run(row: str, operations: int, seed: str, *, processes: int = 4, lanes: int = 3) -> Outcome:
    """Do so many operations on a row's servers; return what became of them."""
    outcome = Outcome(row)
    with ROWS[row](seed) as site, tempfile.TemporaryDirectory(prefix="chatmem-") as folder:
        share = max(operations // (processes * lanes), 1)
        tasks = [
            Task(
                number=number,
                folder=Path(folder),
                how=site.how,
                raw=site.raw,
                blocking=number % 2 == 1,
                lanes=lanes,
                operations=share,
                seed=f"{seed} {row}",
                skew=(0.0, -SKEW, SKEW)[number % 3],
                loses=site.loses,
                evicts=site.evicts,
            )
            for number in range(processes)
        ]
        running = Run(site, Path(folder), outcome, f"{seed} {row}")
        running.work(tasks)
        running.check(tasks)
    return outcome


def described(outcome: Outcome) -> str:
    """Return a line of the table."""
    errors = ", ".join(f"{kind} {count:,}" for kind, count in outcome.errors.most_common())
    torn = outcome.errors["TornSessionError"]
    return (
        f"{outcome.row:10}{outcome.acknowledged + outcome.errors.total():12,}{outcome.acknowledged:14,}"
        f"{outcome.count('lost'):6}{outcome.count('doubled'):9}{outcome.count('wrong'):7}{torn:7,}  {errors or 'none'}"
    )


HEAD = (
    f"{'row':10}{'operations':>12}{'acknowledged':>14}{'lost':>6}{'doubled':>9}{'wrong':>7}{'torn':>7}  errors by kind"
)


def details(outcome: Outcome, most: int = 1000) -> Any:
    """Return what happened to the servers, and the first things that were not as they should be."""
    happened = ", ".join(f"{name} {count}" for name, count in outcome.disturbances.most_common())
    return "\n".join(
        [f"  {outcome.row}: {happened or 'nothing'}", *(f"  {kind}: {what}" for kind, what in outcome.verdicts[:most])]
    )
