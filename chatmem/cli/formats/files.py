"""Files that `chatmem import` reads, row by row, so that memory stays bounded whatever they unpack to."""

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

from chatmem.cli.formats.fields import LineError
from chatmem.cli.formats.json_array import DamagedArrayError, JsonArray, LargeItemError
from chatmem.cli.formats.pushback import PushbackFile

MIB = 2**20
_GZIP = b"\x1f\x8b"


class File:
    """A file of JSONL, one JSON array or one JSON object, gzipped or not; `-` is stdin."""

    def __init__(self, path: Path, largest: int) -> None:
        """Describe the file; it is not opened yet.

        Args:
            path: the file's path.
            largest: the largest size of a line, an array's item or an object, in bytes. One at a time is in memory;
                parsed, it may take 30 times its size.
        """
        self._path = path
        self._largest = largest
        self._raw: io.BufferedReader | None = None

    @property
    def size(self) -> int | None:
        """The file's size in bytes, or None if it is not a regular file."""
        return self._path.stat().st_size if self._path.is_file() else None

    @property
    def done(self) -> int:
        """How many bytes were read."""
        return self._raw.tell() if self._raw is not None and self._raw.seekable() else 0

    def rows(self) -> Iterator[tuple[str, Any]]:
        """Yield each row and its place: a line of JSONL, an item of an array, or one object. `parse` takes a row.

        Raises:
            OSError: the file cannot be read.
            ValueError: the gzip data or the array is damaged, or an item is too large.
        """
        with self._opened() as file:
            try:
                yield from self._rows(PushbackFile(file))
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise ValueError(f"{self._path}: the gzip data is damaged: {error}") from None

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

    def _rows(self, file: PushbackFile) -> Iterator[tuple[str, Any]]:
        """Recognise the format by the first line.

        Only a newline ends a line: text in JSON may hold U+2028 and others that `splitlines` takes for line ends.
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
        file.push_back(first)
        if first[:1] == b"[":
            array = JsonArray(file, self._largest)
            yield from self._items(array)
            if not array.begun:
                return
            file.push_back(array.begun)
        elif first[:1] == b"{":
            data = file.read(self._largest + 1)
            if len(data) <= self._largest and _is_json(data):
                yield from self._document(_load(data))
                return
            file.push_back(data)
        yield from self._lines(file, number)

    def _first_line(self, file: PushbackFile) -> tuple[int, bytes]:
        """Return the number of the first line that is not blank, and the line, cut at the largest size."""
        for number in itertools.count(1):
            line = file.readline(self._largest + 1)
            text = line.removeprefix(codecs.BOM_UTF8).lstrip()
            if text or not line:
                return number, text
        raise AssertionError("unreachable")

    def _lines(self, file: PushbackFile, number: int) -> Iterator[tuple[str, Any]]:
        """Yield the lines that are not blank; `number` is that of the first line."""
        while line := file.readline(self._largest + 1):
            if len(line) > self._largest and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = file.readline(self._largest)
                yield f"line {number}", LineError(f"longer than {self._limit}")
            elif line.strip():
                yield f"line {number}", line
            number += 1

    def _items(self, array: JsonArray) -> Iterator[tuple[str, Any]]:
        """Yield the items of an array; none if the text turns out not to be an array within the first item."""
        read = 0
        try:
            for item in array.items():
                read += 1
                yield f"item {read}", item
        except LargeItemError:
            raise ValueError(f"item {read + 1} is longer than {self._limit}") from None
        except DamagedArrayError as error:
            if read:
                raise ValueError(f"{self._path}: the array is damaged after item {read}: {error}") from None

    @property
    def _limit(self) -> str:
        return f"{self._largest // MIB:,} MiB; raise the limit with --max-line"

    def _document(self, whole: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(whole, list):
            yield from ((f"item {n}", item) for n, item in enumerate(whole, 1))
        else:
            yield "line 1", self._with_id(whole)

    def _with_id(self, whole: Any) -> Any:
        """Give a file's only conversation the file's name as its id, if it has none."""
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
    return json.loads(data.decode("utf-8", "surrogatepass"))  # given bytes, it would guess other encodings


def parse(row: Any) -> dict[str, Any]:
    """Return the JSON object in a row.

    Raises:
        LineError: the row is not a JSON object.
    """
    if isinstance(row, LineError):
        raise row
    try:
        value = _load(row) if isinstance(row, bytes) else row
    except (ValueError, RecursionError) as error:
        raise LineError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise LineError('not a conversation: expected {"id": ..., "messages": [...]}')
    return value
