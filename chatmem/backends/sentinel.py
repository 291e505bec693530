"""Backend for redis+sentinel:// and rediss+sentinel://: the master that Redis Sentinel names.

In `redis+sentinel://user:password@host:26379,host2:26379/service/0` user and password are those of the Redis servers.
Those of the sentinels, if they need any, are the query options `sentinel_username` and `sentinel_password`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from chatmem.backends import options as query
from chatmem.backends.redis import CONNECTION, longest
from chatmem.errors import ChatMemError
from chatmem.transports.asyncio import AsyncioTransport
from chatmem.transports.base import Transport
from chatmem.transports.blocking import BlockingTransport
from chatmem.transports.errors import REDIS_ERRORS
from chatmem.transports.retrying import FAILOVER, FAILOVER_RETRIES, AsyncClock, BlockingClock, RetryingTransport
from chatmem.transports.senders import Client
from chatmem.transports.tls import mismatch

_PORT = 26379
RETRIES = FAILOVER_RETRIES


class SentinelBackend:
    """A master and its replicas, given the addresses of their sentinels."""

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.replace("+sentinel", "", 1).partition("://")
        hosts = rest.partition("/")[0].rpartition("@")[2]
        head, question, asked = f"{scheme}://{rest.replace(hosts, 'sentinel', 1)}".partition("?")
        path = urlsplit(head).path
        _, options = query.read(
            head.removesuffix(path) + question + asked, "sentinel_username", "sentinel_password", without=["timeout"]
        )
        service, _, database = unquote(path.strip("/")).partition("/")
        if not service:
            raise ValueError(f"url needs the service's name: {scheme}+sentinel://host:26379,host2:26379/service/0")
        if database and not database.isdigit():
            raise ValueError("url's database must be a number, such as .../service/0")
        self._service = service
        self._sentinels = [_host_and_port(host) for host in hosts.split(",")]
        login = urlsplit(head)
        for name, value in (("username", login.username), ("password", login.password)):
            if value:
                options[name] = unquote(value)
        if scheme == "rediss":
            options["ssl"] = True
        self._own = {
            name: value
            for name in ("username", "password")
            if (value := options.pop(f"sentinel_{name}", None)) is not None
        }
        self._options = {**CONNECTION, "db": int(database or 0), **options}

    def asynchronous(self) -> Transport:
        """Return a transport on redis.asyncio, which follows the master."""
        # no retries by redis.asyncio: they would use the address that failed, while a new call asks the sentinels
        transport = AsyncioTransport(self._open_async, _close)
        return RetryingTransport(transport, AsyncClock(), retries=RETRIES, backoff=FAILOVER, explain=self._mismatch)

    def blocking(self) -> Transport:
        """Return a transport on blocking redis-py, which follows the master."""
        transport = BlockingTransport(lambda: self._open_blocking(Retry(NoBackoff(), 0)), owned=True)
        return RetryingTransport(
            transport,
            BlockingClock(),
            retries=RETRIES,
            backoff=FAILOVER,
            longest=longest(self._options) + 10.0 * len(self._sentinels),  # each may be asked for the master
            explain=self._mismatch,
        )

    def _mismatch(self, error: BaseException | None) -> ChatMemError | None:
        try:
            return mismatch(error, self._sentinel().discover_master(self._service), tls="ssl" in self._options)
        except REDIS_ERRORS:
            return None

    async def _open_async(self) -> redis.asyncio.Redis:
        once = AsyncRetry(NoBackoff(), 0)
        sentinel = AsyncSentinel(self._sentinels, sentinel_kwargs={**CONNECTION, **self._own, "retry": once})
        client: redis.asyncio.Redis = sentinel.master_for(self._service, retry=once, **self._options)
        return client

    def open_blocking(self) -> redis.Redis:
        """Return a new blocking client. The caller closes it."""
        return self._open_blocking(Retry(FAILOVER, RETRIES))

    def _open_blocking(self, retry: Retry) -> redis.Redis:
        client: redis.Redis = self._sentinel().master_for(self._service, retry=retry, **self._options)
        return client

    def _sentinel(self) -> Sentinel:
        once = Retry(NoBackoff(), 0)  # if a sentinel is gone, ask the next one instead of retrying
        return Sentinel(self._sentinels, sentinel_kwargs={**CONNECTION, **self._own, "retry": once})

    def release(self) -> None:
        """Do nothing: this backend holds nothing."""


async def _close(client: Client) -> None:
    """Close the master's client, and those of the sentinels, which redis-py leaves open."""
    await client.aclose()
    if isinstance(client, redis.asyncio.Redis):
        pool: Any = client.connection_pool
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def _host_and_port(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if not parts.hostname or port == 0:
        raise ValueError("url must name sentinels: redis+sentinel://host:26379,host2:26379/service/0")
    return parts.hostname, port or _PORT
