"""Whether this user may run what chatmem runs: each command is tried, on keys that are removed again."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from chatmem import scripts
from chatmem.cli.commands.doctor.finding import Finding, Level
from chatmem.cli.store import Store
from chatmem.core.keys import session_keys
from chatmem.errors import ChatMemError
from chatmem.transports.base import Command

_EMPTY = b"return 0"


def _needed(first: bytes, second: bytes) -> Iterator[Command]:
    """Yield a call of each command that chatmem and its scripts need, on a list and a hash, then a sorted set."""
    yield ("PING",)
    yield ("TIME",)
    for command in (("RPUSH", b"a"), ("LPUSH", b"b"), ("LLEN",), ("LINDEX", b"0"), ("LRANGE", b"0", b"-1")):
        yield command[0], first, *command[1:]
    for command in (("LSET", b"0", b"c"), ("LREM", b"1", b"c"), ("LTRIM", b"0", b"0")):
        yield command[0], first, *command[1:]
    for command in (("PEXPIREAT", b"4102444800000"), ("PERSIST",), ("PEXPIRE", b"60000"), ("PTTL",), ("EXISTS",)):
        yield command[0], first, *command[1:]
    for command in (("HSET", b"a", b"1"), ("HSETNX", b"b", b"1"), ("HGET", b"a"), ("HMGET", b"a"), ("HSCAN", b"0")):
        yield command[0], second, *command[1:]
    yield "HLEN", second
    yield "HDEL", second, b"a", b"b"
    for command in (("ZADD", b"1", b"a"), ("ZSCORE", b"a"), ("ZRANGEBYSCORE", b"-inf", b"+inf")):
        yield command[0], second, *command[1:]
    yield "PEXPIRE", second, b"60000"  # it goes whatever is refused
    yield "ZREVRANGEBYSCORE", second, b"+inf", b"-inf"
    yield "ZREM", second, b"a"
    yield "ZREMRANGEBYRANK", second, b"0", b"-1"
    yield "EVAL", _EMPTY, b"1", first
    for _ in range(2):  # the first time a script goes out as EVAL
        yield scripts.READ.call((first, first, first), b"", b"", b"at", b"0")
    yield "RENAME", first, second
    yield "UNLINK", first, second


def _useful(key: bytes) -> Iterator[tuple[Command, str]]:
    """Yield what only some need, and for what."""
    yield ("SCAN", b"0", b"COUNT", b"1"), "the commands that look over all sessions"
    yield ("MEMORY", "USAGE", key), "the sizes in `chatmem stats`"
    yield ("SET", key, b"", b"PX", b"1"), "compression with a dictionary"
    yield ("GET", key), "compression with a dictionary"


def check_rights(store: Store) -> Iterator[Finding]:
    """Yield what is refused."""
    keys = session_keys(store.policy.prefix, f"doctor-{uuid.uuid4()}")
    needed = list(_needed(keys.messages, keys.ids))
    failed = {}
    for command in needed:
        if (reason := _refusal(store, command)) is not None:
            failed[_name(command)] = reason
    for name, reason in failed.items():
        yield Finding("rights", Level.ERROR, f"{name} does not work: {reason}", f"ACL SETUSER ... +{name.lower()}")
    if not failed:
        yield Finding(
            "rights",
            Level.OK,
            f"all of the {len(set(map(_name, needed)))} commands that chatmem needs work for this user",
        )
    for command, purpose in _useful(keys.state):
        if (reason := _refusal(store, command)) is not None:
            yield Finding("rights", Level.WARNING, f"{_name(command)} does not work: {reason}", f"it serves {purpose}")
    _refusal(store, ("UNLINK", *keys))


def _refusal(store: Store, command: Command) -> str | None:
    try:
        store.server.run(command)
    except ChatMemError as error:
        return str(error)
    return None


def _name(command: Command) -> str:
    return str(command[0])
