"""Clients that belong to an event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

C = TypeVar("C")

_forks = 0
"""How often this process was forked from another. Asking the system for its number at each call would cost more."""


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 - a process has one
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


class _Opened(NamedTuple, Generic[C]):
    client: C
    lifetime: AsyncGenerator[None, None]


class PerLoop(Generic[C]):
    """Clients, one an event loop and process, since they cannot be shared.

    A client is closed with its loop, where that ends as `asyncio.run` ends it.
    """

    def __init__(self, open_client: Callable[[], Awaitable[C]], close: Callable[[C], Awaitable[None]] | None) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client of the running loop, on first use there.
            close: closes it; None where that is the caller's.
        """
        self._open = open_client
        self._close = close
        self._forks = _forks
        self._opened: dict[asyncio.AbstractEventLoop, _Opened[C]] = {}

    async def here(self) -> C:
        """Return the client of the running loop."""
        if self._forks != _forks:  # the parent's sockets are not ours
            self._forks = _forks
            self._opened = {}
        opened = self._opened.get(asyncio.get_running_loop())
        return await self._open_here() if opened is None else opened.client

    async def _open_here(self) -> C:
        client = await self._open()
        loop = asyncio.get_running_loop()
        if loop in self._opened:  # another coroutine was faster; a client without connections needs no closing
            return self._opened[loop].client
        self._opened = {other: opened for other, opened in self._opened.items() if not other.is_closed()}
        opened = _Opened(client, self._live(client, loop))
        self._opened[loop] = opened
        await anext(opened.lifetime)
        return client

    async def _live(self, client: C, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        """Close the client when the loop ends: the last thing a loop does is to close its generators."""
        try:
            yield
        finally:
            self._opened.pop(loop, None)
            if self._close is not None:
                await self._close(client)

    async def aclose(self) -> None:
        """Close what was opened in the running loop."""
        opened = self._opened.get(asyncio.get_running_loop())
        if opened is not None:
            await opened.lifetime.aclose()
