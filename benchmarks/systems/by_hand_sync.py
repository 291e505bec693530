"""hiredis on a blocking socket a thread: the least that threads can take, as each waits for replies of its own."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import hiredis

from benchmarks.corpus import Message
from benchmarks.systems.base import LAST, TTL_SECONDS, slices

RECEIVED_BYTES = 64 * 1024


class System:
    """A socket for each thread at work; they outlive the threads, as those of a pool do."""

    def open(self, url: str) -> None:
        self._url = url
        self._idle: list[_Line] = []

    def prepare(self, messages: Sequence[Message]) -> list[Any]:
        from benchmarks.systems.elements import elements  # noqa: PLC0415 - chatmem is no part of this system's start

        return elements(self._url, messages)

    def seed(self, session: str, messages: list[Any]) -> None:
        for some in slices(messages):
            self._ask(("RPUSH", _key(session), *some))

    def turn(self, session: str, new: list[Any]) -> None:
        self.read(session, LAST)
        self.append(session, new)

    def read(self, session: str, last: int | None) -> int:
        (found,) = self._ask(("LRANGE", _key(session), -last if last else 0, -1))
        return len(found)

    def append(self, session: str, new: list[Any]) -> None:
        key = _key(session)
        self._ask(("RPUSH", key, *new), ("EXPIRE", key, TTL_SECONDS))

    def close(self) -> None:
        for line in self._idle:
            line.close()

    def _ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        try:
            line = self._idle.pop()
        except IndexError:
            line = _Line(self._url)
        replies = line.ask(commands)
        self._idle.append(line)
        return replies


class _Line:
    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader(notEnoughData=self)
        self._buffer = bytearray(RECEIVED_BYTES)
        self.ask([("SELECT", address.path.strip("/"))])
        self.close = self._socket.close

    def ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        self._socket.sendall(b"".join(map(hiredis.pack_command, commands)))
        return [self._reply() for _ in commands]

    def _reply(self) -> Any:
        while (reply := self._reader.gets()) is self:
            size = self._socket.recv_into(self._buffer)
            if not size:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(self._buffer, 0, size)
        if isinstance(reply, Exception):
            raise reply
        return reply


def _key(session: str) -> str:
    return f"alone:{session}"
