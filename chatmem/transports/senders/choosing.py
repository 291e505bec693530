"""Which sender serves a client: a multiplexer wherever the client is redis-py's own and nobody changed it."""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.client import Pipeline
from redis.asyncio.cluster import ClusterPipeline
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.credentials import StreamingCredentialProvider

from chatmem.transports.senders.base import Client, Sender
from chatmem.transports.senders.client import ClientSender
from chatmem.transports.senders.cluster import ClusterSender
from chatmem.transports.senders.server import ServerSender
from chatmem.transports.tls import TlsConnection

_CONNECTIONS = (
    Connection,
    SSLConnection,
    TlsConnection,
    UnixDomainSocketConnection,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)


def sender_for(client: Client, *, owned: bool) -> Sender:
    """Return a sender over a client.

    Args:
        client: belongs to the running event loop.
        owned: whether chatmem opened it: then no tracing package is asked to watch it.
    """
    if not owned and is_instrumented(client):
        return ClientSender(client)
    if type(client) is Redis and _is_plain(client.connection_pool.connection_class, client.get_connection_kwargs()):
        return ServerSender(client)
    if type(client) is RedisCluster and _is_plain(Connection, client.connection_kwargs):
        return ClusterSender(client)
    return ClientSender(client)


def is_instrumented(client: Client) -> bool:
    """Return whether redis-py's own functions were replaced on the client or its classes, as tracing packages do.

    They would not see what a multiplexer sends.
    """
    places: list[tuple[object, str]] = [(client, "execute_command"), (client, "pipeline")]
    for kind in (Pipeline, ClusterPipeline):
        places += [(kind, "execute"), (kind, "execute_command"), (kind, "immediate_execute_command")]
    for name in ("send_command", "send_packed_command", "read_response", "connect"):
        places += [(kind, name) for kind in _CONNECTIONS if kind is not TlsConnection]
    return any(not _is_redis_pys(getattr(place, name, None)) for place, name in places)


def _is_redis_pys(function: object) -> bool:
    function = function.__func__ if type(function) is MethodType else function
    if type(function) is not FunctionType:  # a wrapper shows the attributes of what it wraps, so its type must decide
        return function is None
    return str(function.__globals__.get("__name__")).partition(".")[0] == "redis"


def _is_plain(connection_class: type[AbstractConnection], options: dict[str, Any]) -> bool:
    # redis-py renews a streaming provider's login only on connections of its own pools
    streams = isinstance(options.get("credential_provider"), StreamingCredentialProvider)
    return connection_class in _CONNECTIONS and not streams
