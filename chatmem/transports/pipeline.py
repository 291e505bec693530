"""The pipeline to one server that all coroutines of an event loop share.

A few lanes, so that a large reply or request does not hold up small ones: reads may bring anything and have lanes of
their own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from chatmem.errors import UnavailableError
from chatmem.transports.base import Command, reads_much
from chatmem.transports.lane import Lane

MOST_REQUESTS, MOST_BYTES = 1024, 64 * 1024 * 1024
"""How much may be under way; what is more waits."""
PATIENCE = 10.0
"""seconds that a request waits for room"""
_QUICK, _BULK = 1, 3
_LARGE = 256 * 1024


class Pipeline:
    """Lanes to one server. Belongs to the event loop it was made in; opens nothing before it is used."""

    def __init__(self, make_connection: Callable[[], AbstractConnection], timeout: float | None) -> None:
        """Open nothing yet.

        Args:
            make_connection: makes a connection of redis-py's, not yet connected.
            timeout: seconds without a sign of the server after which a connection counts as lost; None for ever.
        """
        self._make_connection = make_connection
        self._timeout = timeout
        self._quick: list[Lane] = []
        self._bulk: list[Lane] = []
        self._queue: deque[asyncio.Future[None]] = deque()
        self._let_in = 0
        self._closed = False

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together; return their replies, errors among them.

        Raises:
            RedisError: the connection was lost or could not be opened, or the server was silent for too long.
            UnavailableError: too much is under way, and went on to be; or the pipeline was closed.
        """
        packed = b"".join([hiredis.pack_command(command) for command in commands])  # type: ignore[arg-type]
        if self._queue or self._is_full():
            await self._wait_for_room()
        if self._closed:
            raise UnavailableError("the connection was closed by its owner")
        bulk = len(packed) > _LARGE or reads_much(commands[0])
        lane = self._lane(self._bulk, _BULK) if bulk else self._lane(self._quick, _QUICK)
        return await lane.submit(packed, len(commands))

    def _lane(self, lanes: list[Lane], most: int) -> Lane:
        for lane in lanes:
            if not lane.held:
                return lane
        if len(lanes) < most:
            connection = self._make_connection()
            connection.retry = Retry(NoBackoff(), 0)  # whoever asks tries again, and not each layer by itself
            lane = Lane(connection, self._timeout, self._freed, lanes.remove)
            lanes.append(lane)
            return lane
        return min(lanes, key=lambda lane: lane.waiting)

    def _is_full(self) -> bool:
        requests, size = self._let_in, 0
        for lane in (*self._quick, *self._bulk):
            requests += lane.waiting
            size += lane.size
        return requests >= MOST_REQUESTS or size >= MOST_BYTES

    async def _wait_for_room(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(PATIENCE):
                await turn
        except TimeoutError:
            raise UnavailableError(
                f"the server does not keep up: for {PATIENCE:g} s as much was under way as may be"
            ) from None
        finally:
            if turn in self._queue:
                self._queue.remove(turn)
            else:
                self._let_in -= 1
                asyncio.get_running_loop().call_soon(self._freed)  # where it was cancelled, another may take the place

    def _freed(self) -> None:
        while self._queue and not self._is_full():
            turn = self._queue.popleft()
            self._let_in += 1
            if not turn.done():
                turn.set_result(None)

    async def aclose(self) -> None:
        """Close the lanes for good; whoever waits gets an error."""
        self._closed = True
        await self.reset()

    async def reset(self) -> None:
        """Close the lanes, whoever waits gets an error; the next request opens others."""
        for lane in (*self._quick, *self._bulk):
            await lane.aclose()
