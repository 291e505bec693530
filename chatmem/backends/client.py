"""Backends for a caller's own redis-py client, which is used as it is and stays open."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Union

import redis
import redis.asyncio
from redis.retry import Retry

from chatmem.backends.base import Backend
from chatmem.transports.asyncio import AsyncioTransport
from chatmem.transports.base import Transport
from chatmem.transports.blocking import BlockingTransport
from chatmem.transports.wrappers import ThreadedTransport

if TYPE_CHECKING:
    import upstash_redis.asyncio

AsyncClient = redis.asyncio.Redis | redis.asyncio.RedisCluster
BlockingClient = redis.Redis | redis.RedisCluster
Client = Union[AsyncClient, BlockingClient, "upstash_redis.Redis", "upstash_redis.asyncio.Redis"]


class AsyncClientBackend:
    """The server or cluster of a redis.asyncio client."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def asynchronous(self) -> Transport:
        """Return a transport on the client."""
        return AsyncioTransport(self._open, close=None)

    def blocking(self) -> Transport:
        """Raise a ValueError that says what to pass."""
        raise ValueError(
            f"client is a {_name(self._client)}, which synchronous code cannot use: "
            "pass a redis.Redis as client=, or a URL"
        )

    async def _open(self) -> AsyncClient:
        return self._client

    def release(self) -> None:
        """Do nothing: the client is the caller's."""


class BlockingClientBackend:
    """The server or cluster of a blocking redis-py client."""

    def __init__(self, client: BlockingClient) -> None:
        self._client = client

    def asynchronous(self) -> Transport:
        """Return a transport that uses the client in worker threads."""
        return ThreadedTransport(self.blocking())

    def blocking(self) -> Transport:
        """Return a transport on the client."""
        return BlockingTransport(lambda: self._client, owned=False, longest=_longest(self._client))

    def release(self) -> None:
        """Do nothing: the client is the caller's."""


def backend_of(client: Client) -> Backend:
    """Return the backend of a client.

    Raises:
        ValueError: it is not a client that chatmem knows.
    """
    if isinstance(client, AsyncClient):
        return AsyncClientBackend(client)
    if isinstance(client, BlockingClient):
        return BlockingClientBackend(client)
    if (backend := _upstash(client)) is not None:
        return backend
    raise ValueError(
        "client must be a redis.Redis, redis.asyncio.Redis, a RedisCluster of either, or a Redis of upstash_redis, "
        f"not {_name(client)}"
    )


def _upstash(client: object) -> Backend | None:
    if not any(kind.__module__.startswith("upstash_redis.") for kind in type(client).__mro__):
        return None
    from chatmem.backends import upstash  # noqa: PLC0415 - an extra

    return upstash.backend_of(client)


def _longest(client: BlockingClient) -> float:
    """Return for how many seconds a client may retry one command; for each retry it may retry to connect, too."""
    retry: Retry | None
    if isinstance(client, redis.RedisCluster):
        nodes: Any = client.nodes_manager
        options, retry, wait = nodes.connection_kwargs, client.retry, 0.0
    else:
        pool: Any = client.connection_pool
        options, retry, wait = pool.connection_kwargs, client.get_retry(), getattr(pool, "timeout", 0.0)
    retries = 0 if retry is None else retry.get_retries()
    read = options.get("socket_timeout", redis.Connection().socket_timeout)
    connect = options.get("socket_connect_timeout") or read
    if retries < 0 or None in (read, connect, wait):
        return math.inf
    backoff: Any = None if retry is None else retry._backoff
    pauses = retries * getattr(backoff, "_cap", backoff.compute(1)) if retries else 0.0
    return float(wait + (retries + 1) * ((retries + 1) * connect + pauses + 3 * read) + pauses)


def _name(client: object) -> str:
    return f"{type(client).__module__.removesuffix('.client')}.{type(client).__qualname__}"
