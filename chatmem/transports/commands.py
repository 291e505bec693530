"""How chatmem's commands are sent through redis-py's clients, asyncio and blocking alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import RedisCluster
from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError

from chatmem.transports.base import Command, KnownScripts

Send = Callable[[list[Command]], Awaitable[list[Any]]]
"""Sends commands in one round trip and returns their replies, with error replies as exceptions among them."""


async def run_scripts(commands: Sequence[Command], scripts: KnownScripts, send: Send) -> list[Any]:
    """Send the commands; where the server lacks a script, send those commands once more with the script's text.

    Args:
        commands: what to run; scripts are called by their hashes.
        scripts: the scripts that the server should know.
        send: sends commands. Over a blocking client it never suspends, and then neither does this function.
    """
    replies = await send([scripts.prepare(command) for command in commands])
    if lacking := _without_script(commands, replies):
        texts = await send([scripts.with_text(commands[index]) for index in lacking])
        for index, reply in zip(lacking, texts, strict=True):
            replies[index] = reply
    return replies


def _without_script(commands: Sequence[Command], replies: Sequence[Any]) -> list[int]:
    """Return the indexes of the commands to send once more with their scripts' texts.

    These are all commands where the last one is WAIT: it waits only for writes before it on its own connection.
    """
    failed = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    return list(range(len(commands))) if failed and waits_for_replicas(commands) else failed


def waits_for_replicas(commands: Sequence[Command]) -> bool:
    """Return whether the commands are a script's call and the WAIT for it."""
    return commands[-1][0] == "WAIT"


def first_key(command: Command) -> Any:
    """Return the first key of a command, or None if it has none. Typed for redis-py, whose annotations want str."""
    if command[0] in ("EVALSHA", "EVAL"):
        return command[3]  # after the hash or text, and the number of keys
    return command[1] if len(command) > 1 else None


async def know_nodes(client: RedisCluster) -> None:
    """Let a cluster's client look for the nodes, unless it knows any.

    After a failure it looks for them anew, and meanwhile those that it knows serve on. The nodes that fail are left to
    its own methods, which wait for the new ones.
    """
    if not client.nodes_manager.slots_cache:
        await client.initialize()


def options_of(command: Command) -> dict[str, bool]:
    """Return redis-py's options for a command: replies must stay bytes, whatever the client's own options say."""
    return {} if command[0] == "PING" else {NEVER_DECODE: True}  # the cluster client's PING takes no options
