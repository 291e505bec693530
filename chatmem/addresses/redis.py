"""redis://, rediss://, unix://: one server, on connections that chatmem opens."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.connection import AbstractConnection
from redis.retry import Retry

from chatmem.transports.asyncio import AsyncioTransport, close_client
from chatmem.transports.base import Transport
from chatmem.transports.blocking import BlockingTransport

_RETRIES = 3
_BACKOFF = ExponentialBackoff(cap=0.5, base=0.02)

CONNECTION: dict[str, Any] = {
    # RESP2 needs no HELLO, which Redis 5 lacks, and no CLIENT command
    "protocol": 2,
    "socket_timeout": 5.0,
    "socket_connect_timeout": 5.0,
}
"""What chatmem's own connections are opened with; a URL's query options win over it."""
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


def check_url(url: str) -> None:
    """Raise a ValueError where redis-py cannot read the URL, without showing its password."""
    if _can_be_read(url):
        return
    # outside of `except`: the original, which would be this error's context, says what it read, maybe a password
    scheme = url.partition("://")[0]
    raise ValueError(
        f"url is not a valid {scheme}:// address: write {scheme}://user:password@host:6379/0, with special "
        "characters percent-encoded"
    )


def _can_be_read(url: str) -> bool:
    try:
        _ = urlsplit(url).port
        redis.connection.parse_url(url)
    except ValueError:
        return False
    return True


class RedisAddress:
    """One server."""

    def __init__(self, url: str, **options: Any) -> None:
        """Check the URL.

        Args:
            url: redis://, rediss:// or unix://.
            options: of redis-py, beside those in the URL.
        """
        check_url(url)
        self._url = url
        self._options = options

    def asynchronous(self) -> Transport:
        """Return a transport on redis.asyncio."""
        return AsyncioTransport(self._open_async, close_client)

    def blocking(self) -> Transport:
        """Return a transport on blocking redis-py."""
        return BlockingTransport(self.open_blocking, owned=True)

    async def _open_async(self) -> redis.asyncio.Redis:
        return open_async(self._url, **self._options)

    def open_blocking(self) -> redis.Redis:
        """Return a new blocking client, which is the caller's to close."""
        return open_blocking(self._url, **self._options)

    def release(self) -> None:
        """Do nothing: it holds nothing."""


def open_async(url: str, **options: Any) -> redis.asyncio.Redis:
    """Return an asyncio client with a bounded pool of its own."""
    retry = AsyncRetry(_BACKOFF, _RETRIES)
    pool = redis.asyncio.BlockingConnectionPool.from_url(url, **{**CONNECTION, **_POOL, "retry": retry, **options})
    return redis.asyncio.Redis.from_pool(pool)


def open_blocking(url: str, **options: Any) -> redis.Redis:
    """Return a blocking client with a bounded pool of its own."""
    options = {**CONNECTION, **_POOL, "retry": Retry(_BACKOFF, _RETRIES), **options}
    if url.startswith("rediss://"):
        options["redis_connect_func"] = _ping_once
    return redis.Redis.from_pool(redis.BlockingConnectionPool.from_url(url, **options))


def _ping_once(connection: AbstractConnection) -> None:
    """Complete a new TLS connection, and read what the server sends of its own accord.

    redis-py takes a connection for broken that has something to read before the first command, as one of TLS 1.3 has:
    the server's session tickets. Reading a reply reads them too.
    """
    connection.on_connect()
    connection.send_command("PING", check_health=False)
    connection.read_response()
