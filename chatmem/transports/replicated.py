"""A write followed by WAIT on a cluster: both must reach one node on one connection.

redis-py's own routing does not promise that. WAIT waits only for the writes of its own connection, so a write that was
redirected to another node is done again there. That is safe: everything that chatmem writes may be written twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, TryAgainError

from chatmem.transports.base import Command
from chatmem.transports.commands import first_key

_ELSEWHERE = (MovedError, AskError, TryAgainError, ClusterDownError)
_ATTEMPTS = 3


async def send(client: redis.asyncio.RedisCluster, commands: Sequence[Command]) -> list[Any]:
    """Send calls of scripts and a WAIT to the node of their keys; return their replies and errors."""

    async def on_node() -> list[Any]:
        await client.initialize()
        node = client.get_node_from_key(first_key(commands[0]))
        pipeline: Any = client.pipeline()
        for command in commands:
            pipeline.execute_command(*command, target_nodes=node)
        replies: list[Any] = await pipeline.execute(raise_on_error=False, allow_redirections=False)
        return replies

    async def follow() -> None:
        await client.execute_command(*commands[0])

    return await send_to_owner(on_node, follow)


async def send_blocking(client: redis.RedisCluster, commands: Sequence[Command]) -> list[Any]:
    """Do what `send` does, on a blocking client; the coroutine never suspends."""

    async def on_node() -> list[Any]:
        node: Any = client.get_node_from_key(first_key(commands[0]))
        pipeline = client.get_redis_connection(node).pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return pipeline.execute(raise_on_error=False)

    async def follow() -> None:
        client.execute_command(*commands[0])

    return await send_to_owner(on_node, follow)


async def send_to_owner(
    on_node: Callable[[], Awaitable[list[Any]]], follow: Callable[[], Awaitable[None]]
) -> list[Any]:
    """Send to the node that should have the keys, until it has them.

    Args:
        on_node: sends the commands to that node.
        follow: sends the first write alone, by which redis-py learns where the slot is now.
    """
    for _ in range(_ATTEMPTS):
        replies = await on_node()
        if not any(isinstance(reply, _ELSEWHERE) for reply in replies):
            return replies
        with suppress(NoScriptError):  # the caller then sends the script's text
            await follow()
    raise TryAgainError("the session's slot is moving between nodes: done, but no replica confirmed it")
