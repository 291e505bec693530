"""A write with WAIT on a cluster: both on one connection to one node, which redis-py's own routing does not promise.

WAIT waits for what its own connection wrote, so a write that was redirected to another node has to be done again there.
All that chatmem writes may be done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import AskError, ClusterDownError, MovedError, NoScriptError, TryAgainError

from chatmem.transports.base import Command

_ELSEWHERE = (MovedError, AskError, TryAgainError, ClusterDownError)
_ATTEMPTS = 3


def is_confirmed(commands: Sequence[Command]) -> bool:
    """Return whether the commands are a script's call and the WAIT for it."""
    return commands[-1][0] == "WAIT"


async def send(client: redis.asyncio.RedisCluster, commands: Sequence[Command]) -> list[Any]:
    """Send the commands to the node that has the script's keys; return replies and errors."""
    for _ in range(_ATTEMPTS):
        await client.initialize()
        node = client.get_node_from_key(_key(commands))
        pipeline: Any = client.pipeline()
        for command in commands:
            pipeline.execute_command(*command, target_nodes=node)
        replies: list[Any] = await pipeline.execute(raise_on_error=False, allow_redirections=False)
        if not isinstance(replies[0], _ELSEWHERE):
            return replies
        with suppress(NoScriptError):  # whoever asked sends it whole then
            await client.execute_command(*commands[0])  # follows, and learns, where the slot is
    raise _moving()


def send_blocking(client: redis.RedisCluster, commands: Sequence[Command]) -> list[Any]:
    """Do what `send` does, on a blocking client."""
    for _ in range(_ATTEMPTS):
        node: Any = client.get_node_from_key(_key(commands))
        pipeline = client.get_redis_connection(node).pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = pipeline.execute(raise_on_error=False)
        if not isinstance(replies[0], _ELSEWHERE):
            return replies
        with suppress(NoScriptError):  # as above
            client.execute_command(*commands[0])
    raise _moving()


def _key(commands: Sequence[Command]) -> Any:
    return commands[0][3]  # EVALSHA, hash, number of keys, key


def _moving() -> TryAgainError:
    return TryAgainError("the session's slot is moving between nodes: done, but no replica confirmed it")
