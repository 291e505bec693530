"""A server that turns out to be a node of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import MovedError

from chatmem.errors import ChatMemError
from chatmem.transports.base import Command, Transport


class FollowingTransport:
    """Runs commands on one server until that says that it is a cluster's, then on the cluster."""

    def __init__(self, single: Transport, cluster: Transport) -> None:
        self._single = self._current = single
        self._cluster = cluster
        self.longest = single.longest + cluster.longest

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        try:
            return await self._current.run(commands)
        except ChatMemError as error:
            if self._current is self._cluster or not isinstance(error.__cause__, MovedError):
                raise
        # a node refuses a key that is another's before it does anything
        self._current = self._cluster
        return await self._cluster.run(commands)

    async def checkpoint(self) -> None:
        """Let others run; see `Transport`."""
        await self._current.checkpoint()

    async def aclose(self) -> None:
        """Close what this transport opened."""
        await self._single.aclose()
        await self._cluster.aclose()
