"""Sending to a cluster, through a multiplexer per node."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's name
    MovedError,
    ReadOnlyError,
    RedisClusterException,
    TimeoutError,  # noqa: A004 - redis-py's name
    TryAgainError,
)

from chatmem.transports.base import Command
from chatmem.transports.commands import first_key, know_nodes, waits_for_replicas
from chatmem.transports.multiplexer import Multiplexer
from chatmem.transports.senders.client import ClientSender

_ELSEWHERE = (MovedError, AskError, TryAgainError, ClusterDownError, ReadOnlyError)
_LOST = (ConnectionError, TimeoutError)


class _Part(NamedTuple):
    """The commands that go to one node."""

    node: ClusterNode | None
    """None if redis-py knows none for their slot"""
    indexes: list[int]


class ClusterSender:
    """Sends through a multiplexer per node. What a node refuses goes by the client's own methods.

    These follow redirections and learn from them where slots are, after a failover or while slots move.
    """

    def __init__(self, client: RedisCluster) -> None:
        self.client = client
        self._multiplexers: dict[str, Multiplexer] = {}
        self._plain = ClientSender(client)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in one round trip, to all nodes at the same time; see `Sender`."""
        parts = await self._parts(commands)
        if parts is None:
            return await self._plain.send(commands)
        if len(parts) == 1:
            return await self._send(parts[0].node, commands)
        sending = [self._send(part.node, [commands[index] for index in part.indexes]) for part in parts]
        replies: list[Any] = [None] * len(commands)
        for part, received in zip(parts, await asyncio.gather(*sending), strict=True):
            for index, reply in zip(part.indexes, received, strict=True):
                replies[index] = reply
        return replies

    async def _parts(self, commands: Sequence[Command]) -> list[_Part] | None:
        """Group the commands by node; None where only redis-py's own routing can tell."""
        keys = [first_key(command) for command in commands]
        if waits_for_replicas(commands) or None in keys:
            return None
        await know_nodes(self.client)
        parts: dict[str | None, _Part] = {}  # by name: redis-py 6's nodes have no hash
        try:
            for index, key in enumerate(keys):
                node = self.client.get_node_from_key(key)
                parts.setdefault(node.name if node else None, _Part(node, [])).indexes.append(index)
        except RedisClusterException:
            return None
        return list(parts.values())

    async def _send(self, node: ClusterNode | None, commands: Sequence[Command]) -> list[Any]:
        if node is None:
            return await self._plain.send(commands)
        try:
            replies = await self._multiplexer(node).run(commands)
        except _LOST:
            if (multiplexer := self._multiplexers.pop(node.name, None)) is not None:
                await multiplexer.aclose()
            return await self._plain.send(commands)
        except RedisClusterException:
            return await self._plain.send(commands)
        if any(isinstance(reply, _ELSEWHERE) for reply in replies):
            return await self._plain.send(commands)
        return replies

    def _multiplexer(self, node: ClusterNode) -> Multiplexer:
        multiplexer = self._multiplexers.get(node.name)
        if multiplexer is None:
            options = node.connection_kwargs
            multiplexer = Multiplexer(lambda: node.connection_class(**options), options.get("socket_timeout"))
            self._multiplexers[node.name] = multiplexer
        return multiplexer

    async def aclose(self) -> None:
        """Close the multiplexers."""
        for multiplexer in self._multiplexers.values():
            await multiplexer.aclose()
