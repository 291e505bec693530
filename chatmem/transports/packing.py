"""Commands as the bytes of a request: at once, or in pieces where they are large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import hiredis

from chatmem.transports.base import Command

_PIECE = 64 * 1024
Piece = bytes | memoryview


def size_of(commands: Sequence[Command]) -> int:
    """Return about how many bytes the commands have."""
    return sum(map(len, commands[0])) if len(commands) == 1 else sum([sum(map(len, command)) for command in commands])


def packed(commands: Sequence[Command]) -> bytes:
    """Return the request."""
    if len(commands) == 1:
        return hiredis.pack_command(commands[0])  # type: ignore[arg-type, no-any-return]
    return b"".join([hiredis.pack_command(command) for command in commands])  # type: ignore[arg-type]


def pieces(commands: Sequence[Command]) -> Iterator[Piece]:
    """Yield the request piece by piece, each made when it is asked for: large arguments are not copied."""
    small: list[bytes] = []
    size = 0
    for command in commands:
        small.append(b"*%d\r\n" % len(command))
        for argument in command:
            data = argument.encode() if isinstance(argument, str) else argument
            small.append(b"$%d\r\n" % len(data))
            if len(data) > _PIECE:
                yield b"".join(small)
                small, size = [], 0
                view = memoryview(data)
                for start in range(0, len(data), _PIECE):
                    yield view[start : start + _PIECE]
            else:
                small.append(data)
                size += len(data)
            small.append(b"\r\n")
            if size > _PIECE:
                yield b"".join(small)
                small, size = [], 0
    yield b"".join(small)
