"""redis+cluster:// and rediss+cluster://: a Redis or Valkey Cluster, through redis-py's cluster clients.

A session's keys are in one slot, so every operation goes to one node. redis-py follows moved slots (MOVED, ASK,
TRYAGAIN) and finds a new master after a failover; what it sends again is safe to send again.
"""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from chatmem.addresses.redis import CONNECTION, check_url
from chatmem.transports.asyncio import AsyncioTransport, close_client
from chatmem.transports.base import Transport
from chatmem.transports.blocking import BlockingTransport
from chatmem.transports.retried import RetriedTransport

_RETRIES = 8  # about six seconds in all, in which most failovers end
_OWN_RETRIES = 3
_BACKOFF = ExponentialBackoff(cap=1.0, base=0.05)
_CLUSTER: dict[str, Any] = {"max_connections": 64}


class ClusterAddress:
    """One cluster, by the URL of any of its nodes."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("+cluster", "", 1)
        check_url(self._url)

    def asynchronous(self) -> Transport:
        """Return a transport on redis.asyncio's cluster client."""
        # redis.asyncio's own retries do not cover a connection that it closed itself
        return RetriedTransport(AsyncioTransport(self._open_async, close_client), _OWN_RETRIES, _BACKOFF)

    def blocking(self) -> Transport:
        """Return a transport on redis-py's blocking cluster client."""
        return BlockingTransport(self.open_blocking, owned=True)

    async def _open_async(self) -> redis.asyncio.RedisCluster:
        retry = AsyncRetry(_BACKOFF, _RETRIES)
        return redis.asyncio.RedisCluster.from_url(self._url, retry=retry, **CONNECTION, **_CLUSTER)

    def open_blocking(self) -> redis.RedisCluster:
        """Return a new blocking client, which is the caller's to close."""
        retry = Retry(_BACKOFF, _RETRIES)
        return redis.RedisCluster.from_url(self._url, retry=retry, **CONNECTION, **_CLUSTER)

    def release(self) -> None:
        """Do nothing: it holds nothing."""
