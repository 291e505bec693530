"""The `Sender` protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from redis.asyncio import Redis, RedisCluster

from chatmem.transports.base import Command

Client = Redis | RedisCluster


class Sender(Protocol):
    """Sends commands over one client."""

    @property
    def client(self) -> Client:
        """The client."""
        ...

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in one round trip; return their replies, with error replies as exceptions among them."""
        ...

    async def aclose(self) -> None:
        """Close what the sender opened beside the client."""
        ...
