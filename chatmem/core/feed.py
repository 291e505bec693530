"""An iterator over changes that are still to come: from messages that the server pushes, or by asking it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Generic, Self, TypeVar

from chatmem.errors import UnavailableError
from chatmem.transports.base import Subscription, Transport

T = TypeVar("T")

POLLING = 1.0
"""How often, in seconds, the server is asked where it does not push, or where the writers do not publish."""
CHECKING = 15.0
"""The same where it pushes and the writers publish: some may not, and a session may expire."""
NOTHING = b"0-0"
"""The id before the first change of a log."""


class Changes(Generic[T]):
    """Iterates over changes in their order. It opens nothing before it is iterated over.

    You may cancel the wait for a change and iterate on: nothing is missed. If you stop early, `aclose` closes it, and
    so does garbage collection.
    """

    def __init__(self, transport: Transport, channel: bytes, timeout: float | None) -> None:
        """Open nothing yet.

        Args:
            transport: leads to the server.
            channel: the channel on which writers publish.
            timeout: after so many seconds without a change, the iteration ends; None for never.
        """
        self._transport = transport
        self._channel = channel
        self._timeout = timeout
        self._subscription: Subscription | None = None
        self._ready: deque[T] = deque()
        self._begun = False
        self._over = False
        self._polling, self._checking = POLLING, CHECKING
        self._published = True
        """Whether the writers seem to publish all that they write."""
        self._ask_in: float | None = None
        """In how many seconds to ask the server, whatever it pushes; None for no need."""
        self._waits_since: float | None = None
        """since when it has waited, through cancellations: else one that is cancelled often would never ask"""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """Wait for the next change and return it.

        Raises:
            StopAsyncIteration: the time is over, or the memory was closed.
        """
        end = None if self._timeout is None else time.monotonic() + self._timeout
        asked = False
        while not self._ready:
            left = self._checking if end is None else end - time.monotonic()
            if self._over or (left <= 0 and asked):
                raise StopAsyncIteration
            try:
                await self._step(max(left, 0.0))
            except UnavailableError as error:
                if error.closed:
                    await self.aclose()
                elif error.lacks_right or not self._begun:
                    raise
                self._ask_in, self._waits_since = self._polling, None  # the server is away: it may come back
            asked = True
        return self._ready.popleft()

    async def _step(self, left: float) -> None:
        """Wait for a message, or until it is time to ask the server, and take what there is."""
        if self._subscription is None:
            self._subscription = self._transport.subscribe(self._channel)
        message, pause = None, self._ask_in
        self._waits_since = self._waits_since or time.monotonic()
        waited = time.monotonic() - self._waits_since
        if pause is None:
            limits = self._checking if self._published else self._polling, self._polling
            message = await self._subscription.next(*(min(max(limit - waited, 0.0), left) for limit in limits))
        elif pause > waited:
            pause = min(pause - waited, left)
            await self._subscription.next(pause, pause)
        self._waits_since = None
        self._ask_in = 0.0  # if this is cancelled, the message is gone
        self._ready.extend(await self._take(message))
        self._ask_in, self._begun = None, True

    async def _take(self, message: bytes | None) -> Sequence[T]:
        """Return the changes that a message holds, or that the server tells.

        Args:
            message: "id-before id change", see `publishing.lua`; None or empty if there is none.
        """
        raise NotImplementedError

    async def aclose(self) -> None:
        """End the iteration, and close what was opened for it."""
        self._over = True
        await self._unsubscribe()

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.aclose()


def is_newer(change: bytes, known: bytes) -> bool:
    """Return whether a change comes behind a known one in a log, by their ids."""
    return _order(change) > _order(known)


def _order(change: bytes) -> tuple[int, int]:
    milliseconds, _, number = change.partition(b"-")
    return int(milliseconds), int(number)
