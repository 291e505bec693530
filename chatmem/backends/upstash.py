"""Backends for Upstash's REST API: upstash://:TOKEN@host, https://host with `token=`, or a caller's Upstash client.

This module is imported when it is needed: the vendor's package is an extra.
"""

from __future__ import annotations

import math
import re
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
from upstash_redis import Redis as BlockingClient
from upstash_redis.asyncio import Redis as AsyncClient

from chatmem.backends.base import Backend
from chatmem.transports.base import Transport
from chatmem.transports.retrying import RETRY_SECONDS, SOON, AsyncClock, BlockingClock, Clock, RetryingTransport
from chatmem.transports.upstash import AsyncRequests, BlockingRequests, Requests, UpstashTransport
from chatmem.transports.wrappers import ThreadedTransport

TIMEOUTS = {"timeout": 5.0, "pool": 10.0}  # seconds; the vendor's clients set none
_RETRIES, _INTERVAL = 2, 0.2
_CLIENT: dict[str, Any] = {"rest_retries": _RETRIES, "rest_retry_interval": _INTERVAL, "allow_telemetry": False}
_HOW = "write upstash://:TOKEN@host, or https://host with token="
_HEADER = re.compile(r"[!-~]+")


class UpstashBackend:
    """A database, given its URL and token."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url, self._token = _read(url, token)

    def asynchronous(self) -> Transport:
        """Return a transport on the vendor's asyncio client."""
        return _retrying(
            AsyncRequests(self._open_async, AsyncClient.close),
            AsyncClock(),
            _own_longest(),
        )

    def blocking(self) -> Transport:
        """Return a transport on the vendor's blocking client."""
        return _retrying(
            BlockingRequests(self.open_blocking, BlockingClient.close),
            BlockingClock(),
            _own_longest(),
        )

    def _open_async(self) -> AsyncClient:
        client = AsyncClient(self._url, self._token, **_CLIENT)
        client._http._client.timeout = httpx.Timeout(**TIMEOUTS)
        return client

    def open_blocking(self) -> BlockingClient:
        """Return a new blocking client. The caller closes it."""
        client = BlockingClient(self._url, self._token, **_CLIENT)
        client._http._client.timeout = httpx.Timeout(**TIMEOUTS)
        return client

    def release(self) -> None:
        """Do nothing: this backend holds nothing."""


class AsyncUpstashClientBackend:
    """The database of an `upstash_redis.asyncio.Redis`."""

    def __init__(self, client: AsyncClient) -> None:
        _check_token(_token_of(client))
        self._client = client

    def asynchronous(self) -> Transport:
        """Return a transport on the client."""
        return _retrying(AsyncRequests(lambda: self._client, None), AsyncClock(), _longest(self._client))

    def blocking(self) -> Transport:
        """Raise a ValueError that says what to pass."""
        raise ValueError(
            "client is an upstash_redis.asyncio.Redis, which synchronous code cannot use: "
            "pass an upstash_redis.Redis as client=, or a URL"
        )

    def release(self) -> None:
        """Do nothing: the client is the caller's."""


class BlockingUpstashClientBackend:
    """The database of an `upstash_redis.Redis`."""

    def __init__(self, client: BlockingClient) -> None:
        _check_token(_token_of(client))
        self._client = client

    def asynchronous(self) -> Transport:
        """Return a transport that uses the client in worker threads."""
        return ThreadedTransport(self.blocking())

    def blocking(self) -> Transport:
        """Return a transport on the client."""
        return _retrying(BlockingRequests(lambda: self._client, None), BlockingClock(), _longest(self._client))

    def release(self) -> None:
        """Do nothing: the client is the caller's."""


def backend_of(client: object) -> Backend | None:
    """Return the backend of one of the vendor's clients, or None if it is another object."""
    if isinstance(client, AsyncClient):
        return AsyncUpstashClientBackend(client)
    return BlockingUpstashClientBackend(client) if isinstance(client, BlockingClient) else None


def _retrying(requests: Requests, clock: Clock, longest: float) -> Transport:
    """Return a transport that retries when the server says that it cannot serve now; clients do their own retries."""
    longest = 2 * longest + RETRY_SECONDS  # twice: a second request may send a script's text
    return RetryingTransport(UpstashTransport(requests, longest), clock, retries=0, backoff=SOON, longest=longest)


def _own_longest() -> float:
    return _seconds(httpx.Timeout(**TIMEOUTS), _RETRIES, _INTERVAL)


def _longest(client: AsyncClient | BlockingClient) -> float:
    """Return the seconds within which a client retries one request."""
    http: Any = client._http
    return _seconds(http._client.timeout, max(0, http._retries), http._retry_interval)


def _seconds(timeout: httpx.Timeout, retries: int, interval: float) -> float:
    parts = (timeout.pool, timeout.connect, timeout.write, timeout.read)
    if None in parts:
        return math.inf if retries else 0.0
    return retries * (sum(filter(None, parts)) + interval) + sum(filter(None, parts[:3]))


def _read(url: str, token: str | None) -> tuple[str, str]:
    """Return the REST API's URL and the token. No error shows either."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        own, _ = parts.password, parts.port
    except ValueError:
        raise ValueError(f"url is not a valid URL of Upstash's REST API: {_HOW}") from None
    if parts.query:
        raise ValueError("url has options, but Upstash's REST API takes none: leave out everything from the ? on")
    if not parts.hostname or parts.fragment:
        raise ValueError(f"url is not a valid URL of Upstash's REST API: {_HOW}")
    if own is not None and token is not None:
        raise ValueError("pass the token in url or as token=, not both")
    given = token if own is None else unquote(own)
    if given is None:
        raise ValueError(f"url needs a token: {_HOW}")
    scheme = "https" if parts.scheme == "upstash" else parts.scheme
    return f"{scheme}://{host}{parts.path.rstrip('/')}", _check_token(given)


def _check_token(token: str) -> str:
    """Return the token.

    Raises:
        ValueError: it cannot stand in an HTTP header. The HTTP client's own error would show it.
    """
    if not _HEADER.fullmatch(token):
        raise ValueError("token must be the REST token as Upstash's console shows it, without blanks or line breaks")
    return token


def _token_of(client: AsyncClient | BlockingClient) -> str:
    return str(client._headers["Authorization"]).removeprefix("Bearer ")
