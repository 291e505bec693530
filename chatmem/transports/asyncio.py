"""A redis.asyncio client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from redis.asyncio import Redis
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError, ResponseError

from chatmem.transports.base import Command, KnownScripts
from chatmem.transports.errors import REDIS_ERRORS, translate


class AsyncioTransport:
    """Runs commands on redis.asyncio clients: one an event loop and process, since they cannot be shared."""

    def __init__(self, open_client: Callable[[], Awaitable[Redis]], *, owned: bool) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client of the running loop, on first use there.
            owned: whether `aclose` closes it.
        """
        self._open = open_client
        self._owned = owned
        self._pid = os.getpid()
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Redis] = WeakKeyDictionary()
        self._scripts = KnownScripts()

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        try:
            client = self._client_here() or await self._open_here()
            replies = await self._send(client, [self._scripts.prepare(command) for command in commands])
            for index, reply in enumerate(replies):
                if isinstance(reply, NoScriptError):
                    (replies[index],) = await self._send(client, [self._scripts.with_text(commands[index])])
        except REDIS_ERRORS as error:
            raise translate(error) from error
        for reply in replies:
            if isinstance(reply, Exception):
                raise translate(reply) from reply
        return replies

    def _client_here(self) -> Redis | None:
        if self._pid != os.getpid():  # forked: the parent's sockets are not ours
            self._pid = os.getpid()
            self._clients = WeakKeyDictionary()
        return self._clients.get(asyncio.get_running_loop())

    async def _open_here(self) -> Redis:
        client = await self._open()
        # another coroutine may have been faster
        return self._clients.setdefault(asyncio.get_running_loop(), client)

    @staticmethod
    async def _send(client: Redis, commands: list[Command]) -> list[Any]:
        if len(commands) == 1:
            try:
                return [await client.execute_command(*commands[0], **{NEVER_DECODE: True})]
            except ResponseError as error:
                return [error]
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command, **{NEVER_DECODE: True})
        return await pipeline.execute(raise_on_error=False)

    async def aclose(self) -> None:
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None and self._owned:
            await client.aclose(close_connection_pool=True)
