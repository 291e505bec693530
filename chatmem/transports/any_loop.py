"""Transport for any event loop: asyncio gets an asyncio client, others, such as trio, a blocking one in threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from chatmem.errors import UnsupportedError
from chatmem.transports.base import Background, Command, Subscription, Transport, closed
from chatmem.transports.wrappers import ThreadedTransport


class AnyLoopTransport:
    """Runs commands on a transport that the running event loop can await.

    Attributes:
        closed: whether calls are refused from now on.
    """

    def __init__(self, asynchronous: Transport, blocking: Callable[[], Transport]) -> None:
        """Take a transport for each kind of loop.

        Args:
            asynchronous: for asyncio.
            blocking: returns the transport for other loops; raises ValueError if there is none.
        """
        self._asynchronous = asynchronous
        self._blocking = blocking
        self.closed = False

    @property
    def longest(self) -> float:
        """That of the transport for the running loop; see `Transport.longest`."""
        return self._here().longest

    def run(self, commands: Sequence[Command]) -> Coroutine[Any, Any, list[Any]]:
        """Run the commands in one round trip; see `Transport`."""
        if self.closed:
            raise closed()
        return self._here().run(commands)

    def scan(self, match: bytes) -> AsyncIterator[bytes]:
        """Iterate over matching keys; see `Transport`."""
        if self.closed:
            raise closed()
        return self._here().scan(match)

    def subscribe(self, channel: bytes) -> Subscription:
        """Return a subscription to a channel; see `Transport`."""
        if self.closed:
            raise closed()
        return self._here().subscribe(channel)

    def background(self) -> Background:
        """Return what can run work beside a body; see `Transport`."""
        if self.closed:
            raise closed()
        return self._here().background()

    def _here(self) -> Transport:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._elsewhere()
        return self._asynchronous

    def _elsewhere(self) -> Transport:
        try:
            return ThreadedTransport(self._blocking())
        except ValueError:
            raise UnsupportedError(
                "client is for asyncio, and this event loop is another one: pass a blocking client, such as "
                "redis.Redis, or a url"
            ) from None

    async def checkpoint(self) -> None:
        """Let other tasks of the running loop run."""
        await self._here().checkpoint()

    async def aclose(self) -> None:
        """Close what this transport opened in the running loop."""
        self.closed = True
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        await self._asynchronous.aclose()
