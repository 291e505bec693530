"""redis.asyncio: one client an event loop, and on it a multiplexer that all coroutines of the loop share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chatmem.transports.base import LONGEST_CALL, Command, KnownScripts, closed, unknown
from chatmem.transports.errors import REDIS_ERRORS, checked, translate
from chatmem.transports.links import Client, Link, link_to
from chatmem.transports.per_loop import PerLoop


async def close_client(client: Client) -> None:
    """Close a client and its connections."""
    await client.aclose()


class AsyncioTransport:
    """Runs commands on redis.asyncio clients, one an event loop."""

    longest = LONGEST_CALL

    def __init__(
        self, open_client: Callable[[], Awaitable[Client]], close: Callable[[Client], Awaitable[None]] | None
    ) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client of the running loop, on first use there.
            close: closes it; None where that is the caller's.
        """

        async def open_link() -> Link:
            return link_to(await open_client(), own=close is not None)

        async def close_link(link: Link) -> None:  # no method: a loop that holds it must not hold this transport
            await link.aclose()
            if close is not None:
                await close(link.client)

        self._links = PerLoop(open_link, close_link)
        self._scripts = KnownScripts()

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        try:
            link = self._links.opened() or await self._links.open()
            replies = await link.send([self._scripts.prepare(command) for command in commands])
            if again := unknown(commands, replies):
                texts = await link.send([self._scripts.with_text(commands[index]) for index in again])
                for index, reply in zip(again, texts, strict=True):
                    replies[index] = reply
        except REDIS_ERRORS as error:
            if self._links.closed:
                raise closed() from None
            raise translate(error) from error
        return checked(replies)

    async def checkpoint(self) -> None:
        """Let others run; see `Transport`."""
        await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Close what this transport opened in the running loop; what it opened in others is closed when those end."""
        await self._links.aclose()
