"""Redis 5.0 is enough: every command that an operation sends, and that its script calls, is one of its."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem.sync
from chatmem import scripts
from chatmem.dropin.langchain_community import RedisChatMessageHistory
from chatmem.dropin.memorystore import MemorystoreChatMessageHistory
from tests.conftest import start
from tests.servers import SERVERS
from tests.wire import watched

_CALL = re.compile(rb"(?:redis\.call|in_slices)\('([A-Z]+)'")
PUSHES = {"LPUSH", "RPUSH"}

OPERATIONS: dict[str, tuple[Any, set[str]]] = {
    "append": (lambda history: history.append("a", lc.AIMessage("b", id="1"), idempotency_key="k"), {"EVAL"}),
    "messages": (lambda history: history.messages(last=1), {"LRANGE", "EVAL"}),
    "entries": (lambda history: list(history.entries()), {"LRANGE", "EVALSHA"}),
    "count": (lambda history: history.count(), {"LLEN"}),
    "info": (lambda history: history.info(), {"LLEN", "HMGET", "PTTL"}),
    "touch": (lambda history: history.touch(), {"EVALSHA"}),
    "clear": (lambda history: history.clear(), {"UNLINK"}),
}


@pytest.fixture(scope="module")
def oldest() -> Iterator[str]:
    with ExitStack() as stack:
        yield start(next(server for server in SERVERS if server.name == "Redis 5.0"), stack)


@pytest.fixture(scope="module")
def known(oldest: str) -> set[str]:
    """The names of Redis 5.0's commands, as it lists them itself."""
    with redis.Redis.from_url(oldest, protocol=2) as client:
        info: Any = client.info("server")
        assert info["redis_version"].startswith("5.0.")
        return {name.upper() for name in client.command()}


def test_each_operation(oldest: str, known: set[str]) -> None:
    """What goes over the wire."""
    with watched(oldest) as wire, chatmem.sync.connect(wire.url, ttl=60, ttl_refresh="read") as memory:
        for name, (operation, wanted) in OPERATIONS.items():
            wire.reset()
            operation(memory.history("old"))
            assert set(wire.commands) == wanted <= known, name
        public = {name for name in vars(chatmem.sync.History) if not name.startswith("_")}
        assert public == set(OPERATIONS)


def test_the_classes_that_are_replaced(oldest: str, known: set[str]) -> None:
    """What goes over the wire of theirs."""
    with watched(oldest) as wire, redis.Redis.from_url(wire.url, protocol=2) as client:
        for history in (
            RedisChatMessageHistory("old", wire.url, ttl=60),
            MemorystoreChatMessageHistory(client, "old", ttl=60),
        ):
            history.add_messages([lc.HumanMessage("a")])
            assert history.messages == [lc.HumanMessage("a")]
            history.clear()
        assert {"EVAL", "LRANGE", "UNLINK"} <= set(wire.commands) <= known


def test_each_script(known: set[str]) -> None:
    """What the scripts call."""
    for script in scripts.BY_SHA.values():
        called = {name.decode() for name in _CALL.findall(script.text)}
        assert called <= known
    assert known >= PUSHES
