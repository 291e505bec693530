"""How commands go over a redis.asyncio client: through a multiplexer wherever that is redis-py's own, unchanged."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Sequence
from types import FunctionType, MethodType
from typing import Any, Protocol

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.client import Pipeline
from redis.asyncio.cluster import ClusterNode, ClusterPipeline
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection
from redis.credentials import StreamingCredentialProvider
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's name
    MovedError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
    TimeoutError,  # noqa: A004 - redis-py's name
    TryAgainError,
)

from chatmem.errors import UnavailableError
from chatmem.transports import replicated
from chatmem.transports.base import LONGEST_CALL, Command, options_of
from chatmem.transports.multiplexer import Multiplexer
from chatmem.transports.tls import TlsConnection

Client = Redis | RedisCluster

_CONNECTIONS = (
    Connection,
    SSLConnection,
    TlsConnection,
    UnixDomainSocketConnection,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
_ELSEWHERE = (MovedError, AskError, TryAgainError, ClusterDownError, ReadOnlyError)
_LOST = (ConnectionError, TimeoutError)
PLAIN_SECONDS = 40.0
"""How long a call of a client's own methods may take, its tries and their pauses included."""


class Link(Protocol):
    """A way over one client."""

    @property
    def client(self) -> Client:
        """The client."""
        ...

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in one round trip; return replies and errors."""
        ...

    async def aclose(self) -> None:
        """Close what was opened beside the client."""
        ...


def link_to(client: Client, *, own: bool) -> Link:
    """Return the way over a client: a multiplexer, or the client's own methods where somebody changed them.

    Args:
        client: of this loop.
        own: whether chatmem opened it: nobody else then watches what it does.
    """
    if not own and is_watched(client):
        return PlainLink(client)
    if type(client) is Redis and _is_plain(client.connection_pool.connection_class, client.get_connection_kwargs()):
        return ServerLink(client)
    if type(client) is RedisCluster and _is_plain(Connection, client.connection_kwargs):
        return ClusterLink(client)
    return PlainLink(client)


def is_watched(client: Client) -> bool:
    """Return whether somebody put other functions in the places of redis-py's own, as tracing packages do."""
    places: list[tuple[object, str]] = [(client, "execute_command"), (client, "pipeline")]
    for kind in (Pipeline, ClusterPipeline):
        places += [(kind, "execute"), (kind, "execute_command"), (kind, "immediate_execute_command")]
    for name in ("send_command", "send_packed_command", "read_response", "connect"):
        places += [(kind, name) for kind in _CONNECTIONS if kind is not TlsConnection]
    return any(not _is_redis_pys(getattr(place, name, None)) for place, name in places)


def _is_redis_pys(function: object) -> bool:
    function = function.__func__ if type(function) is MethodType else function
    if type(function) is not FunctionType:  # a wrapper shows the attributes of what it wraps, so its type must tell
        return function is None
    return str(function.__globals__.get("__name__")).partition(".")[0] == "redis"


def _is_plain(connection_class: type[AbstractConnection], options: dict[str, Any]) -> bool:
    # redis-py logs in anew on connections of its own pools only
    streams = isinstance(options.get("credential_provider"), StreamingCredentialProvider)
    return connection_class in _CONNECTIONS and not streams


class PlainLink:
    """The client's own methods: a connection of its pool for each call."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in one round trip; see `Link`."""
        try:
            async with asyncio.timeout(PLAIN_SECONDS):  # the client itself may send again for longer
                return await self._send(commands)
        except (AttributeError, TypeError) as error:  # TypeError: of asyncio's own transport, from Python 3.12 on
            # redis.asyncio's cluster client, on finding a node gone, closes the connections of all callers under them
            if isinstance(self.client, RedisCluster):
                raise ConnectionError("Connection closed while the cluster was looked up anew") from error
            raise

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        if len(commands) == 1:
            try:
                return [await self.client.execute_command(*commands[0], **options_of(commands[0]))]
            except ResponseError as error:
                return [error]
        if isinstance(self.client, RedisCluster) and replicated.is_confirmed(commands):
            return await replicated.send(self.client, commands)
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command, **options_of(command))
        return await pipeline.execute(raise_on_error=False)

    async def aclose(self) -> None:
        """Do nothing: nothing is open beside the client."""


class ServerLink:
    """A multiplexer to one server, whose connections are made as the client's are, and tried again as its are."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        pool = client.connection_pool
        self._multiplexer = Multiplexer(pool.make_connection, pool.connection_kwargs.get("socket_timeout"))
        self._plain = PlainLink(client)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in one round trip; see `Link`."""
        if replicated.is_confirmed(commands):  # WAIT would hold up all others
            return await self._plain.send(commands)
        retry = self.client.get_retry()
        if retry is None or not retry.get_retries():
            return await self._send(commands)
        return await self._retried(commands, retry)

    async def _retried(self, commands: Sequence[Command], retry: Retry) -> list[Any]:
        """Try as often as the caller's client does, but only as long as `LONGEST_CALL` says."""
        end = asyncio.get_running_loop().time() + LONGEST_CALL
        again = False

        async def once() -> list[Any]:
            nonlocal again
            try:
                async with asyncio.timeout_at(end if again else None):  # a first request may take as long as it gets on
                    again = True
                    return await self._send(commands)
            except builtins.TimeoutError:
                raise UnavailableError(f"the server could not be reached for {LONGEST_CALL:g} s") from None

        return await retry.call_with_retry(once, _once_more)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._multiplexer.run(commands)
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            await self._multiplexer.reset()  # it was a master; the next connection finds the one that is
        return replies

    async def aclose(self) -> None:
        """Close the multiplexer."""
        await self._multiplexer.aclose()


async def _once_more(_: Exception) -> None:
    """Do nothing before another try: the multiplexer opens another connection by itself."""


class ClusterLink:
    """A multiplexer to each node; what is not there any more is left to redis-py, which learns where it went."""

    def __init__(self, client: RedisCluster) -> None:
        self.client = client
        self._multiplexers: dict[str, Multiplexer] = {}
        self._plain = PlainLink(client)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send the commands in one round trip, to all nodes at once; see `Link`."""
        if replicated.is_confirmed(commands) or any(_key(command) is None for command in commands):
            return await self._plain.send(commands)
        await self.client.initialize()
        try:
            nodes = [self.client.get_node_from_key(_key(command)) for command in commands]  # type: ignore[arg-type]
        except RedisClusterException:
            return await self._plain.send(commands)
        groups: dict[str | None, list[int]] = {}  # by name: redis-py 6's nodes have no hash
        for index, node in enumerate(nodes):
            groups.setdefault(node.name if node else None, []).append(index)
        if len(groups) == 1:
            return await self._send(nodes[0], commands)
        parts = [self._send(nodes[group[0]], [commands[index] for index in group]) for group in groups.values()]
        replies: list[Any] = [None] * len(commands)
        for group, part in zip(groups.values(), await asyncio.gather(*parts), strict=True):
            for index, reply in zip(group, part, strict=True):
                replies[index] = reply
        return replies

    async def _send(self, node: ClusterNode | None, commands: Sequence[Command]) -> list[Any]:
        if node is None:
            return await self._plain.send(commands)
        try:
            replies = await self._multiplexer(node).run(commands)
        except _LOST:
            if (multiplexer := self._multiplexers.pop(node.name, None)) is not None:
                await multiplexer.aclose()
            return await self._plain.send(commands)
        except RedisClusterException:
            return await self._plain.send(commands)
        if any(isinstance(reply, _ELSEWHERE) for reply in replies):
            return await self._plain.send(commands)
        return replies

    def _multiplexer(self, node: ClusterNode) -> Multiplexer:
        multiplexer = self._multiplexers.get(node.name)
        if multiplexer is None:
            options = node.connection_kwargs
            multiplexer = Multiplexer(lambda: node.connection_class(**options), options.get("socket_timeout"))
            self._multiplexers[node.name] = multiplexer
        return multiplexer

    async def aclose(self) -> None:
        """Close the multiplexers."""
        for multiplexer in self._multiplexers.values():
            await multiplexer.aclose()


def _key(command: Command) -> str | bytes | None:
    """Return the first key of a command, or None where it has none."""
    if command[0] in ("EVALSHA", "EVAL"):
        return command[3]
    return command[1] if len(command) > 1 else None
