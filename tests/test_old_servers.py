"""Redis 5.0 is enough: every command that an operation sends, and that its script calls, is one of its."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis
import redis.asyncio
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem import scripts
from chatmem.dropin.langchain_community import RedisChatMessageHistory
from chatmem.dropin.memorystore import MemorystoreChatMessageHistory
from tests.conftest import start
from tests.servers import SERVERS
from tests.wire import watched

_CALL = re.compile(rb"(?:redis\.p?call|in_slices)\('([A-Z]+)'|'(Z(?:REV)?RANGEBY(?:SCORE|LEX))'")
PUSHES = {"LPUSH", "RPUSH"}
SHARDED = {"SPUBLISH", "SSUBSCRIBE"}
"""What is tried first where something is published: a server that lacks it gets the command without the S."""


def answered(history: chatmem.sync.History) -> None:
    with history.answer("Why?", id="x") as draft:
        draft.write("Because.")
        time.sleep(0.1)


RING = chatmem.KeyRing({"k": bytes(32)})
OPERATIONS: dict[str, tuple[Any, set[str]]] = {
    "append": (lambda history: history.append("a", lc.AIMessage("b", id="1"), idempotency_key="k"), {"EVAL"}),
    "messages": (lambda history: history.messages(last=1), {"EVALSHA"}),
    "window": (lambda history: history.window(messages=1), {"EVALSHA"}),
    "entries": (lambda history: list(history.entries()), {"EVAL", "EVALSHA"}),
    "page": (lambda history: history.page(), {"EVALSHA"}),
    "get": (lambda history: history.get("1"), {"EVALSHA"}),
    "search": (lambda history: history.search("a"), {"EVALSHA"}),
    "put": (lambda history: history.put(lc.AIMessage("c", id="1")), {"EVALSHA"}),
    "replace": (lambda history: history.replace("1", "d"), {"EVALSHA"}),
    "fork": (lambda history: history.fork("old fork").clear(), {"EVALSHA"}),
    "delete": (lambda history: history.delete("1"), {"EVALSHA"}),
    "reencrypt": (lambda history: history.reencrypt(), {"EVALSHA"}),
    "annotate": (lambda history: history.annotate(0, {"rating": 1}), {"EVALSHA"}),
    "summarize": (lambda history: history.summarize(up_to=0, summary=["s"]), {"EVALSHA"}),
    "summary": (lambda history: history.summary(), {"EVALSHA"}),
    "branch": (lambda history: history.branch(after=-1), {"EVALSHA"}),
    "branches": (lambda history: history.branches(), {"EVALSHA"}),
    "switch": (lambda history: history.switch(0), {"EVALSHA"}),
    "delete_branch": (lambda history: history.delete_branch(1), {"EVALSHA"}),
    "truncate": (lambda history: history.truncate(after=0), {"EVALSHA"}),
    "compact": (lambda history: history.compact(up_to=0, replacement=["e"]), {"EVALSHA"}),
    "update": (lambda history: history.update(title="t"), {"EVALSHA"}),
    "count": (lambda history: history.count(), {"EVALSHA"}),
    "info": (lambda history: history.info(), {"EVALSHA"}),
    "touch": (lambda history: history.touch(), {"EVALSHA"}),
    "changes": (lambda history: list(history.changes(timeout=1)), {"EVALSHA", "SSUBSCRIBE", "SUBSCRIBE"}),
    "answer": (answered, {"EVALSHA"}),
    "follow": (lambda history: list(history.follow("x")), {"EVALSHA"}),
    "stop": (lambda history: history.stop(), {"EVALSHA"}),
    "clear": (lambda history: history.clear(), {"EVALSHA"}),
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
    with watched(oldest) as wire, chatmem.sync.connect(wire.url, ttl=60, ttl_refresh="read", encryption=RING) as memory:
        for name, (operation, wanted) in OPERATIONS.items():
            wire.reset()
            operation(memory.history("old", user="alice"))
            assert set(wire.commands) - {"EVAL"} == wanted - {"EVAL"}, name
            assert set(wire.commands) - SHARDED <= known
        public = {name for name in dir(chatmem.sync.History) if not name.startswith("_")}
        assert public == set(OPERATIONS)
        wire.reset()
        memory.history("old", user="alice").append("x")
        assert memory.sessions("alice").sessions[0].count == 1
        assert memory.search("alice", "x")
        assert memory.forget("alice") == 1
        assert set(wire.commands) - {"EVAL"} == {"EVALSHA", "LLEN", "HMGET", "PTTL"}


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
        called = {(name or other).decode() for name, other in _CALL.findall(script.text)}
        assert called - SHARDED <= known
    assert known >= PUSHES


async def test_a_client_that_wants_resp3(oldest: str) -> None:
    """A server before Redis 6 knows no HELLO, which redis-py 8 begins with: the error says what to pass."""
    async with redis.asyncio.Redis.from_url(oldest, protocol=3) as client:
        with pytest.raises(chatmem.UnsupportedError, match="protocol=2"):
            await chatmem.connect(client=client).history("old").append("x")
    with (
        redis.Redis.from_url(oldest, protocol=3) as blocking,
        pytest.raises(chatmem.UnsupportedError, match="protocol=2"),
    ):
        chatmem.sync.connect(client=blocking).history("old").append("x")
    async with redis.asyncio.Redis.from_url(oldest, protocol=2) as client:
        memory = chatmem.connect(client=client, ttl=60)
        assert (await memory.history("resp2").append("x")).version == 1
        await memory.history("resp2").clear()
