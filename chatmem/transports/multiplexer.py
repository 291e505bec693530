"""The connections to one server that all coroutines of an event loop share.

There are several, so that a large reply or request does not hold up small ones: reads have connections of their own,
and each large request has one to itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from chatmem.errors import UnavailableError
from chatmem.transports.base import Command, reads_much
from chatmem.transports.limiter import Limiter
from chatmem.transports.multiplexed import MultiplexedConnection
from chatmem.transports.packing import packed, pieces, size_of

MOST_REQUESTS, MOST_BYTES = 1024, 64 * 1024 * 1024
"""How many requests and bytes may be under way, large requests not counted. Further requests wait."""
PATIENCE = 10.0
"""Seconds that a request waits until it may be sent."""
MOST_LARGE, LARGE_PATIENCE = 3, 30.0
"""The same for large requests, each of which has a connection to itself."""
_QUICK_CONNECTIONS, _READ_CONNECTIONS = 1, 3
_LARGE_BYTES = 256 * 1024


class Multiplexer:
    """Connections to one server. Belongs to the event loop that it was made in; opens nothing before it is used."""

    def __init__(self, make_connection: Callable[[], AbstractConnection], timeout: float | None) -> None:
        """Open nothing yet.

        Args:
            make_connection: makes a connection of redis-py's, not yet connected.
            timeout: seconds without a sign of life from the server after which a connection counts as lost; None for
                no limit.
        """
        self._make_connection = make_connection
        self._timeout = timeout
        self._quick: list[MultiplexedConnection] = []
        self._reads: list[MultiplexedConnection] = []
        self._large: list[MultiplexedConnection] = []
        self._limiter = Limiter(self._is_full)
        self._large_limiter = Limiter(self._is_full_of_large)
        self._closed = False

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together; return their replies, with error replies as exceptions among them.

        Raises:
            RedisError: the connection was lost or could not be opened, or the server was silent for too long.
            UnavailableError: too much was under way for too long, or the multiplexer was closed.
        """
        size = size_of(commands)
        if size > _LARGE_BYTES:
            await self._large_limiter.enter(LARGE_PATIENCE)
            return await self._large_connection().submit_pieces(pieces(commands), size, len(commands))
        await self._limiter.enter(PATIENCE)
        if reads_much(commands[0]):
            connection = self._connection(self._reads, _READ_CONNECTIONS)
        else:
            connection = self._connection(self._quick, _QUICK_CONNECTIONS)
        return await connection.submit(packed(commands), len(commands))

    def _connection(self, connections: list[MultiplexedConnection], most: int) -> MultiplexedConnection:
        for connection in connections:
            if not connection.held:
                return connection
        if len(connections) < most:
            return self._open(connections, self._limiter)
        return min(connections, key=lambda connection: connection.waiting)

    def _large_connection(self) -> MultiplexedConnection:
        idle = next((connection for connection in self._large if not connection.waiting), None)
        return self._open(self._large, self._large_limiter) if idle is None else idle

    def _open(self, connections: list[MultiplexedConnection], limiter: Limiter) -> MultiplexedConnection:
        if self._closed:
            raise UnavailableError("the connection was closed by its owner")
        own = self._make_connection()
        own.retry = Retry(NoBackoff(), 0)  # the caller retries; one layer is enough
        connection = MultiplexedConnection(own, self._timeout, limiter.wake, connections.remove)
        connections.append(connection)
        return connection

    def _is_full(self, let_pass: int) -> bool:
        requests, size = let_pass, 0
        for connection in (*self._quick, *self._reads):
            requests += connection.waiting
            size += connection.size
        return requests >= MOST_REQUESTS or size >= MOST_BYTES

    def _is_full_of_large(self, let_pass: int) -> bool:
        return let_pass + sum(connection.waiting for connection in self._large) >= MOST_LARGE

    async def aclose(self) -> None:
        """Close the connections for good. Requests without a reply end with an error."""
        self._closed = True
        await self.reset()

    async def reset(self) -> None:
        """Close the connections; later requests open new ones. Requests without a reply end with an error."""
        for connection in (*self._quick, *self._reads, *self._large):
            await connection.aclose()
