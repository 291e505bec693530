"""A file from which bytes can be read and pushed back."""

from __future__ import annotations

import io


class PushbackFile:
    """A binary file whose beginning can be looked at and then read again; the file need not be seekable."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self._pushed = io.BytesIO()

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        pushed = self._pushed.read(size)
        return pushed + self._file.read(size - len(pushed)) if len(pushed) < size else pushed

    def readline(self, size: int) -> bytes:
        """Return the rest of the line, at most `size` bytes of it; nothing at the end."""
        line = self._pushed.readline(size)
        if len(line) < size and not line.endswith(b"\n"):
            line += self._file.readline(size - len(line))
        return line

    def push_back(self, data: bytes) -> None:
        """Put back the bytes that were read last; the next call reads them again."""
        self._pushed = io.BytesIO(data + self._pushed.read())
