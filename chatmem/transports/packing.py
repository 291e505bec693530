"""Commands as the bytes of a request: at once, or in pieces where they are large."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import hiredis

from chatmem.transports.base import Command

_PIECE_BYTES = 64 * 1024
Piece = bytes | memoryview

_untyped: Any = hiredis.pack_command  # hiredis' own annotation wants tuples of one item
_pack = cast("Callable[[Command], bytes]", _untyped)


def size_of(commands: Sequence[Command]) -> int:
    """Return about how many bytes the commands have."""
    return sum(map(len, commands[0])) if len(commands) == 1 else sum([sum(map(len, command)) for command in commands])


def packed(commands: Sequence[Command]) -> bytes:
    """Return the request."""
    return _pack(commands[0]) if len(commands) == 1 else b"".join([_pack(command) for command in commands])


def pieces(commands: Sequence[Command]) -> Iterator[Piece]:
    """Yield the request in pieces, each made on demand. Large arguments are not copied."""
    small: list[bytes] = []
    size = 0
    for command in commands:
        small.append(b"*%d\r\n" % len(command))
        for argument in command:
            data = argument.encode() if isinstance(argument, str) else argument
            small.append(b"$%d\r\n" % len(data))
            if len(data) > _PIECE_BYTES:
                yield b"".join(small)
                small, size = [], 0
                view = memoryview(data)
                for start in range(0, len(data), _PIECE_BYTES):
                    yield view[start : start + _PIECE_BYTES]
            else:
                small.append(data)
                size += len(data)
            small.append(b"\r\n")
            if size > _PIECE_BYTES:
                yield b"".join(small)
                small, size = [], 0
    yield b"".join(small)
