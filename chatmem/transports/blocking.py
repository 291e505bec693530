"""Transport on a blocking redis-py client, whose coroutines never suspend: `driving.drive` runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from redis import BlockingConnectionPool, Redis, RedisCluster
from redis.exceptions import ResponseError

from chatmem.transports import own_connections, replicated
from chatmem.transports.background import ThreadBackground
from chatmem.transports.base import (
    KEYS_AT_ONCE,
    LONGEST_CALL,
    Background,
    Command,
    KnownScripts,
    Subscription,
    closed,
)
from chatmem.transports.commands import Send, options_of, run_scripts, waits_for_replicas
from chatmem.transports.errors import REDIS_ERRORS, checked, translate
from chatmem.transports.listening import BlockingSubscription
from chatmem.transports.shared_clients import SharedClients

Client = Redis | RedisCluster


class _Opened(NamedTuple):
    """A client, and how commands go over it."""

    client: Client
    send: Send


class BlockingTransport:
    """Runs commands on a blocking redis-py client, from any thread."""

    def __init__(self, open_client: Callable[[], Client], *, owned: bool, longest: float = LONGEST_CALL) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client, when it is first used.
            owned: whether `aclose` closes it.
            longest: in seconds; see `Transport.longest`.
        """
        opened = partial(_opened, open_client, owned=owned)
        self._clients = SharedClients(opened, _close if owned else None, _can_be_interrupted)
        self._scripts = KnownScripts()
        self.longest = longest

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        opened: _Opened | None = None
        try:
            opened = self._clients.enter()
            replies = await run_scripts(commands, self._scripts, opened.send)
        except REDIS_ERRORS as error:
            if self._clients.closed:
                raise closed() from None
            raise translate(error) from error
        except (ValueError, AttributeError):  # redis-py's, where the connection was closed during this call
            if self._clients.closed:
                raise closed() from None
            raise
        finally:
            if opened is not None:
                self._clients.leave()
        return checked(replies)

    async def scan(self, match: bytes) -> AsyncIterator[bytes]:
        """Iterate over matching keys; see `Transport`."""
        client = self._clients.enter().client
        try:
            for key in client.scan_iter(match, count=KEYS_AT_ONCE):
                yield key.encode() if isinstance(key, str) else key
        except REDIS_ERRORS as error:
            raise translate(error) from error
        finally:
            self._clients.leave()

    def subscribe(self, channel: bytes) -> Subscription:
        """Return a subscription to a channel; see `Transport`."""
        return BlockingSubscription(channel, self._clients)

    def background(self) -> Background:
        """Return what runs work in a thread; see `Transport`."""
        return ThreadBackground()

    async def checkpoint(self) -> None:
        """Do nothing: no other task runs in this thread."""

    async def aclose(self) -> None:
        """Close what this transport opened."""
        self._clients.close()


def _opened(open_client: Callable[[], Client], *, owned: bool) -> _Opened:
    client = open_client()
    own = own_connections.of_client(client) if owned else None
    return _Opened(client, partial(_send, client, _caches(client)) if own is None else own.send)


def _caches(client: Client) -> bool:
    """Return whether redis-py answers reads from a cache of its own, which may lag behind what others wrote."""
    if isinstance(client, RedisCluster):
        return getattr(client.nodes_manager, "_cache", None) is not None
    return getattr(client.connection_pool, "cache", None) is not None


async def _send(client: Client, caches: bool, commands: list[Command]) -> list[Any]:
    if len(commands) == 1 and not caches:  # a pipeline goes past the cache
        execute: Any = client.execute_command
        try:
            return [execute(*commands[0], **options_of(commands[0]))]
        except ResponseError as error:
            return [error]
    if isinstance(client, RedisCluster) and waits_for_replicas(commands):
        return await replicated.send_blocking(client, commands)
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command, **options_of(command))
    return pipeline.execute(raise_on_error=False)


def _close(opened: _Opened) -> None:
    opened.client.close()


def _can_be_interrupted(opened: _Opened) -> bool:
    """Return whether a call may interrupt another call of the same thread without waiting for a lock that it holds."""
    client = opened.client
    if isinstance(client, RedisCluster):
        return True
    return client.connection is None and not isinstance(client.connection_pool, BlockingConnectionPool)
