"""Backend for redis+cluster:// and rediss+cluster://: a Redis or Valkey Cluster, on redis-py's cluster clients.

A session's keys are in one slot, so every operation goes to one node. redis-py follows moved slots (MOVED, ASK,
TRYAGAIN) and finds the new master after a failover. It retries, which is safe for everything that chatmem sends.
"""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from chatmem.backends import options
from chatmem.backends.redis import CONNECTION, longest, port_of
from chatmem.errors import ChatMemError
from chatmem.transports.asyncio import AsyncioTransport, close_client
from chatmem.transports.base import Transport
from chatmem.transports.blocking import BlockingTransport
from chatmem.transports.retrying import FAILOVER, FAILOVER_RETRIES, AsyncClock, BlockingClock, RetryingTransport
from chatmem.transports.tls import mismatch

_CLUSTER: dict[str, Any] = {"max_connections": 64}
_NOT_HERE = ("timeout", *options.lacking(redis.asyncio.RedisCluster))


class ClusterBackend:
    """A cluster, given the URL of any of its nodes."""

    def __init__(self, url: str) -> None:
        self._url, given = options.read(url.replace("+cluster", "", 1), without=_NOT_HERE)
        if given.pop("db", 0):
            raise ValueError("url names a database, but a cluster has only 0: leave the number out")
        self._options = {**CONNECTION, **_CLUSTER, **given}

    def asynchronous(self) -> Transport:
        """Return a transport on redis.asyncio's cluster client."""
        transport = AsyncioTransport(self._open_async, close_client)
        return RetryingTransport(
            transport, AsyncClock(), retries=FAILOVER_RETRIES, backoff=FAILOVER, explain=self._mismatch
        )

    def blocking(self) -> Transport:
        """Return a transport on redis-py's blocking cluster client."""
        transport = BlockingTransport(self._open_once, owned=True)
        return RetryingTransport(
            transport,
            BlockingClock(),
            retries=FAILOVER_RETRIES,
            backoff=FAILOVER,
            longest=2 * longest(self._options),  # one try may look up the slots and follow a redirection
            explain=self._mismatch,
        )

    def _mismatch(self, error: BaseException | None) -> ChatMemError | None:
        address, tls = port_of(self._url)
        return mismatch(error, address, tls=tls)

    async def _open_async(self) -> redis.asyncio.RedisCluster:
        retry = AsyncRetry(NoBackoff(), 0)
        return redis.asyncio.RedisCluster.from_url(self._url, retry=retry, **self._options)

    def _open_once(self) -> redis.RedisCluster:
        return redis.RedisCluster.from_url(self._url, retry=Retry(NoBackoff(), 0), **self._options)

    def open_blocking(self) -> redis.RedisCluster:
        """Return a new blocking client. The caller closes it."""
        return redis.RedisCluster.from_url(self._url, retry=Retry(FAILOVER, FAILOVER_RETRIES), **self._options)

    def release(self) -> None:
        """Do nothing: this backend holds nothing."""
