"""Subscriptions for blocking code: a connection each, which its thread reads."""

from __future__ import annotations

import time
from typing import Any

from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004 - redis-py's name
from redis.retry import Retry

from chatmem.transports.base import closed
from chatmem.transports.errors import REDIS_ERRORS
from chatmem.transports.listening.protocol import (
    PLAIN,
    QUIET,
    REFUSED_REST,
    REST,
    SHARDED,
    Heard,
    heard,
    is_elsewhere,
)
from chatmem.transports.shared_clients import SharedClients

_GLANCE = 0.25
"""How often, in seconds, a thread that waits looks whether the memory was closed."""


class BlockingSubscription:
    """What a channel brings to one thread. Its coroutines never suspend. Implements `Subscription`."""

    def __init__(self, channel: bytes, clients: SharedClients[Any]) -> None:
        """Open nothing yet.

        Args:
            channel: the channel's name.
            clients: gives the client whose server has the channel.
        """
        self._channel = channel
        self._clients = clients
        self._connection: Any = None
        self._rests_until = 0.0

    async def next(self, patience: float, polling: float) -> bytes | None:
        """Return the next message; see `Subscription`."""
        if self._connection is None:
            if time.monotonic() >= self._rests_until:
                self._rests_until = time.monotonic() + REST
                self._try(self._begin)
            else:
                self._sleep(polling)
            return None
        return self._try(self._wait, patience)

    def _try(self, task: Any, *arguments: float) -> bytes | None:
        """Do what needs the connection; without one from then on if it fails."""
        try:
            message: bytes | None = task(*arguments)
        except BaseException as error:
            self._end()
            if isinstance(error, ResponseError) and not is_elsewhere(error):
                self._rests_until = time.monotonic() + REFUSED_REST
            if isinstance(error, REDIS_ERRORS) and not self._clients.closed:
                return None  # the listener asks the server, and says what is wrong with it
            raise
        return message

    def _begin(self) -> None:
        opened = self._clients.enter()
        try:
            connection = self._connection = _connection(opened.client, self._channel)
        finally:
            self._clients.leave()
        connection.retry = Retry(NoBackoff(), 0)
        connection.connect()
        try:
            self._subscribe(SHARDED)
        except ResponseError as error:
            if is_elsewhere(error):
                raise
            self._subscribe(PLAIN)

    def _subscribe(self, command: str) -> None:
        self._connection.send_command(command, self._channel, check_health=False)
        if self._read().what != "begun":
            raise ConnectionError("what answers is not Redis")

    def _wait(self, patience: float) -> bytes | None:
        """Wait for a message.

        Raises:
            UnavailableError: the memory was closed.
            RedisError: the connection was lost, or the channel has moved.
        """
        now = heard_at = time.monotonic()
        end, asked = now + patience, False
        while now < end:
            if self._connection.can_read(timeout=min(_GLANCE, end - now)):
                found = self._read()
                if found.what == "message":
                    return found.message
                if found.what == "ended":
                    raise ConnectionError("the channel has moved")
                heard_at, asked = time.monotonic(), False
            now = time.monotonic()
            if self._clients.closed:
                raise closed()
            if now > heard_at + QUIET * (1 + asked):
                if asked:
                    raise ConnectionError("the server is silent")
                self._connection.send_command("PING", check_health=False)
                asked = True
        return None

    def _read(self) -> Heard:
        return heard(self._connection.read_response(disable_decoding=True, push_request=True))

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._clients.closed and (left := end - time.monotonic()) > 0:
            time.sleep(min(_GLANCE, left))

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    async def aclose(self) -> None:
        """Close the connection."""
        self._end()


def _connection(client: Redis | RedisCluster, channel: bytes) -> Any:
    """Return a new connection, not yet open, to the server that has a channel."""
    if isinstance(client, RedisCluster):
        node: Any = client.get_node_from_key(channel)
        client = client.get_redis_connection(node)
    pool: Any = client.connection_pool
    return pool.connection_class(**pool.connection_kwargs)
