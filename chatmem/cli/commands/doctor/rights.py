"""Whether this user may run the commands that chatmem runs. Each is tried, on keys that are deleted afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from chatmem import scripts
from chatmem.cli.commands.doctor.finding import Finding, Level
from chatmem.cli.store import Store
from chatmem.core.keys import log_of, session_keys
from chatmem.core.policy import Policy
from chatmem.errors import ChatMemError
from chatmem.sessions import Sessions
from chatmem.transports.base import Command
from chatmem.transports.driving import drive
from chatmem.transports.listening import Polling

_EMPTY = b"return 0"
_MARKED = "archived, pinned and tagged sessions, and memory.count"
_LIVE, _STREAMS = "live changes", "live changes and running answers"
_PUSHING = "ACL SETUSER ... +publish +spublish +subscribe +ssubscribe +unsubscribe +sunsubscribe &PREFIX:*"
_PATIENCE = 1.0
"""Seconds in which a change must arrive."""


def needed_commands(first: bytes, second: bytes) -> Iterator[Command]:
    """Yield a call of each command that chatmem and its scripts need.

    Args:
        first: a key for a list.
        second: a key for a hash, then for a sorted set.
    """
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
    yield "PEXPIRE", second, b"60000"  # so that it expires even if UNLINK is refused
    yield "ZREVRANGEBYSCORE", second, b"+inf", b"-inf"
    yield "ZREM", second, b"a"
    yield "ZREMRANGEBYRANK", second, b"0", b"-1"
    yield "EVAL", _EMPTY, b"1", first
    for _ in range(2):  # a script is sent as EVAL first, then as EVALSHA
        yield scripts.READ.call((first, first, first), b"", b"", b"at", b"0")
    yield "RENAME", first, second
    yield "UNLINK", first, second


def _optional_commands(key: bytes, log: bytes) -> Iterator[tuple[Command, str]]:
    """Yield a call of each command that only some features need, and the feature.

    Args:
        key: a key for a sorted set, then for a string.
        log: a key for a stream, absent at first.
    """
    yield ("SCAN", b"0", b"COUNT", b"1"), "commands that work on all sessions"
    yield ("MEMORY", "USAGE", key), "the sizes in `chatmem stats`"
    for name in ("ZRANGEBYLEX", "ZREVRANGEBYLEX", "ZLEXCOUNT"):
        yield (name, key, b"-", b"-"), _MARKED
    yield ("ZCARD", key), _MARKED
    yield ("HGETALL", log), _MARKED
    yield ("SET", key, b"", b"PX", b"1"), "compression with a dictionary"
    yield ("GET", key), "compression with a dictionary"
    yield ("XADD", log, b"*", b"c", b"a"), _STREAMS
    yield ("XRANGE", log, b"-", b"+"), _STREAMS
    yield ("XREVRANGE", log, b"+", b"-"), _LIVE


def check_rights(store: Store) -> Iterator[Finding]:
    """Yield a finding for each command that is refused."""
    name = f"doctor-{uuid.uuid4()}"
    keys = session_keys(store.policy.prefix, name)
    log = log_of(keys)
    needed = list(needed_commands(keys.messages, keys.ids))
    failed = {}
    for command in needed:
        if (reason := _refusal(store, command)) is not None:
            failed[str(command[0])] = reason
    for name, reason in failed.items():
        yield Finding("rights", Level.ERROR, f"{name} does not work: {reason}", f"ACL SETUSER ... +{name.lower()}")
    if not failed:
        count = len({str(command[0]) for command in needed})
        yield Finding("rights", Level.OK, f"all {count} commands that chatmem needs work for this user")
    for command, feature in _optional_commands(keys.state, log):
        if (reason := _refusal(store, command)) is not None:
            yield Finding("rights", Level.WARNING, f"{command[0]!s} does not work: {reason}", f"needed for {feature}")
    _refusal(store, ("UNLINK", *keys, log))
    if not failed:
        try:
            pushed = _is_pushed(store, name, log)
        except ChatMemError as error:
            yield Finding("rights", Level.WARNING, f"cannot listen to a session: {error}", f"needed for {_LIVE}")
        else:
            if not pushed:
                text = "a change of a session does not reach its listeners at once: they poll for it"
                yield Finding("rights", Level.WARNING, text, _PUSHING)
        _refusal(store, ("UNLINK", *keys, log))


def _is_pushed(store: Store, name: str, log: bytes) -> bool:
    """Return whether a listener hears of a write; True where no server of this kind can push."""
    publishing = Sessions(store.sessions.connection, Policy(store.policy.prefix, 60, publish=True))
    subscription = publishing.transport(blocking=True).subscribe(log)
    if isinstance(subscription, Polling):
        return True
    try:
        drive(subscription.next(0, 0))  # subscribes
        drive(publishing.history(name, blocking=True).append("a message of chatmem doctor"))
        return drive(subscription.next(_PATIENCE, 0)) is not None
    finally:
        drive(subscription.aclose())


def _refusal(store: Store, command: Command) -> str | None:
    try:
        store.server.run(command)
    except ChatMemError as error:
        return str(error)
    return None
