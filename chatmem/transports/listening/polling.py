"""Polling, where a server cannot push, or nothing here can wait for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class Polling:
    """A subscription that never brings a message: its listener asks the server itself, at intervals."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Take how to wait.

        Args:
            sleep: waits for so many seconds.
        """
        self._sleep = sleep
        self._begun = False

    async def next(self, patience: float, polling: float) -> bytes | None:
        """Wait for `polling` seconds, except at first; see `Subscription`."""
        if self._begun:
            await self._sleep(polling)
        self._begun = True
        return None

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""
