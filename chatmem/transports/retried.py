"""A transport that is tried again, where redis-py's own retries do not help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
from redis.backoff import AbstractBackoff

from chatmem.errors import UnavailableError
from chatmem.transports.base import Command, Transport


class RetriedTransport:
    """Runs commands on another transport, again where the server is unavailable; each may be sent twice."""

    def __init__(self, transport: Transport, retries: int, backoff: AbstractBackoff) -> None:
        self._transport = transport
        self._retries = retries
        self._backoff = backoff

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        for failures in range(1, self._retries + 1):
            try:
                return await self._transport.run(commands)
            except UnavailableError:
                await anyio.sleep(self._backoff.compute(failures))
        return await self._transport.run(commands)

    async def rest(self) -> None:
        """Let others run; see `Transport`."""
        await self._transport.rest()

    async def aclose(self) -> None:
        """Close the transport beneath."""
        await self._transport.aclose()
