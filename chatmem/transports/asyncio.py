"""A redis.asyncio client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import NoScriptError, ResponseError

from chatmem.errors import UnavailableError
from chatmem.transports import confirmed
from chatmem.transports.base import Command, KnownScripts, options_of
from chatmem.transports.errors import REDIS_ERRORS, checked, translate
from chatmem.transports.loops import PerLoop

Client = Redis | RedisCluster


async def close_client(client: Client) -> None:
    """Close a client and its connections."""
    await client.aclose()


class AsyncioTransport:
    """Runs commands on redis.asyncio clients, one an event loop."""

    def __init__(
        self, open_client: Callable[[], Awaitable[Client]], close: Callable[[Client], Awaitable[None]] | None
    ) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client of the running loop, on first use there.
            close: closes it; None where that is the caller's.
        """
        self._clients = PerLoop(open_client, close)
        self._scripts = KnownScripts()

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        try:
            client = await self._clients.here()
            replies = await self._send(client, [self._scripts.prepare(command) for command in commands])
            if any(isinstance(reply, NoScriptError) for reply in replies):
                replies = await self._send(client, [self._scripts.with_text(command) for command in commands])
        except REDIS_ERRORS as error:
            raise translate(error) from error
        except AttributeError as error:
            # redis.asyncio's cluster client, on finding a node gone, closes the connections of all callers under them
            if isinstance(await self._clients.here(), RedisCluster):
                raise UnavailableError("the connection was closed while the cluster was looked up anew") from error
            raise
        return checked(replies)

    @staticmethod
    async def _send(client: Client, commands: list[Command]) -> list[Any]:
        if len(commands) == 1:
            try:
                return [await client.execute_command(*commands[0], **options_of(commands[0]))]
            except ResponseError as error:
                return [error]
        if isinstance(client, RedisCluster) and confirmed.is_confirmed(commands):
            return await confirmed.send(client, commands)
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command, **options_of(command))
        return await pipeline.execute(raise_on_error=False)

    async def aclose(self) -> None:
        """Close what this transport opened in the running loop."""
        await self._clients.aclose()
