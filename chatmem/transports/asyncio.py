"""Transport on redis.asyncio: one client per event loop, and on it a multiplexer that the loop's coroutines share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from chatmem.transports.background import AsyncioBackground
from chatmem.transports.base import (
    KEYS_AT_ONCE,
    LONGEST_CALL,
    Background,
    Command,
    KnownScripts,
    Subscription,
    closed,
)
from chatmem.transports.commands import run_scripts
from chatmem.transports.errors import REDIS_ERRORS, checked, translate
from chatmem.transports.listening import Hub, Mailbox
from chatmem.transports.per_loop import PerLoop
from chatmem.transports.senders import Client, Sender, sender_for


async def close_client(client: Client) -> None:
    """Close a client and its connections."""
    await client.aclose()


class AsyncioTransport:
    """Runs commands on redis.asyncio clients, one per event loop."""

    longest = LONGEST_CALL

    def __init__(
        self, open_client: Callable[[], Awaitable[Client]], close: Callable[[Client], Awaitable[None]] | None
    ) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client of the running loop, when it is first used there.
            close: closes that client; None if it is the caller's and stays open.
        """

        async def open_sender() -> Sender:
            return sender_for(await open_client(), owned=close is not None)

        async def close_sender(sender: Sender) -> None:  # not a method: a loop keeps it, and must not keep `self`
            await sender.aclose()
            if close is not None:
                await close(sender.client)

        async def open_hub() -> Hub:
            sender = senders.opened() or await senders.open()
            return Hub(sender.client)

        self._senders = senders = PerLoop(open_sender, close_sender)
        self._hubs = PerLoop(open_hub, Hub.aclose)
        self._scripts = KnownScripts()

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        try:
            sender = self._senders.opened() or await self._senders.open()
            replies = await run_scripts(commands, self._scripts, sender.send)
        except REDIS_ERRORS as error:
            if self._senders.closed:
                raise closed() from None
            raise translate(error) from error
        return checked(replies)

    async def scan(self, match: bytes) -> AsyncIterator[bytes]:
        """Iterate over matching keys; see `Transport`."""
        try:
            sender = self._senders.opened() or await self._senders.open()
            async for key in sender.client.scan_iter(match, count=KEYS_AT_ONCE):
                yield key.encode() if isinstance(key, str) else key
        except REDIS_ERRORS as error:
            raise translate(error) from error

    def subscribe(self, channel: bytes) -> Subscription:
        """Return a subscription to a channel; see `Transport`."""
        return Mailbox(channel, self._attach)

    async def _attach(self, mailbox: Mailbox) -> None:
        hub = self._hubs.opened() or await self._hubs.open()
        await hub.attach(mailbox)

    def background(self) -> Background:
        """Return what runs work as tasks of the loop; see `Transport`."""
        return AsyncioBackground(listens=True)

    async def checkpoint(self) -> None:
        """Let other tasks of the loop run."""
        await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Close what this transport opened in the running loop. Other loops close theirs when they end."""
        await self._hubs.aclose()
        await self._senders.aclose()
