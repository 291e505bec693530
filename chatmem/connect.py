"""A URL or a client -> the transports that lead there. Nothing here does any I/O before the first round trip."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote, urlsplit

import redis
import redis.asyncio
from anyio import to_thread
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from chatmem.embedded import EmbeddedServer
from chatmem.transports.asyncio import AsyncioTransport
from chatmem.transports.base import Transport
from chatmem.transports.blocking import BlockingTransport
from chatmem.transports.embedded import EmbeddedTransport
from chatmem.transports.threaded import ThreadedTransport

Client = redis.Redis | redis.asyncio.Redis

_SCHEMES = ("redis", "rediss", "unix", "embedded")
_RETRIES = 3
_OPTIONS: dict[str, Any] = {
    # RESP2 needs no HELLO, which Redis 5 lacks, and no CLIENT command
    "protocol": 2,
    "socket_timeout": 5.0,
    "socket_connect_timeout": 5.0,
    "max_connections": 64,
    "timeout": 10.0,  # how long to wait for a free connection
}
try:
    from redis.driver_info import DriverInfo  # noqa: F401
except ImportError:
    _OPTIONS.update(lib_name=None, lib_version=None)
else:
    _OPTIONS["driver_info"] = None


class Connection:
    """Where a memory's sessions are. Its transports are opened on first use and shared by its histories."""

    def __init__(self, url: str | None = None, client: Client | None = None) -> None:
        if url is not None and client is not None:
            raise ValueError("pass url= or client=, not both")
        self._client = client
        self._url: str | None = None
        self._server: EmbeddedServer | None = None
        if client is None:
            self._set_url(url or os.environ.get("CHATMEM_URL") or "embedded://")
        elif not isinstance(client, redis.Redis | redis.asyncio.Redis):
            raise ValueError(f"client must be a redis.Redis or redis.asyncio.Redis, not {type(client).__qualname__}")
        self._asynchronous: Transport | None = None
        self._blocking: Transport | None = None

    def _set_url(self, url: str) -> None:
        scheme, colon, rest = url.partition("://")
        if not colon or scheme not in _SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
            raise ValueError(f"url must begin with one of {known}; this one does not")
        if scheme == "embedded":
            self._server = EmbeddedServer(rest or None)
            return
        try:
            parts = urlsplit(url)
            _ = parts.port
            redis.connection.parse_url(url)
        except ValueError:
            # the original says what it read, which may be a password
            raise ValueError(
                f"url is not a valid {scheme}:// address: write {scheme}://user:password@host:6379/0, with special "
                "characters percent-encoded"
            ) from None
        self._url = url

    def asynchronous(self) -> Transport:
        """Return the transport for coroutines."""
        if self._asynchronous is None:
            if isinstance(self._client, redis.Redis):
                self._asynchronous = ThreadedTransport(self.blocking())
            else:
                self._asynchronous = AsyncioTransport(self._open_async, owned=self._client is None)
            if self._server is not None:
                self._asynchronous = EmbeddedTransport(self._asynchronous, self._start_in_thread)
        return self._asynchronous

    def blocking(self) -> Transport:
        """Return the transport for synchronous callers.

        Raises:
            ValueError: the caller gave an asyncio client only.
        """
        if isinstance(self._client, redis.asyncio.Redis):
            raise ValueError(
                "client is a redis.asyncio.Redis, which synchronous code cannot use: pass a redis.Redis as client=, or "
                "a URL"
            )
        if self._blocking is None:
            self._blocking = BlockingTransport(self._open_blocking, owned=self._client is None)
            if self._server is not None:
                self._blocking = EmbeddedTransport(self._blocking, self._start)
        return self._blocking

    async def _open_async(self) -> redis.asyncio.Redis:
        if isinstance(self._client, redis.asyncio.Redis):
            return self._client
        url = self._url or _unix(await self._start_in_thread())
        retry = AsyncRetry(ExponentialBackoff(cap=0.5, base=0.02), _RETRIES)
        pool = redis.asyncio.BlockingConnectionPool.from_url(url, retry=retry, **_OPTIONS)
        return redis.asyncio.Redis(connection_pool=pool)

    def _open_blocking(self) -> redis.Redis:
        if isinstance(self._client, redis.Redis):
            return self._client
        url = self._url or _unix(self._acquire())
        retry = Retry(ExponentialBackoff(cap=0.5, base=0.02), _RETRIES)
        return redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(url, retry=retry, **_OPTIONS))

    def _acquire(self) -> str:
        assert self._server is not None  # noqa: S101 - _set_url has set one or the other
        return self._server.acquire()

    async def _start(self) -> str:
        return self._acquire()

    async def _start_in_thread(self) -> str:
        return await to_thread.run_sync(self._acquire)

    async def aclose(self) -> None:
        """Close what was opened here; a client that was given stays open."""
        if self._asynchronous is not None:
            await self._asynchronous.aclose()
        await self._close_blocking()

    async def _close_blocking(self) -> None:
        if self._blocking is not None:
            await self._blocking.aclose()
        if self._server is not None:
            self._server.release()

    async def close(self) -> None:
        """Close as `aclose` does, without an event loop: what an event loop opened is left to it."""
        await self._close_blocking()


def _unix(path: str) -> str:
    return f"unix://{quote(path)}"
