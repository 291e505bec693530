"""An incremental reader of one JSON array of any length."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from chatmem.cli.formats.pushback import PushbackFile

_AT_ONCE = 2**16
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class DamagedArrayError(ValueError):
    """The text is not a JSON array, or stops being one."""


class LargeItemError(ValueError):
    """An item is larger than allowed."""


class JsonArray:
    """Reads an array item by item, so that little more than one item is in memory.

    Attributes:
        begun: the bytes read so far, until the first item is complete; so the file can be read as another format.
    """

    def __init__(self, file: PushbackFile, largest: int) -> None:
        """Prepare to read; nothing is read yet.

        Args:
            file: a file that stands at the beginning of the array.
            largest: the largest size of an item, in characters.
        """
        self.begun = b""
        self._file = file
        self._largest = largest
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._has_item = False

    def items(self) -> Iterator[Any]:
        """Yield each item after checking that a comma or the array's end follows it.

        Raises:
            DamagedArrayError: the text is not an array, or stops being one.
            LargeItemError: an item is too large.
        """
        self._take("[")
        ended = self._next() == "]" and self._take("]") == "]"
        while not ended:
            item = self._item()
            ended = self._take(",]") == "]"
            self._has_item, self.begun = True, b""
            yield item
        if self._next():
            raise DamagedArrayError("text follows the end of the array")
        self.begun = b""

    def _take(self, marks: str) -> str:
        """Read and return the next mark.

        Raises:
            DamagedArrayError: the next character is none of these marks.
        """
        mark = self._next()
        if not mark or mark not in marks:
            raise DamagedArrayError(f"{' or '.join(marks)} expected")
        self._at += 1
        return mark

    def _next(self) -> str:
        """Return the next character that is not white space; empty at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or not self._read(_AT_ONCE):
                return self._text[self._at : self._at + 1]

    def _item(self) -> Any:
        self._next()
        while True:
            reason: Exception | None = None
            try:
                item, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                reason = error
            else:
                if end < len(self._text):  # otherwise it may be a number of which more digits follow
                    self._at = end
                    return item
            held = len(self._text) - self._at
            if held > self._largest:
                raise LargeItemError
            # double what is held, so that all tries together cost no more than twice the last one
            if not self._read(min(max(held, _AT_ONCE), self._largest + 1 - held)):
                raise DamagedArrayError(reason or "the text ends inside an item")

    def _read(self, size: int) -> bool:
        """Read more; return whether there was any."""
        data = self._file.read(size)
        if not self._has_item:
            self.begun += data
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise DamagedArrayError(error) from None
        self._text, self._at = self._text[self._at :] + text, 0
        return bool(data)
