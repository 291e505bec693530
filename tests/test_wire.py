"""Promises 2 and 7, watched on the wire: how many round trips, and which commands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.core.reader import ENTRIES_PER_CALL as SLICE
from tests.coroutines import as_coroutines
from tests.wire import Wire, watched

SERVING = {"LRANGE", "EXISTS", "EVALSHA", "EVAL", "LLEN", "HMGET", "PTTL", "UNLINK", "PING"}


@pytest.fixture
def wire(url: str) -> Iterator[Wire]:
    with watched(url) as wire:
        yield wire


@pytest.fixture(params=["async", "sync"])
async def memory(request: pytest.FixtureRequest, wire: Wire) -> AsyncIterator[Any]:
    if request.param == "async":
        memory: chatmem.ChatMemory = chatmem.connect(wire.url, ttl=60, prefix="wire")
    else:
        memory = as_coroutines(chatmem.sync.connect(wire.url, ttl=60, prefix="wire"))
    yield memory
    await memory.history("a").clear()
    await memory.aclose()


async def test_constructing_is_none(memory: chatmem.ChatMemory, wire: Wire) -> None:
    """A thousand memories and histories open no connection."""
    for number in range(1000):
        memory.history(f"s{number}")
        memory.langchain(f"s{number}")
        chatmem.connect(wire.url).history("x")
    assert (wire.connections, wire.round_trips) == (0, 0)


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
async def test_an_append_is_one(memory: chatmem.ChatMemory, wire: Wire, count: int) -> None:
    """An append of any size is one round trip, the very first one included."""
    messages = [lc.HumanMessage(f"{n} " * 100, id=f"m{n}") for n in range(count)]
    await memory.history("a").append(*messages)
    assert wire.round_trips == 1
    await memory.history("a").append(*messages, idempotency_key="again")
    assert wire.round_trips == 2
    assert wire.commands == ["EVAL", "EVALSHA"]


async def test_a_read_is_one(memory: chatmem.ChatMemory, wire: Wire) -> None:
    """A read of one message or of a thousand is one round trip, and one command."""
    await memory.history("a").append(*map(str, range(1000)))
    wire.reset()
    assert len(await memory.history("a").messages()) == 1000
    assert len(await memory.history("a").messages(last=20)) == 20
    assert (wire.round_trips, wire.commands) == (2, ["LRANGE", "LRANGE"])


async def test_a_first_read_is_one(memory: chatmem.ChatMemory, wire: Wire, url: str) -> None:
    """Also of a session that this process has not seen, and of one that is absent."""
    async with chatmem.connect(url, prefix="wire", ttl=60) as other:
        await other.history("a").append("hello")
        for session, count in (("a", 1), ("absent", 0)):
            wire.reset()
            assert len(await memory.history(session).messages()) == count
            assert (wire.round_trips, wire.commands) == (1, ["LRANGE", "EXISTS"])
        wire.reset()
        assert len(await memory.history("a").messages()) == 1
        assert (wire.round_trips, wire.commands) == (1, ["LRANGE"])


@pytest.mark.parametrize("facade", ["async", "sync"])
async def test_a_read_that_refreshes_is_one(url: str, wire: Wire, facade: str) -> None:
    """The refresh of the TTL travels with the read."""
    options: dict[str, Any] = {"ttl": 60, "ttl_refresh": "read", "prefix": "wire"}
    if facade == "async":
        memory: chatmem.ChatMemory = chatmem.connect(wire.url, **options)
    else:
        memory = as_coroutines(chatmem.sync.connect(wire.url, **options))
    await memory.history("b").append("a")
    await memory.history("b").messages()
    wire.reset()
    await memory.history("b").messages()
    assert (wire.round_trips, wire.commands) == (1, ["LRANGE", "EVALSHA"])
    await memory.history("b").clear()
    await memory.aclose()


async def test_everything_else_is_one(memory: chatmem.ChatMemory, wire: Wire) -> None:
    """count, info, touch, clear and ping are one each; entries is one a slice."""
    history = memory.history("a")
    await history.append(*map(str, range(SLICE + 1)))
    for call in (history.count, history.info, history.touch, memory.ping, history.clear):
        wire.reset()
        await call()
        assert wire.round_trips == 1, call
    await history.append(*map(str, range(SLICE + 1)))
    wire.reset()
    assert len([entry async for entry in history.entries()]) == SLICE + 1
    assert wire.round_trips == 2


CALLS: list[Callable[[chatmem.History], Awaitable[object]]] = [
    lambda history: history.branch(after="m1"),
    lambda history: history.branches(),
    lambda history: history.switch(0),
    lambda history: history.delete_branch(1),
    lambda history: history.summarize(up_to="m1", summary=["s"]),
    lambda history: history.summary(),
    lambda history: history.annotate("m2", {"rating": 1}),
]


async def test_branches_summaries_and_annotations_are_one(memory: chatmem.ChatMemory, wire: Wire) -> None:
    """Each is one round trip and one command; with a user perhaps one more, which enters it in the user's list."""
    for user in (None, "alice"):
        history = memory.history(f"of {user}", user=user)
        await history.clear()
        await history.append(*(lc.HumanMessage(f"{n}", id=f"m{n}") for n in range(4)))
        for call in CALLS:
            wire.reset()
            await call(history)
            assert wire.round_trips == 1
            assert len(wire.commands) in ((1,) if user is None else (1, 2))
        await history.clear()


async def test_only_plain_commands(memory: chatmem.ChatMemory, wire: Wire) -> None:
    """No INFO, CONFIG, CLIENT, HELLO, MODULE or SCAN, not even when connecting."""
    history = memory.history("a")
    await history.append("a")
    await history.messages()
    await history.info()
    await history.touch()
    await history.clear()
    await memory.ping()
    assert set(wire.commands) <= SERVING


async def test_a_flushed_script_cache_costs_one_more(memory: chatmem.ChatMemory, wire: Wire, url: str) -> None:
    """A server that forgot the script is sent it again, and nothing is stored twice."""
    import redis

    history = memory.history("a")
    await history.append("a")
    with redis.Redis.from_url(url) as raw:
        raw.script_flush()
    wire.reset()
    await history.append("b")
    assert (wire.round_trips, wire.commands) == (2, ["EVALSHA", "EVAL"])
    assert await history.count() == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_runnable_with_message_history(memory: chatmem.ChatMemory, wire: Wire) -> None:
    """A LangChain turn is two round trips: one read, one append."""
    from langchain_core.runnables import Runnable, RunnableLambda
    from langchain_core.runnables.history import RunnableWithMessageHistory

    model: Runnable[Any, Any] = RunnableLambda(lambda _: "hello")
    chain = RunnableWithMessageHistory(model, memory.langchain)
    for turn in range(3):
        wire.reset()
        await chain.ainvoke([lc.HumanMessage("hi")], {"configurable": {"session_id": "a"}})
        assert wire.commands == ["LRANGE", "EVALSHA"] or turn == 0
        assert wire.round_trips == 2
