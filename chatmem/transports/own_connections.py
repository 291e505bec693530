"""Connections of a blocking client that chatmem opened, one for each call at a time.

redis-py opens the connections and reads and writes them. What stands before that in its clients (the pool's locks, the
layers of a call) took as much CPU as the connection itself, and with many threads more.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any

from redis import BlockingConnectionPool, Redis, RedisCluster
from redis.exceptions import ConnectionError  # noqa: A004 - redis-py's name

from chatmem.transports.base import Command
from chatmem.transports.own_socket import OwnSocket
from chatmem.transports.packing import packed
from chatmem.transports.replies import refusal

_TRUSTED_SECONDS = 0.5
"""For how long after its last reply a connection is used without looking whether the server has closed it."""


class OwnConnections:
    """At most as many connections as the client's pool allows. Calls beyond that wait as long as the pool says.

    No lock is held here while Python code runs: a thread that loses the interpreter never keeps others waiting.
    """

    def __init__(self, pool: BlockingConnectionPool) -> None:
        """Open nothing yet.

        Args:
            pool: makes the connections, and closes them with `disconnect`.
        """
        self._pool = pool
        self._patience: float | None = pool.timeout
        self._idle: deque[tuple[OwnSocket, float]] = deque()  # with the time of the last reply
        self._lost = 0.0  # when a connection failed: those whose last reply is older may have failed too
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(pool.max_connections):
            self._room.put(None)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in one round trip; return their replies, with error replies as exceptions among them.

        It never suspends.

        Raises:
            ConnectionError: all connections were in use for too long, or the connection was lost.
            TimeoutError: the server did not answer in time.
        """
        try:
            self._room.get(timeout=self._patience)
        except Empty:
            raise ConnectionError("No connection available.") from None
        try:
            return self._send(commands)
        finally:
            self._room.put(None)

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        try:
            connection, used = self._idle.pop()  # the one used last, so that few are open
        except IndexError:
            connection, used = OwnSocket(self._pool.make_connection()), 0.0
        try:
            if used < max(time.monotonic() - _TRUSTED_SECONDS, self._lost):
                connection.make_ready()
            replies = connection.ask(packed(commands), len(commands))
        except BaseException:  # a KeyboardInterrupt too may have left a reply behind
            self._lost = time.monotonic()
            connection.close()
            self._idle.appendleft((connection, 0.0))
            raise
        may_hang_up = refusal(replies) is not None  # as a server does that has as many clients as it allows
        self._idle.append((connection, 0.0 if may_hang_up else time.monotonic()))
        return replies


def of_client(client: Redis | RedisCluster) -> OwnConnections | None:
    """Return connections like those of a client, or None if only the client itself can use its connections.

    Args:
        client: chatmem opened it. Its connections are closed with it.
    """
    if type(client) is not Redis or type(client.connection_pool) is not BlockingConnectionPool:
        return None
    options = client.connection_pool.connection_kwargs
    if options.get("protocol") != 2:
        return None  # under RESP3 the server also sends what nobody asked for
    if options.get("health_check_interval"):
        return None  # redis-py asks for the health before it sends
    return OwnConnections(client.connection_pool)
