"""The lines of one client: one for each server that listeners of the loop need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import redis.asyncio
from redis.asyncio.connection import AbstractConnection

from chatmem.transports.commands import know_nodes
from chatmem.transports.errors import REDIS_ERRORS
from chatmem.transports.listening.line import Line
from chatmem.transports.listening.mailbox import Mailbox

Client = redis.asyncio.Redis | redis.asyncio.RedisCluster


class Hub:
    """Gives mailboxes a line to the server that has their channel. Belongs to the event loop it was made in."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lines: dict[str, Line] = {}
        self._rests: dict[str, float] = {}
        """By server: until when it is not tried again."""

    async def attach(self, mailbox: Mailbox) -> None:
        """Give a mailbox a line, unless none can be had now."""
        try:
            server, make = await self._way_to(mailbox.channel)
        except REDIS_ERRORS:  # a cluster of which no node answers
            return
        line = self._lines.get(server)
        if line is None or line.over:
            if asyncio.get_running_loop().time() < self._rests.get(server, 0.0):
                return
            line = self._lines[server] = Line(make(), partial(self._ended, server))
        line.add(mailbox)

    async def _way_to(self, channel: bytes) -> tuple[str, Callable[[], AbstractConnection]]:
        """Return the name of the server that has a channel, and what makes a connection to it."""
        if isinstance(self._client, redis.asyncio.RedisCluster):
            await know_nodes(self._client)
            cluster: Any = self._client  # its annotations know text only
            node = cluster.get_node_from_key(channel)
            return node.name, lambda: node.connection_class(**node.connection_kwargs)
        pool: Any = self._client.connection_pool
        return "", lambda: pool.connection_class(**pool.connection_kwargs)

    def _ended(self, server: str, line: Line, rest: float) -> None:
        if self._lines.get(server) is line:
            del self._lines[server]
        self._rests[server] = asyncio.get_running_loop().time() + rest

    async def aclose(self) -> None:
        """End all lines."""
        for line in list(self._lines.values()):
            await line.aclose()
