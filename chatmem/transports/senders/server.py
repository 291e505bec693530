"""Sending to one server through a multiplexer."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.exceptions import ReadOnlyError

from chatmem.errors import UnavailableError
from chatmem.transports.base import LONGEST_CALL, Command
from chatmem.transports.commands import waits_for_replicas
from chatmem.transports.multiplexer import Multiplexer
from chatmem.transports.senders.client import ClientSender


class ServerSender:
    """Sends through a multiplexer, whose connections are made as the client's are; retries as often as the client."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        pool = client.connection_pool
        self._multiplexer = Multiplexer(pool.make_connection, pool.connection_kwargs.get("socket_timeout"))
        self._plain = ClientSender(client)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in one round trip; see `Sender`."""
        if waits_for_replicas(commands):  # WAIT would hold up everybody else's commands
            return await self._plain.send(commands)
        retry = self.client.get_retry()
        if retry is None or not retry.get_retries():
            return await self._send(commands)
        return await self._retrying(commands, retry)

    async def _retrying(self, commands: Sequence[Command], retry: Retry) -> list[Any]:
        """Retry as often as the caller's client would, but no longer than `LONGEST_CALL`."""
        end = asyncio.get_running_loop().time() + LONGEST_CALL
        again = False

        async def once() -> list[Any]:
            nonlocal again
            try:
                # only retries are bounded: the first try may take as long as the server makes progress with it
                async with asyncio.timeout_at(end if again else None):
                    again = True
                    return await self._send(commands)
            except builtins.TimeoutError:
                raise UnavailableError(f"the server could not be reached for {LONGEST_CALL:g} s") from None

        return await retry.call_with_retry(once, _before_retry)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._multiplexer.run(commands)
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            await self._multiplexer.reset()  # the server is no longer the master; a new connection finds who is
        return replies

    async def aclose(self) -> None:
        """Close the multiplexer."""
        await self._multiplexer.aclose()


async def _before_retry(_: Exception) -> None:
    """Do nothing: the multiplexer replaces a lost connection by itself."""
