"""One JSON array of any length, item by item."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from chatmem.cli.unread import Unread

_AT_ONCE = 2**16
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class DamagedArrayError(ValueError):
    """It is no JSON from here on."""


class LargeItemError(ValueError):
    """An item is larger than it may be."""


class Array:
    """Holds one item, and little more than that.

    Attributes:
        begun: what was read as long as no item was whole, so that it can be read as something else.
    """

    def __init__(self, file: Unread, largest: int) -> None:
        """Read nothing yet.

        Args:
            file: where the array begins.
            largest: how many characters an item may have.
        """
        self.begun = b""
        self._file = file
        self._largest = largest
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._whole = False

    def items(self) -> Iterator[Any]:
        """Yield each item once what follows it is known to be right.

        Raises:
            DamagedArrayError: it is no array, or is not from here on.
            LargeItemError: an item is too large.
        """
        self._take("[")
        ended = self._next() == "]" and self._take("]") == "]"
        while not ended:
            item = self._item()
            ended = self._take(",]") == "]"
            self._whole, self.begun = True, b""
            yield item
        if self._next():
            raise DamagedArrayError("something stands behind its end")
        self.begun = b""

    def _take(self, marks: str) -> str:
        """Return the mark that comes next.

        Raises:
            DamagedArrayError: it is none of these.
        """
        mark = self._next()
        if not mark or mark not in marks:
            raise DamagedArrayError(f"{' or '.join(marks)} should follow")
        self._at += 1
        return mark

    def _next(self) -> str:
        """Return the next character that is no white space; empty at the end."""
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
                if end < len(self._text):  # else it may be a number that goes on
                    self._at = end
                    return item
            held = len(self._text) - self._at
            if held > self._largest:
                raise LargeItemError
            # as much again, so that all the tries together cost twice the last
            if not self._read(min(max(held, _AT_ONCE), self._largest + 1 - held)):
                raise DamagedArrayError(reason or "it ends within an item")

    def _read(self, size: int) -> bool:
        """Read more; return whether there was any."""
        data = self._file.read(size)
        if not self._whole:
            self.begun += data
        try:
            text = self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise DamagedArrayError(error) from None
        self._text, self._at = self._text[self._at :] + text, 0
        return bool(data)
