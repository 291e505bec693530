"""What a worker keeps of what it did: a line before each operation, and one when it was acknowledged.

A process that is killed leaves its journal; the next one of its number reads where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.chaos.model import Model, Op

Line = dict[str, Any]


class Journal:
    """A file of JSON, a line each."""

    def __init__(self, path: Path) -> None:
        """Open it, behind its last whole line."""
        self._file = path.open("ab", buffering=0)
        self._file.truncate(sum(len(line) + 1 for line in _whole_lines(path)))

    def write(self, **line: Any) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        self._file.close()


def lines(path: Path) -> Iterator[Line]:
    """Iterate over the lines that are whole: a killed process may leave half of one."""
    yield from map(json.loads, _whole_lines(path))


def _whole_lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


class Left:
    """Where a journal ends: the last story, its session, and the operation that may have been done."""

    def __init__(self, path: Path) -> None:
        self.story, self.done, self.lines = -1, 0, 0
        self.model, self.version = Model(), 0
        self.open: Op | None = None
        for line in lines(path):
            self._read(line)
            self.lines += 1

    def _read(self, line: Line) -> None:
        match line:
            case {"story": number}:
                self.story, self.model, self.version, self.open = number, Model(), 0, None
            case {"try": op}:
                self.open = op
            case {"acknowledged": version}:
                if self.open is not None:
                    self.model = self.model.after(self.open)
                self.version, self.open = max(self.version, version), None
                self.done += 1
            case {"found": found, "version": version}:  # what a session held after an operation that failed
                self.model = Model(
                    tuple((name, text) for name, text in found["messages"]), frozenset(found["keys"]), found["title"]
                )
                self.version, self.open = version, None
                self.done += 1
            case {"counted": count}:
                self.done += count
            case {"stored": _} | {"maybe": _} | {"refused": _}:
                self.done += 1
