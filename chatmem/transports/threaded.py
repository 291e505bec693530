"""A blocking client for async callers who have no other: its calls run in worker threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anyio import lowlevel, to_thread

from chatmem.transports.base import Command, Transport
from chatmem.transports.driving import drive


class ThreadedTransport:
    """Runs each round trip of a blocking transport in a worker thread.

    A cancelled caller waits for its round trip to end: a thread cannot be stopped, and its connection must not be
    handed to another one meanwhile.
    """

    def __init__(self, blocking: Transport) -> None:
        self._blocking = blocking
        self.longest = blocking.longest

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        return await to_thread.run_sync(lambda: drive(self._blocking.run(commands)))

    async def checkpoint(self) -> None:
        """Let others run; see `Transport`."""
        await lowlevel.checkpoint()

    async def aclose(self) -> None:
        """Close what this transport opened."""
        await self._blocking.aclose()
