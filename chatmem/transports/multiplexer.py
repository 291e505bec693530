"""The multiplexer to one server that all coroutines of an event loop share.

It has several connections, so that a large reply or request does not hold up small ones: reads have connections of
their own, and each large request has one to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from chatmem.errors import UnavailableError
from chatmem.transports.base import Command, reads_much
from chatmem.transports.multiplexed import MultiplexedConnection
from chatmem.transports.packing import packed, pieces, size_of
from chatmem.transports.room import Room

MOST_REQUESTS, MOST_BYTES = 1024, 64 * 1024 * 1024
"""How much may be under way, beside large requests; what is more waits."""
PATIENCE = 10.0
"""seconds that a request waits for room"""
MOST_LARGE, LARGE_PATIENCE = 3, 30.0
"""The same for large requests, of which each has a connection to itself."""
_QUICK, _BULK = 1, 3
_LARGE = 256 * 1024


class Multiplexer:
    """Connections to one server. Belongs to the event loop it was made in; opens nothing before it is used."""

    def __init__(self, make_connection: Callable[[], AbstractConnection], timeout: float | None) -> None:
        """Open nothing yet.

        Args:
            make_connection: makes a connection of redis-py's, not yet connected.
            timeout: seconds without a sign of the server after which a connection counts as lost; None for ever.
        """
        self._make_connection = make_connection
        self._timeout = timeout
        self._quick: list[MultiplexedConnection] = []
        self._bulk: list[MultiplexedConnection] = []
        self._large: list[MultiplexedConnection] = []
        self._room = Room(self._is_full)
        self._large_room = Room(self._is_full_of_large)
        self._closed = False

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together; return their replies, errors among them.

        Raises:
            RedisError: the connection was lost or could not be opened, or the server was silent for too long.
            UnavailableError: too much is under way, and went on to be; or the multiplexer was closed.
        """
        size = size_of(commands)
        if size > _LARGE:
            await self._large_room.enter(LARGE_PATIENCE)
            return await self._large_connection().submit_pieces(pieces(commands), size, len(commands))
        await self._room.enter(PATIENCE)
        pool, most = (self._bulk, _BULK) if reads_much(commands[0]) else (self._quick, _QUICK)
        return await self._connection(pool, most).submit(packed(commands), len(commands))

    def _connection(self, connections: list[MultiplexedConnection], most: int) -> MultiplexedConnection:
        for connection in connections:
            if not connection.held:
                return connection
        if len(connections) < most:
            return self._open(connections, self._room)
        return min(connections, key=lambda connection: connection.waiting)

    def _large_connection(self) -> MultiplexedConnection:
        idle = next((connection for connection in self._large if not connection.waiting), None)
        return self._open(self._large, self._large_room) if idle is None else idle

    def _open(self, connections: list[MultiplexedConnection], room: Room) -> MultiplexedConnection:
        if self._closed:
            raise UnavailableError("the connection was closed by its owner")
        own = self._make_connection()
        own.retry = Retry(NoBackoff(), 0)  # whoever asks tries again, and not each layer by itself
        connection = MultiplexedConnection(own, self._timeout, room.freed, connections.remove)
        connections.append(connection)
        return connection

    def _is_full(self, let_in: int) -> bool:
        requests, size = let_in, 0
        for connection in (*self._quick, *self._bulk):
            requests += connection.waiting
            size += connection.size
        return requests >= MOST_REQUESTS or size >= MOST_BYTES

    def _is_full_of_large(self, let_in: int) -> bool:
        return let_in + sum(connection.waiting for connection in self._large) >= MOST_LARGE

    async def aclose(self) -> None:
        """Close the connections for good; whoever waits gets an error."""
        self._closed = True
        await self.reset()

    async def reset(self) -> None:
        """Close the connections, whoever waits gets an error; the next request opens others."""
        for connection in (*self._quick, *self._bulk, *self._large):
            await connection.aclose()
