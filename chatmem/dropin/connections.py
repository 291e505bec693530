"""One connection a URL for the whole process, since the classes replaced are constructed anew for every request."""

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
    """Return the process's connection to a URL; options are redis-py's. Forks and event loops get clients of their own.

    Raises:
        ValueError: the URL is none that chatmem knows, or options are given with one that takes them in its query.
    """
    return Connection(_address(url, token, options))


@cache
def client_of(url: str, token: str | None = None, **options: Any) -> Any:
    """Return the process's blocking client of a URL, for callers who want to talk to the server themselves."""
    return _address(url, token, options).open_blocking()


def _address(url: str, token: str | None, options: dict[str, Any]) -> UrlBackend:
    if url.partition("://")[0] in ("redis", "rediss"):
        return _ServerOrCluster(url, **options)
    if options:
        names = ", ".join(options)
        raise ValueError(f"with this url write {names} as its query options, or pass a client")
    return backend_at(url, token)


class _ServerOrCluster(RedisBackend):
    """A server, or a node of a cluster, which those classes found out by asking it."""

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
