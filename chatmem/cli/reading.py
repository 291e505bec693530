"""The file that `chatmem import` reads, line by line."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chatmem.cli.lines import LineError

_GZIP = b"\x1f\x8b"


class File:
    """JSONL, one JSON array, or one JSON object; gzipped or not; - is standard input."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._raw: io.BufferedReader | None = None

    @property
    def size(self) -> int | None:
        """Bytes that there are to read, where that is known."""
        return self._path.stat().st_size if self._path.is_file() else None

    @property
    def done(self) -> int:
        """Bytes that were read."""
        return self._raw.tell() if self._raw is not None and self._raw.seekable() else 0

    def rows(self) -> Iterator[tuple[str, Any]]:
        """Yield each row and where it is: a line of JSONL, an item of an array, or one object.

        A line is yielded as bytes, to be parsed by `parse`.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is damaged gzip.
        """
        with self._opened() as file:
            try:
                yield from self._rows(file)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise ValueError(f"{self._path} is damaged gzip: {error}") from None

    @contextmanager
    def _opened(self) -> Iterator[io.BufferedIOBase]:
        if str(self._path) == "-":
            raw: io.BufferedReader = sys.stdin.buffer  # type: ignore[assignment]
        else:
            raw = self._path.open("rb")
        try:
            self._raw = raw
            if raw.peek(2)[:2] == _GZIP:
                with gzip.open(raw) as unpacked:
                    yield unpacked
            else:
                yield raw
        finally:
            if raw is not sys.stdin.buffer:
                raw.close()

    def _rows(self, file: io.BufferedIOBase) -> Iterator[tuple[str, Any]]:
        """Lines end at a newline only: text in JSON may hold U+2028 and others that `splitlines` takes for ends."""
        lines = ((number, line) for number, line in enumerate(file, 1) if line.strip())
        number, first = next(lines, (0, b""))
        first = first.removeprefix(codecs.BOM_UTF8)
        if _is_json(first):
            second = next(lines, None)
            if second is not None:
                yield from _numbered(itertools.chain([(number, first), second], lines))
                return
            data = first
        else:
            data = b"\n" * (number - 1) + first + b"".join(file)
        if not _is_json(data):
            yield from _numbered((n, line) for n, line in enumerate(data.split(b"\n"), 1) if line.strip())
            return
        whole = json.loads(data)
        if isinstance(whole, list):
            yield from ((f"item {n}", item) for n, item in enumerate(whole, 1))
        else:
            yield "line 1", self._with_id(whole)

    def _with_id(self, whole: Any) -> Any:
        """Name a conversation without an id for its file, which it has for itself: two of them would be mixed up."""
        if isinstance(whole, dict) and "messages" in whole and "id" not in whole and str(self._path) != "-":
            return {"id": self._path.name.split(".")[0], **whole}
        return whole


def _numbered(lines: Iterator[tuple[int, bytes]]) -> Iterator[tuple[str, bytes]]:
    return ((f"line {number}", line) for number, line in lines)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def parse(row: Any) -> dict[str, Any]:
    """Return the object that a row is.

    Raises:
        LineError: it is none.
    """
    try:
        value = json.loads(row) if isinstance(row, bytes) else row
    except (ValueError, RecursionError) as error:
        raise LineError(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise LineError('no conversation: it must be {"id": ..., "messages": [...]}')
    return value
