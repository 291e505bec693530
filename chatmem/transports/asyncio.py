"""A redis.asyncio client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import NoScriptError, ResponseError

from chatmem.errors import UnavailableError
from chatmem.transports.base import Command, KnownScripts, options_of
from chatmem.transports.errors import REDIS_ERRORS, checked, translate

Client = Redis | RedisCluster


class _Opened(NamedTuple):
    client: Client
    lifetime: AsyncGenerator[None, None]


async def close_client(client: Client) -> None:
    """Close a client and its connections."""
    await client.aclose()


class AsyncioTransport:
    """Runs commands on redis.asyncio clients: one an event loop and process, since they cannot be shared.

    A client is closed with its loop, where that ends as `asyncio.run` ends it.
    """

    def __init__(
        self, open_client: Callable[[], Awaitable[Client]], close: Callable[[Client], Awaitable[None]] | None
    ) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client of the running loop, on first use there.
            close: closes it; None where that is the caller's.
        """
        self._open = open_client
        self._close = close
        self._pid = os.getpid()
        self._opened: dict[asyncio.AbstractEventLoop, _Opened] = {}
        self._scripts = KnownScripts()

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        try:
            client = self._client_here() or await self._open_here()
            replies = await self._send(client, [self._scripts.prepare(command) for command in commands])
            for index, reply in enumerate(replies):
                if isinstance(reply, NoScriptError):
                    (replies[index],) = await self._send(client, [self._scripts.with_text(commands[index])])
        except REDIS_ERRORS as error:
            raise translate(error) from error
        except AttributeError as error:
            # redis.asyncio's cluster client, on finding a node gone, closes the connections of all callers under them
            if isinstance(self._client_here(), RedisCluster):
                raise UnavailableError("the connection was closed while the cluster was looked up anew") from error
            raise
        return checked(replies)

    def _client_here(self) -> Client | None:
        if self._pid != os.getpid():  # forked: the parent's sockets are not ours
            self._pid = os.getpid()
            self._opened = {}
        opened = self._opened.get(asyncio.get_running_loop())
        return opened and opened.client

    async def _open_here(self) -> Client:
        client = await self._open()
        loop = asyncio.get_running_loop()
        if loop in self._opened:  # another coroutine was faster; a client without connections needs no closing
            return self._opened[loop].client
        self._opened = {other: opened for other, opened in self._opened.items() if not other.is_closed()}
        opened = _Opened(client, self._live(client, loop))
        self._opened[loop] = opened
        await anext(opened.lifetime)
        return client

    async def _live(self, client: Client, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        """Close the client when the loop ends: the last thing a loop does is to close its generators."""
        try:
            yield
        finally:
            self._opened.pop(loop, None)
            if self._close is not None:
                await self._close(client)

    @staticmethod
    async def _send(client: Client, commands: list[Command]) -> list[Any]:
        if len(commands) == 1:
            try:
                return [await client.execute_command(*commands[0], **options_of(commands[0]))]
            except ResponseError as error:
                return [error]
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command, **options_of(command))
        return await pipeline.execute(raise_on_error=False)

    async def aclose(self) -> None:
        """Close what this transport opened in the running loop."""
        opened = self._opened.get(asyncio.get_running_loop())
        if opened is not None:
            await opened.lifetime.aclose()
