"""A system's process, as the coordinator sees it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.environments import AbsentError, python_of
from benchmarks.systems import Row

ROOT = Path(__file__).parent.parent
PATIENCE = 300.0
"""Seconds after which a system that does not answer is given up."""


class Process:
    """`benchmarks.worker` of one system. A context manager that ends it."""

    def __init__(self, row: Row, url: str, corpus: Path) -> None:
        """Start it.

        Raises:
            AbsentError: the system does not install or does not start.
        """
        self.row = row
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            command(row, "worker", url, corpus),
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        try:
            self.versions: dict[str, str] = self.ask("versions")
        except AbsentError:
            self.close()
            raise

    def ask(self, do: str, **parameters: Any) -> Any:
        """Let the worker do something, and return what it measured.

        Raises:
            AbsentError: it failed; the text says how.
        """
        assert self._process.stdin is not None  # noqa: S101 - for mypy
        assert self._process.stdout is not None  # noqa: S101
        try:
            self._process.stdin.write(json.dumps({"do": do, **parameters}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise AbsentError(self._last_words()) from None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        if not ready:
            self._process.kill()
            raise AbsentError(f"no answer within {PATIENCE:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise AbsentError(self._last_words())
        answer = json.loads(line)
        if "error" in answer:
            raise AbsentError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """Let the worker empty its database and end."""
        try:
            self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"it ended with code {self._process.returncode}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_up(row: Row, url: str, corpus: Path) -> dict[str, float]:
    """Run `benchmarks.startup` once: a new process, its import and its first turn.

    Raises:
        AbsentError: it failed.
    """
    arguments = command(row, "startup", url, corpus)
    done = subprocess.run(arguments, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise AbsentError((done.stderr.strip().splitlines() or ["it failed"])[-1])
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def command(row: Row, module: str, url: str, corpus: Path) -> list[str]:
    """Return how a module of this folder is run for a system, in the system's environment."""
    return [str(python_of(row)), "-m", f"benchmarks.{module}", row.name, url, str(corpus)]


def environment() -> dict[str, str]:
    """Return the variables of a worker: as here, but no tracing, and no warnings of what the peers deprecate."""
    settings = {"PYTHONWARNINGS": "ignore", "LANGCHAIN_TRACING_V2": "false", "OPENAI_AGENTS_DISABLE_TRACING": "1"}
    return {**os.environ, **settings}
