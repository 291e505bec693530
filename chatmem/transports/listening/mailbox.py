"""What one listener has received and not read yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatmem.transports.listening.line import Line

MOST_UNREAD = 1000
"""How many messages wait for a listener. If it is slower, they are dropped, and it hears that it missed some."""


class Mailbox:
    """The messages of a channel for one listener, in its event loop. Implements `Subscription`."""

    def __init__(self, channel: bytes, attach: Callable[[Mailbox], Awaitable[None]]) -> None:
        """Open nothing yet.

        Args:
            channel: the channel's name.
            attach: gives the mailbox a line to the server, if one can be had now.
        """
        self.channel = channel
        self._attach = attach
        self._unread: deque[bytes] = deque()
        self._missed = False
        self._line: Line | None = None
        self._live = False
        self._news = asyncio.Event()

    async def next(self, patience: float, polling: float) -> bytes | None:
        """Return the next message; see `Subscription`."""
        if self._line is None:
            await self._attach(self)
        if not self._news.is_set():
            try:
                async with asyncio.timeout(patience if self._live else polling):
                    await self._news.wait()
            except TimeoutError:
                return None
        if self._missed:
            self._missed = False
            self._unread.clear()
        message = self._unread.popleft() if self._unread else None
        if not self._unread:
            self._news.clear()
        return message

    def joined(self, line: Line) -> None:
        """Note which line is going to bring the messages."""
        self._line = line

    def begun(self) -> None:
        """Note that messages arrive from now on. Earlier ones were missed."""
        self._live = True
        self._miss()

    def put(self, message: bytes) -> None:
        """Take a message."""
        if len(self._unread) >= MOST_UNREAD:
            self._miss()
        elif not self._missed:
            self._unread.append(message)
            self._news.set()

    def lost(self) -> None:
        """Note that the line brings no more messages."""
        self._line = None
        if self._live:
            self._live = False
            self._miss()

    def _miss(self) -> None:
        self._missed = True
        self._unread.clear()
        self._news.set()

    async def aclose(self) -> None:
        """Leave the line."""
        if self._line is not None:
            self._line.remove(self)
        self.lost()
