"""hiredis on a socket: the least that turns of one event loop can take in Python.

What all coroutines ask for in one step of the loop goes out in one write, and the process waits for the replies. No
program that serves others can wait like that. The CPU that this takes is the limit of one that could.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import hiredis

from benchmarks.corpus import Message
from benchmarks.systems.base import LAST, TTL_SECONDS, slices


class System:
    """One socket."""

    def open(self, url: str) -> None:
        self._url = url
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port))
        self._reader = hiredis.Reader(notEnoughData=self)
        self._unsent: list[bytes] = []
        self._waiting: list[tuple[asyncio.Future[list[Any]], int]] = []
        self._socket.sendall(_packed(("SELECT", address.path.strip("/"))))
        self._reply()

    def prepare(self, messages: Sequence[Message]) -> list[Any]:
        from benchmarks.systems.elements import elements  # noqa: PLC0415 - chatmem is no part of this system's start

        return elements(self._url, messages)

    async def seed(self, session: str, messages: list[Any]) -> None:
        for some in slices(messages):
            await self._ask(("RPUSH", _key(session), *some))

    async def turn(self, session: str, new: list[Any]) -> None:
        await self.read(session, LAST)
        await self.append(session, new)

    async def read(self, session: str, last: int | None) -> int:
        (found,) = await self._ask(("LRANGE", _key(session), -last if last else 0, -1))
        return len(found)

    async def append(self, session: str, new: list[Any]) -> None:
        key = _key(session)
        await self._ask(("RPUSH", key, *new), ("EXPIRE", key, TTL_SECONDS))

    async def close(self) -> None:
        self._socket.close()

    async def _ask(self, *commands: tuple[Any, ...]) -> list[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any]] = loop.create_future()
        self._unsent += map(_packed, commands)
        self._waiting.append((future, len(commands)))
        if len(self._waiting) == 1:
            loop.call_soon(self._exchange)
        return await future

    def _exchange(self) -> None:
        self._socket.sendall(b"".join(self._unsent))
        for future, count in self._waiting:
            future.set_result([self._reply() for _ in range(count)])
        self._unsent.clear()
        self._waiting.clear()

    def _reply(self) -> Any:
        while (reply := self._reader.gets()) is self:
            self._reader.feed(self._socket.recv(1 << 16))
        if isinstance(reply, Exception):
            raise reply
        return reply


def _key(session: str) -> str:
    return f"alone:{session}"


_packed: Any = hiredis.pack_command
"""Packs one command. Its annotations are of a tuple of one word."""
