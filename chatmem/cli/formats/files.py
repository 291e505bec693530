"""The file that `chatmem import` reads: row by row, so that memory is bounded whatever it unpacks to."""

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

from chatmem.cli.arrays import Array, DamagedArrayError, LargeItemError
from chatmem.cli.formats.jsonl import LineError
from chatmem.cli.unread import Unread

MIB = 2**20
_GZIP = b"\x1f\x8b"


class File:
    """JSONL, one JSON array, or one JSON object; gzipped or not; - is standard input."""

    def __init__(self, path: Path, largest: int) -> None:
        """Open nothing yet.

        Args:
            path: the file.
            largest: bytes that a line, an item of an array, or an object may have. Parsed, they may take 30 times that
                in memory, and no more than one is held at a time.
        """
        self._path = path
        self._largest = largest
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
        """Yield each row and where it is: a line of JSONL, an item of an array, or one object; `parse` reads it.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is damaged gzip, or an array that is damaged or has an item that is too large.
        """
        with self._opened() as file:
            try:
                yield from self._rows(Unread(file))
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

    def _rows(self, file: Unread) -> Iterator[tuple[str, Any]]:
        """Find out by the first line what it is.

        Lines end at a newline only: text in JSON may hold U+2028 and others that `splitlines` takes for ends.
        """
        number, first = self._first_line(file)
        if _is_json(first):
            rest = self._lines(file, number + 1)
            second = next(rest, None)
            if second is None:
                yield from self._document(_load(first))
            else:
                yield from itertools.chain([(f"line {number}", first), second], rest)
            return
        file.put_back(first)
        if first[:1] == b"[":
            array = Array(file, self._largest)
            yield from self._items(array)
            if not array.begun:
                return
            file.put_back(array.begun)
        elif first[:1] == b"{":
            data = file.read(self._largest + 1)
            if len(data) <= self._largest and _is_json(data):
                yield from self._document(_load(data))
                return
            file.put_back(data)
        yield from self._lines(file, number)

    def _first_line(self, file: Unread) -> tuple[int, bytes]:
        """Return the first line that is not blank, no more of it than a line may have, and its number."""
        for number in itertools.count(1):
            line = file.readline(self._largest + 1)
            text = line.removeprefix(codecs.BOM_UTF8).lstrip()
            if text or not line:
                return number, text
        raise AssertionError("unreachable")

    def _lines(self, file: Unread, number: int) -> Iterator[tuple[str, Any]]:
        """Yield the lines that are not blank, the first of them by its number."""
        while line := file.readline(self._largest + 1):
            if len(line) > self._largest and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = file.readline(self._largest)
                yield f"line {number}", LineError(f"it is longer than {self._limit}")
            elif line.strip():
                yield f"line {number}", line
            number += 1

    def _items(self, array: Array) -> Iterator[tuple[str, Any]]:
        """Yield the items of an array; none, where it turns out to be something else before its first is whole."""
        read = 0
        try:
            for item in array.items():
                read += 1
                yield f"item {read}", item
        except LargeItemError:
            raise ValueError(f"item {read + 1} is longer than {self._limit}") from None
        except DamagedArrayError as error:
            if read:
                raise ValueError(f"{self._path} is a damaged array, behind item {read}: {error}") from None

    @property
    def _limit(self) -> str:
        return f"{self._largest // MIB:,} MiB: --max-line sets how many MiB a line or an item may have"

    def _document(self, whole: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(whole, list):
            yield from ((f"item {n}", item) for n, item in enumerate(whole, 1))
        else:
            yield "line 1", self._with_id(whole)

    def _with_id(self, whole: Any) -> Any:
        """Name a conversation without an id for its file, which it has for itself: two of them would be mixed up."""
        if isinstance(whole, dict) and "messages" in whole and "id" not in whole and str(self._path) != "-":
            return {"id": self._path.name.split(".")[0], **whole}
        return whole


def _is_json(data: bytes) -> bool:
    try:
        _load(data)
    except (ValueError, RecursionError):
        return False
    return True


def _load(data: bytes) -> Any:
    return json.loads(data.decode("utf-8", "surrogatepass"))  # of bytes it would guess other encodings


def parse(row: Any) -> dict[str, Any]:
    """Return the object that a row is.

    Raises:
        LineError: it is none.
    """
    if isinstance(row, LineError):
        raise row
    try:
        value = _load(row) if isinstance(row, bytes) else row
    except (ValueError, RecursionError) as error:
        raise LineError(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise LineError('no conversation: it must be {"id": ..., "messages": [...]}')
    return value
