"""One connection per URL for the whole process: applications make the replaced classes anew for every request."""

from __future__ import annotations

from functools import cache
from typing import Any

from chatmem.backends.base import UrlBackend
from chatmem.backends.cluster import ClusterBackend
from chatmem.backends.connection import Connection, backend_at
from chatmem.backends.redis import RedisBackend
from chatmem.transports.base import Transport
from chatmem.transports.wrappers import ServerOrClusterTransport


@cache
def shared_connection_to(url: str, token: str | None = None, **options: Any) -> Connection:
    """Return the process's connection to a URL. Forks and event loops get clients of their own.

    Args:
        url: a URL, as `chatmem.connect` takes it.
        token: the token of Upstash's REST API.
        options: redis-py's options, for a `redis://` or `rediss://` URL.

    Raises:
        ValueError: chatmem does not know the URL's scheme, or options are given with another URL.
    """
    return Connection(_backend(url, token, options))


@cache
def client_of(url: str, token: str | None = None, **options: Any) -> Any:
    """Return the process's blocking client for a URL, for callers that use `redis_client` themselves."""
    return _backend(url, token, options).open_blocking()


def _backend(url: str, token: str | None, options: dict[str, Any]) -> UrlBackend:
    if url.partition("://")[0] in ("redis", "rediss"):
        return _ServerOrCluster(url, **options)
    if options:
        names = ", ".join(options)
        raise ValueError(f"{names}: only redis:// URLs take options; put them into the URL's query, or pass a client")
    return backend_at(url, token)


class _ServerOrCluster(RedisBackend):
    """A server, or a node of a cluster: the replaced classes took either, and asked the server which it is."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._cluster: ClusterBackend | None
        try:
            self._cluster = ClusterBackend(url)
        except ValueError:  # the URL names a database, or an option, that clusters do not have
            self._cluster = None

    def asynchronous(self) -> Transport:
        server = super().asynchronous()
        return server if self._cluster is None else ServerOrClusterTransport(server, self._cluster.asynchronous())

    def blocking(self) -> Transport:
        server = super().blocking()
        return server if self._cluster is None else ServerOrClusterTransport(server, self._cluster.blocking())
