"""A session without branches, summary, annotations, marks and listeners costs what it did before there were any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem.sync
from tests.wire import Wire, watched

pytestmark = pytest.mark.filterwarnings("ignore:.*memory_usage.*:DeprecationWarning")

ONE, TWO = ["EVALSHA"], ["EVALSHA", "EVALSHA"]
OPERATIONS: dict[str, tuple[Callable[[chatmem.sync.History], object], list[str], list[str]]] = {
    "messages": (lambda history: history.messages(), ["LRANGE"], ONE),
    "messages(last=)": (lambda history: history.messages(last=2), ["LRANGE"], ONE),
    "window": (lambda history: history.window(tokens=4000), ["EVALSHA", "LRANGE"], ONE),
    "page": (lambda history: history.page(limit=2), ONE, ONE),
    "entries": (lambda history: list(history.entries()), ONE, ONE),
    "search": (lambda history: history.search("hello"), ONE, ONE),
    "get": (lambda history: history.get(1), ONE, ONE),
    "count": (lambda history: history.count(), ONE, ONE),
    "info": (lambda history: history.info(), ONE, ONE),
    "append": (lambda history: history.append("hello"), ONE, TWO),
    "append with ids": (lambda history: history.append(lc.AIMessage("hello", id="m")), ONE, TWO),
    "append with a key": (lambda history: history.append("hello", idempotency_key="k"), ONE, TWO),
    "put": (lambda history: history.put(lc.HumanMessage("hello", id="p")), ONE, TWO),
    "replace": (lambda history: history.replace(1, "hello"), ONE, TWO),
    "delete": (lambda history: history.delete(2), ONE, TWO),
    "update": (lambda history: history.update(title="T", metadata={"a": 1}), ONE, TWO),
    "touch": (lambda history: history.touch(), ONE, TWO),
    "truncate": (lambda history: history.truncate(after=3), ONE, TWO),
    "clear": (lambda history: history.clear(), ONE, [*TWO, "EVALSHA"]),
}
"""What is done, and the commands that it takes without and with a user, whose index a write keeps."""
STATE = {"version", "next", "created", "updated", "recent", "edited", "life", "until", "title", "metadata"}


@pytest.fixture
def wire(url: str) -> Iterator[Wire]:
    with watched(url) as wire:
        yield wire


@pytest.mark.parametrize("user", [None, "ann"])
def test_commands(wire: Wire, prefix: str, user: str | None) -> None:
    """Each operation is the commands that it was."""
    with chatmem.sync.connect(wire.url, prefix=prefix, ttl=60) as memory:
        for name, (operation, unowned, owned) in OPERATIONS.items():
            history = memory.history(name, user=user)
            for _ in range(2):  # the first time, scripts travel whole
                memory.history(name).clear()
                history.append(*"abcdef")
                wire.reset()
                operation(history)
            assert (name, wire.commands) == (name, unowned if user is None else owned)


def test_commands_of_lists(wire: Wire, prefix: str) -> None:
    """A page of two sessions is three commands for each."""
    with chatmem.sync.connect(wire.url, prefix=prefix, ttl=60) as memory:
        for name in "ab":
            memory.history(name, user="ann").append("hello")
        memory.sessions("ann")
        wire.reset()
        memory.sessions("ann")
        assert wire.commands == ["EVALSHA", *["LLEN", "HMGET", "PTTL"] * 2]


@pytest.mark.parametrize("user", [None, "ann"])
def test_bytes(url: str, prefix: str, user: str | None) -> None:
    """The keys hold the fields that they did, of the length that they had, and no key is larger than these make it."""
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory, redis.Redis.from_url(url) as raw:
        history = memory.history("chat", user=user)
        history.append("hello", lc.AIMessage("hello", id="m"), "x")
        history.append("y", idempotency_key="k")
        history.replace(0, "other")
        history.delete(2)
        history.update(title="T", metadata={"a": 1})
        keys = {name.decode().rpartition(":")[2]: name for name in raw.keys(f"{prefix}:{{chat}}*")}
        assert keys.keys() == {"m", "i", "s"}
        elements, ids, state = raw.lrange(keys["m"], 0, -1), raw.hgetall(keys["i"]), raw.hgetall(keys["s"])
        assert {field.decode() for field in state} == STATE | ({"user"} if user else set())
        sizes = sum(map(len, elements)), _size(ids), _size(state)
        assert sizes == ((75, 26, 166) if user is None else (75, 29, 173))
        for key, value in (("m", elements), ("i", ids), ("s", state)):
            copy = f"{prefix}:{{copy}}:{key}"
            raw.rpush(copy, *value) if isinstance(value, list) else raw.hset(copy, mapping=value)
            assert _memory(raw, keys[key]) <= _memory(raw, copy)


def _size(stored: dict[bytes, bytes]) -> int:
    return sum(len(field) + len(value) for field, value in stored.items())


def _memory(raw: redis.Redis, key: Any) -> int:
    usage = raw.memory_usage(key, samples=0)
    assert usage is not None
    return usage
