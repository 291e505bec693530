"""Room for requests: how many may be under way, and who waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from chatmem.errors import UnavailableError


class Room:
    """Lets requests in while there is room, the others in their turn. Belongs to one event loop."""

    def __init__(self, is_full: Callable[[int], bool]) -> None:
        """Take the bound.

        Args:
            is_full: returns whether no more may come in; it gets how many were let in and have not begun yet.
        """
        self._is_full = is_full
        self._queue: deque[asyncio.Future[None]] = deque()
        self._let_in = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    async def enter(self, patience: float) -> None:
        """Wait for room.

        Args:
            patience: for so many seconds.

        Raises:
            UnavailableError: there was none in that time.
        """
        if self._queue or self._is_full(self._let_in):
            await self._wait(patience)

    async def _wait(self, patience: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(patience):
                await turn
        except TimeoutError:
            raise UnavailableError(
                f"the server does not keep up: for {patience:g} s as much was under way as may be"
            ) from None
        finally:
            if turn in self._queue:
                self._queue.remove(turn)
            else:
                self._let_in -= 1
                asyncio.get_running_loop().call_soon(self.freed)  # where it was cancelled, another may take the place

    def freed(self) -> None:
        """Let in who waits, as far as there is room; called when something has ended."""
        while self._queue and not self._is_full(self._let_in):
            turn = self._queue.popleft()
            self._let_in += 1
            if not turn.done():
                turn.set_result(None)
