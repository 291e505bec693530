"""The connection to a URL or a client. Nothing here does any I/O before the first round trip."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from chatmem.backends.base import Backend, UrlBackend
from chatmem.backends.client import Client, backend_of
from chatmem.backends.cluster import ClusterBackend
from chatmem.backends.embedded import EmbeddedBackend
from chatmem.backends.redis import RedisBackend
from chatmem.backends.sentinel import SentinelBackend
from chatmem.extras import needed
from chatmem.transports.any_loop import AnyLoopTransport
from chatmem.transports.base import Transport
from chatmem.transports.driving import drive

__all__ = ["Client", "Connection", "backend_at", "connection_to"]

_SCHEMES: dict[str, Callable[[str], UrlBackend]] = {
    "redis": RedisBackend,
    "rediss": RedisBackend,
    "unix": RedisBackend,
    "redis+cluster": ClusterBackend,
    "rediss+cluster": ClusterBackend,
    "redis+sentinel": SentinelBackend,
    "rediss+sentinel": SentinelBackend,
    "embedded": lambda url: EmbeddedBackend(url.partition("://")[2]),
}
_REST_SCHEMES = ("upstash", "https", "http")
_BARE = re.compile(r"(localhost|[\w.-]+:\d{1,5}|\[[\da-fA-F:]+\]:\d{1,5})(/\d*)?", re.ASCII)
"""A host with a port, and perhaps a database; nothing that can hold a password."""


class Connection:
    """A memory's backend and its transports, which are made on first use and shared by the memory's histories."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # filled by `setdefault`, so that concurrent threads and signal handlers get the same transport
        self._asynchronous: dict[None, AnyLoopTransport] = {}
        self._blocking: dict[None, Transport] = {}
        self._closed = False

    def asynchronous(self) -> Transport:
        """Return the transport for coroutines."""
        transport = self._asynchronous.get(None)
        if transport is None:
            transport = AnyLoopTransport(self._backend.asynchronous(), self.blocking)
            transport.closed = self._closed
            return self._asynchronous.setdefault(None, transport)
        return transport

    def blocking(self) -> Transport:
        """Return the transport for synchronous callers.

        Raises:
            ValueError: the backend is a caller's asyncio client, which cannot be used without a loop.
        """
        transport = self._blocking.get(None)
        if transport is None:
            transport = self._backend.blocking()
            if self._closed:
                drive(transport.aclose())
            return self._blocking.setdefault(None, transport)
        return transport

    async def aclose(self) -> None:
        """Close the connections that were opened here, and refuse further calls. A caller's client stays open."""
        self._closed = True
        for transport in self._asynchronous.values():
            await transport.aclose()
        await self.close()

    async def close(self) -> None:
        """Do what `aclose` does, without an event loop. What was opened in a loop is closed when the loop ends."""
        self._closed = True
        for transport in self._asynchronous.values():
            transport.closed = True
        for blocking in self._blocking.values():
            await blocking.aclose()
        self._backend.release()


def connection_to(url: str | None = None, client: Client | None = None, token: str | None = None) -> Connection:
    """Return a connection to a URL or a caller's client; without either, to what the environment names.

    Raises:
        ValueError: an argument is wrong.
    """
    if client is not None and (url is not None or token is not None):
        raise ValueError(f"pass {'url=' if token is None else 'token='} or client=, not both")
    return Connection(backend_at(url, token) if client is None else backend_of(client))


def backend_at(url: str | None, token: str | None = None) -> UrlBackend:
    """Return the backend at a URL; without one, the backend that the environment names.

    Raises:
        ValueError: chatmem does not know the URL's scheme, or the URL or token is wrong.
    """
    for name, value in (("url", url), ("token", token)):
        if not isinstance(value, str | None):
            raise ValueError(f"{name} must be a str, not {type(value).__name__}: pass what it holds as text")
    url = url or os.environ.get("CHATMEM_URL") or ""
    scheme, colon, _ = url.partition("://")
    if colon and scheme in _REST_SCHEMES:
        return _upstash(url, token)
    if token is not None:
        raise ValueError("token is only for Upstash's REST API: pass it with an https:// url, or leave it out")
    if not url:
        return _default()
    if not colon or scheme not in _SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in (*_SCHEMES, *_REST_SCHEMES[:2]))
        raise ValueError(f"url must begin with one of {known}; this one does not{_suggestion(url)}")
    return _SCHEMES[scheme](url)


def _suggestion(url: str) -> str:
    """Return what to say of a URL without a scheme, if it is safe to show."""
    return f". Did you mean redis://{url}?" if _BARE.fullmatch(url) else ""


def _default() -> UrlBackend:
    """Return the database that Upstash's own environment variables name, or else the embedded server."""
    url, token = (os.environ.get(f"UPSTASH_REDIS_REST_{name}") for name in ("URL", "TOKEN"))
    if not url and not token:
        return EmbeddedBackend("")
    if not url or not token:
        raise ValueError("only one of UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN is set: set both, or neither")
    return _upstash(url, token)


def _upstash(url: str, token: str | None) -> UrlBackend:
    with needed("Upstash needs", "upstash", "upstash_redis"):
        from chatmem.backends.upstash import UpstashBackend  # noqa: PLC0415
    return UpstashBackend(url, token)
