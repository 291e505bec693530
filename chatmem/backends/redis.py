"""Backend for redis://, rediss:// and unix://: one server, on connections that chatmem opens."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.connection import AbstractConnection
from redis.retry import Retry

from chatmem.backends import options as query
from chatmem.errors import ChatMemError
from chatmem.transports.asyncio import AsyncioTransport, close_client
from chatmem.transports.base import LONGEST_CALL, Transport
from chatmem.transports.blocking import BlockingTransport
from chatmem.transports.retrying import RETRY_SECONDS, SOON, AsyncClock, BlockingClock, RetryingTransport
from chatmem.transports.tls import BlockingTlsConnection, TlsConnection, mismatch

RETRIES = 3

CONNECTION: dict[str, Any] = {
    # RESP2 needs neither HELLO, which Redis 5 lacks, nor a CLIENT command
    "protocol": 2,
    "socket_timeout": 5.0,
    "socket_connect_timeout": 5.0,
}
"""redis-py's options for the connections that chatmem opens. A URL's query options override them."""
try:
    from redis.driver_info import DriverInfo  # noqa: F401
except ImportError:
    CONNECTION.update(lib_name=None, lib_version=None)
else:
    CONNECTION["driver_info"] = None

_POOL: dict[str, Any] = {
    "max_connections": 64,
    "timeout": 10.0,  # how long to wait for a free connection
}


class RedisBackend:
    """One server at a URL."""

    def __init__(self, url: str, **options: Any) -> None:
        """Check the URL.

        Args:
            url: redis://, rediss:// or unix://.
            options: redis-py's options beside those in the URL, which override them.
        """
        self._url, given = query.read(url)
        self._options = {**options, **given}

    def asynchronous(self) -> Transport:
        """Return a transport on redis.asyncio."""
        transport = AsyncioTransport(self._open_async, close_client)
        return RetryingTransport(transport, AsyncClock(), retries=RETRIES, backoff=SOON, explain=self._mismatch)

    def blocking(self) -> Transport:
        """Return a transport on blocking redis-py."""
        transport = BlockingTransport(self._open_once, owned=True)
        return RetryingTransport(
            transport,
            BlockingClock(),
            retries=RETRIES,
            backoff=SOON,
            longest=longest(_POOL | self._options),
            explain=self._mismatch,
        )

    def _mismatch(self, error: BaseException | None) -> ChatMemError | None:
        if self._url.startswith("unix"):
            return None
        address, tls = port_of(self._url)
        return mismatch(error, address, tls=tls)

    async def _open_async(self) -> redis.asyncio.Redis:
        return open_async(self._url, **self._options)

    def _open_once(self) -> redis.Redis:
        return open_blocking(self._url, **{"retry": Retry(NoBackoff(), 0), **self._options})

    def open_blocking(self) -> redis.Redis:
        """Return a new blocking client. The caller closes it."""
        return open_blocking(self._url, **self._options)

    def release(self) -> None:
        """Do nothing: this backend holds nothing."""


def open_async(url: str, **options: Any) -> redis.asyncio.Redis:
    """Return an asyncio client with a bounded pool, which does not retry."""
    once = AsyncRetry(NoBackoff(), 0)
    pool = redis.asyncio.BlockingConnectionPool.from_url(url, **{**CONNECTION, **_POOL, "retry": once, **options})
    if url.startswith("rediss://"):
        pool.connection_class = TlsConnection
    return redis.asyncio.Redis.from_pool(pool)


def open_blocking(url: str, **options: Any) -> redis.Redis:
    """Return a blocking client with a bounded pool, which retries."""
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.02), RETRIES)
    options = {**CONNECTION, **_POOL, "retry": retry, **options}
    if url.startswith("rediss://"):
        options |= {"redis_connect_func": _ping_once, "connection_class": BlockingTlsConnection}
    return redis.Redis.from_pool(redis.BlockingConnectionPool.from_url(url, **options))


def port_of(url: str) -> tuple[tuple[str, int], bool]:
    """Return a URL's host and port, and whether they should speak TLS."""
    parts = urlsplit(url)
    return (unquote(parts.hostname or "localhost"), parts.port or 6379), parts.scheme == "rediss"


def longest(options: dict[str, Any]) -> float:
    """Return the seconds within which a call may retry its commands, over a blocking client that does not retry.

    Before the last retry sends anything, it may wait for a free connection, connect to two addresses, log in and select
    a database.
    """
    options = CONNECTION | options
    waits = options.get("timeout", 0.0), options["socket_connect_timeout"], options["socket_timeout"]
    if None in waits:
        return math.inf
    return max(LONGEST_CALL, float(RETRY_SECONDS + waits[0] + 2 * waits[1] + 2 * waits[2]))


def _ping_once(connection: AbstractConnection) -> None:
    """Set up a new TLS connection and read the session tickets that a server sends under TLS 1.3.

    redis-py takes a connection for broken if there is something to read before the first command. Reading PING's reply
    reads the tickets, too.
    """
    connection.on_connect()
    connection.send_command("PING", check_health=False)
    connection.read_response()
