"""redis+sentinel:// and rediss+sentinel://: the master that Redis Sentinel names.

`redis+sentinel://user:password@host:26379,host2:26379/service/0`: user and password are the servers' own; those of the
sentinels, if they have any, are the query options `sentinel_username` and `sentinel_password`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from chatmem.addresses.redis import CONNECTION, check_url
from chatmem.transports.asyncio import AsyncioTransport
from chatmem.transports.base import Transport
from chatmem.transports.blocking import BlockingTransport
from chatmem.transports.links import Client
from chatmem.transports.retried import RetriedTransport

_PORT = 26379
_RETRIES = 8  # about six seconds in all, in which most failovers end
_BACKOFF = ExponentialBackoff(cap=1.0, base=0.05)


class SentinelAddress:
    """One master and its replicas, by the addresses of their sentinels."""

    def __init__(self, url: str) -> None:
        scheme, _, rest = url.replace("+sentinel", "", 1).partition("://")
        hosts = rest.partition("/")[0].rpartition("@")[2]
        plain = f"{scheme}://{rest.replace(hosts, 'sentinel', 1)}"
        check_url(plain)
        service, _, database = unquote(urlsplit(plain).path.strip("/")).partition("/")
        if not service:
            raise ValueError(f"url needs the service's name: {scheme}+sentinel://host:26379,host2:26379/service/0")
        if database and not database.isdigit():
            raise ValueError("url's database must be a number: .../service/0")
        self._service = service
        self._sentinels = [_host_and_port(host) for host in hosts.split(",")]
        options: dict[str, Any] = dict(redis.connection.parse_url(plain.replace(urlsplit(plain).path, "/0", 1)))
        for name in ("host", "port"):
            options.pop(name, None)
        if options.pop("connection_class", None) is not None:
            options["ssl"] = True
        self._own = {
            name: value
            for name in ("username", "password")
            if (value := options.pop(f"sentinel_{name}", None)) is not None
        }
        self._options = {**CONNECTION, **options, "db": int(database or 0)}

    def asynchronous(self) -> Transport:
        """Return a transport on redis.asyncio, which follows the master."""
        # redis.asyncio's own retries stay with the address that failed; a new call asks the sentinels again
        return RetriedTransport(AsyncioTransport(self._open_async, _close), _RETRIES, _BACKOFF)

    def blocking(self) -> Transport:
        """Return a transport on blocking redis-py, which follows the master."""
        return BlockingTransport(self.open_blocking, owned=True)

    async def _open_async(self) -> redis.asyncio.Redis:
        once = AsyncRetry(NoBackoff(), 0)
        sentinel = AsyncSentinel(self._sentinels, sentinel_kwargs={**CONNECTION, **self._own, "retry": once})
        return sentinel.master_for(self._service, retry=once, **self._options)  # type: ignore[no-any-return]

    def open_blocking(self) -> redis.Redis:
        """Return a new blocking client, which is the caller's to close."""
        once = Retry(NoBackoff(), 0)  # a sentinel that is gone: the next one is asked
        sentinel = Sentinel(self._sentinels, sentinel_kwargs={**CONNECTION, **self._own, "retry": once})
        return sentinel.master_for(  # type: ignore[no-any-return]
            self._service, retry=Retry(_BACKOFF, _RETRIES), **self._options
        )

    def release(self) -> None:
        """Do nothing: it holds nothing."""


async def _close(client: Client) -> None:
    """Close the client of the master, and those of the sentinels, which redis-py leaves open."""
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
        raise ValueError("url names no sentinel: redis+sentinel://host:26379,host2:26379/service/0")
    return parts.hostname, port or _PORT
