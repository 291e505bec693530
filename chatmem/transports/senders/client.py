"""Sending by a client's own methods."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004 - redis-py's name

from chatmem.transports import replicated
from chatmem.transports.base import Command
from chatmem.transports.commands import options_of, waits_for_replicas
from chatmem.transports.senders.base import Client

CALL_SECONDS = 40.0
"""How long a call may take, with the client's own retries and the pauses between them."""


class ClientSender:
    """Sends by the client's own methods, on a connection of its pool for each call."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in one round trip; see `Sender`."""
        try:
            async with asyncio.timeout(CALL_SECONDS):  # the client itself may retry for longer
                return await self._send(commands)
        except (AttributeError, TypeError) as error:  # TypeError: from asyncio's transport, since Python 3.12
            # when it finds a node gone, redis.asyncio's cluster client closes the connections that callers are using
            if isinstance(self.client, RedisCluster):
                raise ConnectionError("Connection closed while the cluster's nodes were looked up") from error
            raise
        except RuntimeError as error:  # uvloop's transport has no class of its own for it
            if "handler is closed" in str(error):
                raise ConnectionError("Connection closed before the command was written") from error
            raise

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        if len(commands) == 1:
            try:
                return [await self.client.execute_command(*commands[0], **options_of(commands[0]))]
            except ResponseError as error:
                return [error]
        if isinstance(self.client, RedisCluster) and waits_for_replicas(commands):
            return await replicated.send(self.client, commands)
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command, **options_of(command))
        return await pipeline.execute(raise_on_error=False)

    async def aclose(self) -> None:
        """Do nothing: nothing is open beside the client."""
