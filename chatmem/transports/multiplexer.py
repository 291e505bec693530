"""The pipeline to one server that all coroutines of an event loop share.

A few lanes, so that a large reply or request does not hold up small ones: reads may bring anything and have lanes of
their own, and so has a large request, each one to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from chatmem.errors import UnavailableError
from chatmem.transports.base import Command, reads_much
from chatmem.transports.multiplexed import Lane
from chatmem.transports.packing import packed, pieces, size_of
from chatmem.transports.room import Room

MOST_REQUESTS, MOST_BYTES = 1024, 64 * 1024 * 1024
"""How much may be under way, beside large requests; what is more waits."""
PATIENCE = 10.0
"""seconds that a request waits for room"""
MOST_LARGE, LARGE_PATIENCE = 3, 30.0
"""The same for large requests, of which each has a lane to itself."""
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
        self._large: list[Lane] = []
        self._room = Room(self._is_full)
        self._large_room = Room(self._is_full_of_large)
        self._closed = False

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together; return their replies, errors among them.

        Raises:
            RedisError: the connection was lost or could not be opened, or the server was silent for too long.
            UnavailableError: too much is under way, and went on to be; or the pipeline was closed.
        """
        size = size_of(commands)
        if size > _LARGE:
            await self._large_room.enter(LARGE_PATIENCE)
            return await self._large_lane().submit_pieces(pieces(commands), size, len(commands))
        await self._room.enter(PATIENCE)
        lane = self._lane(self._bulk, _BULK) if reads_much(commands[0]) else self._lane(self._quick, _QUICK)
        return await lane.submit(packed(commands), len(commands))

    def _lane(self, lanes: list[Lane], most: int) -> Lane:
        for lane in lanes:
            if not lane.held:
                return lane
        if len(lanes) < most:
            return self._open(lanes, self._room)
        return min(lanes, key=lambda lane: lane.waiting)

    def _large_lane(self) -> Lane:
        idle = next((lane for lane in self._large if not lane.waiting), None)
        return self._open(self._large, self._large_room) if idle is None else idle

    def _open(self, lanes: list[Lane], room: Room) -> Lane:
        if self._closed:
            raise UnavailableError("the connection was closed by its owner")
        connection = self._make_connection()
        connection.retry = Retry(NoBackoff(), 0)  # whoever asks tries again, and not each layer by itself
        lane = Lane(connection, self._timeout, room.freed, lanes.remove)
        lanes.append(lane)
        return lane

    def _is_full(self, let_in: int) -> bool:
        requests, size = let_in, 0
        for lane in (*self._quick, *self._bulk):
            requests += lane.waiting
            size += lane.size
        return requests >= MOST_REQUESTS or size >= MOST_BYTES

    def _is_full_of_large(self, let_in: int) -> bool:
        return let_in + sum(lane.waiting for lane in self._large) >= MOST_LARGE

    async def aclose(self) -> None:
        """Close the lanes for good; whoever waits gets an error."""
        self._closed = True
        await self.reset()

    async def reset(self) -> None:
        """Close the lanes, whoever waits gets an error; the next request opens others."""
        for lane in (*self._quick, *self._bulk, *self._large):
            await lane.aclose()
