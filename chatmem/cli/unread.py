"""Bytes that can be put back."""

from __future__ import annotations

import io


class Unread:
    """A file whose beginning was looked at, and is to be read again."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self._again = io.BytesIO()

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer at the end only."""
        again = self._again.read(size)
        return again + self._file.read(size - len(again)) if len(again) < size else again

    def readline(self, size: int) -> bytes:
        """Return the rest of the line, or so many bytes of it; nothing at the end."""
        line = self._again.readline(size)
        if len(line) < size and not line.endswith(b"\n"):
            line += self._file.readline(size - len(line))
        return line

    def put_back(self, data: bytes) -> None:
        """Take bytes that were read last, to be read again."""
        self._again = io.BytesIO(data + self._again.read())
