"""One connection per URL for the whole process: applications make the replaced classes anew for every request."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from chatmem.backends.base import UrlBackend
from chatmem.backends.cluster import ClusterBackend
from chatmem.backends.connection import Connection, backend_at
from chatmem.backends.redis import RedisBackend
from chatmem.transports.base import Transport
from chatmem.transports.wrappers import ServerOrClusterTransport

_MOST = 256
"""Connections that are shared at once. Some options, such as a new credential provider, make each one another."""


class _Options:
    """redis-py's options, which two calls share if their values are equal."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self._key = _hashable(given)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Options) and self._key == other._key


def _hashable(value: Any) -> Any:
    """Return a value that stands for this one in a dict's key; an object that has no hash stands for itself alone."""
    if isinstance(value, dict):
        return frozenset((name, _hashable(item)) for name, item in value.items())
    if isinstance(value, list | tuple):
        return (type(value), *map(_hashable, value))
    try:
        hash(value)
    except TypeError:
        return id(value)
    return (type(value), value)  # as 1 and True are equal


def shared_connection_to(url: str, token: str | None = None, **options: Any) -> Connection:
    """Return the process's connection to a URL. Forks and event loops get clients of their own.

    Args:
        url: a URL, as `chatmem.connect` takes it.
        token: the token of Upstash's REST API.
        options: redis-py's options, for a `redis://` or `rediss://` URL.

    Raises:
        ValueError: chatmem does not know the URL's scheme, or options are given with another URL.
    """
    return _connection(url, token, _Options(options))


@lru_cache(_MOST)
def _connection(url: str, token: str | None, options: _Options) -> Connection:
    return Connection(_backend(url, token, options.given))


def client_of(url: str, token: str | None = None, **options: Any) -> Any:
    """Return the process's blocking client for a URL, for callers that use `redis_client` themselves."""
    return _client(url, token, _Options(options))


@lru_cache(_MOST)
def _client(url: str, token: str | None, options: _Options) -> Any:
    return _backend(url, token, options.given).open_blocking()


def _backend(url: str, token: str | None, options: dict[str, Any]) -> UrlBackend:
    if url.partition("://")[0] in ("redis", "rediss"):
        return _ServerOrCluster(url, **options)
    if options:
        names = ", ".join(options)
        raise ValueError(f"{names}: only redis:// URLs take options; put them into the URL's query, or pass a client")
    return backend_at(_with_service(url), token)


def _with_service(url: str) -> str:
    """Return the URL of sentinels with the name that the replaced classes gave to a service without one."""
    head, mark, query = url.partition("?")
    scheme, _, rest = head.partition("://")
    authority, _, path = rest.partition("/")
    service, slash, database = path.partition("/")
    if service or scheme not in ("redis+sentinel", "rediss+sentinel"):
        return url
    return f"{scheme}://{authority}/mymaster{slash}{database}{mark}{query}"


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
