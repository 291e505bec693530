"""upstash:// and https://: a database at Upstash by its REST API, or the caller's own client of the vendor's.

`upstash://:TOKEN@host`, or `https://host` with `token=`. Imported on use only: the vendor's package is an extra.
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
    """One database, by URL and token."""

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
        """Return a new blocking client, which is the caller's to close."""
        client = BlockingClient(self._url, self._token, **_CLIENT)
        client._http._client.timeout = httpx.Timeout(**TIMEOUTS)
        return client

    def release(self) -> None:
        """Do nothing: it holds nothing."""


class AsyncUpstashClientBackend:
    """Where an `upstash_redis.asyncio.Redis` leads."""

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
    """Where an `upstash_redis.Redis` leads."""

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
    """Return the backend that a client of the vendor's leads to, or None where it is none."""
    if isinstance(client, AsyncClient):
        return AsyncUpstashClientBackend(client)
    return BlockingUpstashClientBackend(client) if isinstance(client, BlockingClient) else None


def _retrying(requests: Requests, clock: Clock, longest: float) -> Transport:
    """Return a transport that also waits where the server says that it cannot serve now; the clients do the rest."""
    longest = 2 * longest + RETRY_SECONDS  # twice, where a script's text has to be sent too
    return RetryingTransport(UpstashTransport(requests, longest), clock, retries=0, backoff=SOON, longest=longest)


def _own_longest() -> float:
    return _seconds(httpx.Timeout(**TIMEOUTS), _RETRIES, _INTERVAL)


def _longest(client: AsyncClient | BlockingClient) -> float:
    """Return for how many seconds a client sends one request again."""
    http: Any = client._http
    return _seconds(http._client.timeout, max(0, http._retries), http._retry_interval)


def _seconds(timeout: httpx.Timeout, retries: int, interval: float) -> float:
    parts = (timeout.pool, timeout.connect, timeout.write, timeout.read)
    if None in parts:
        return math.inf if retries else 0.0
    return retries * (sum(filter(None, parts)) + interval) + sum(filter(None, parts[:3]))


def _read(url: str, token: str | None) -> tuple[str, str]:
    """Return the REST API's URL and the token, and never show either in an error."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        own, _ = parts.password, parts.port
    except ValueError:
        raise ValueError(f"url is not a valid address of Upstash's REST API: {_HOW}") from None
    if parts.query:
        raise ValueError("url has options, and that of Upstash's REST API takes none: leave out what follows the ?")
    if not parts.hostname or parts.fragment:
        raise ValueError(f"url is not a valid address of Upstash's REST API: {_HOW}")
    if own is not None and token is not None:
        raise ValueError("pass the token in url or as token=, not both")
    given = token if own is None else unquote(own)
    if given is None:
        raise ValueError(f"url needs a token: {_HOW}")
    scheme = "https" if parts.scheme == "upstash" else parts.scheme
    return f"{scheme}://{host}{parts.path.rstrip('/')}", _check_token(given)


def _check_token(token: str) -> str:
    """Return the token, or raise a ValueError where HTTP cannot carry it, whose own error would show it."""
    if not _HEADER.fullmatch(token):
        raise ValueError("token must be the REST token as the console shows it, without blanks or line ends")
    return token


def _token_of(client: AsyncClient | BlockingClient) -> str:
    return str(client._headers["Authorization"]).removeprefix("Bearer ")
