"""A limit on what is under way, and a queue of those who wait for room."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from chatmem.errors import UnavailableError


class Limiter:
    """Lets requests pass while there is room; the others wait in their order. Belongs to one event loop."""

    def __init__(self, is_full: Callable[[int], bool]) -> None:
        """Take the limit.

        Args:
            is_full: returns whether there is no room. It gets how many requests were let pass and did not begin yet.
        """
        self._is_full = is_full
        self._queue: deque[asyncio.Future[None]] = deque()
        self._let_pass = 0

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    async def enter(self, patience: float) -> None:
        """Wait for room.

        Args:
            patience: the longest time to wait, in seconds.

        Raises:
            UnavailableError: there was no room in that time.
        """
        if self._queue or self._is_full(self._let_pass):
            await self._wait(patience)

    async def _wait(self, patience: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(patience):
                await turn
        except TimeoutError:
            raise UnavailableError(
                f"the server does not keep up: as many requests as are allowed were under way for {patience:g} s; "
                "send fewer at the same time"
            ) from None
        finally:
            if turn in self._queue:
                self._queue.remove(turn)
            else:
                self._let_pass -= 1
                asyncio.get_running_loop().call_soon(self.wake)  # if it was cancelled, the next may have its place

    def wake(self) -> None:
        """Let waiting requests pass as far as there is room. Call it whenever something has ended."""
        while self._queue and not self._is_full(self._let_pass):
            turn = self._queue.popleft()
            self._let_pass += 1
            if not turn.done():
                turn.set_result(None)
