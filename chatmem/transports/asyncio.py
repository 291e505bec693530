"""redis.asyncio: one client an event loop, and on it a pipeline that all coroutines of the loop share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chatmem.transports.base import Command, KnownScripts, unknown
from chatmem.transports.errors import REDIS_ERRORS, checked, translate
from chatmem.transports.links import Client, Link, link_to
from chatmem.transports.loops import PerLoop


async def close_client(client: Client) -> None:
    """Close a client and its connections."""
    await client.aclose()


class AsyncioTransport:
    """Runs commands on redis.asyncio clients, one an event loop."""

    def __init__(
        self, open_client: Callable[[], Awaitable[Client]], close: Callable[[Client], Awaitable[None]] | None
    ) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client of the running loop, on first use there.
            close: closes it; None where that is the caller's.
        """
        self._open_client = open_client
        self._close_client = close
        self._links = PerLoop(self._open, self._close)
        self._scripts = KnownScripts()

    async def _open(self) -> Link:
        return link_to(await self._open_client())

    async def _close(self, link: Link) -> None:
        await link.aclose()
        if self._close_client is not None:
            await self._close_client(link.client)

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        try:
            link = await self._links.here()
            replies = await link.send([self._scripts.prepare(command) for command in commands])
            if again := unknown(commands, replies):
                texts = await link.send([self._scripts.with_text(commands[index]) for index in again])
                for index, reply in zip(again, texts, strict=True):
                    replies[index] = reply
        except REDIS_ERRORS as error:
            raise translate(error) from error
        return checked(replies)

    async def rest(self) -> None:
        """Let others run; see `Transport`."""
        await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Close what this transport opened in the running loop."""
        await self._links.aclose()
