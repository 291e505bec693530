"""The synchronous facade: the same names as the asynchronous one, wherever synchronous code runs."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.transports.driving import drive


@pytest.fixture
def memory(url: str, prefix: str) -> Iterator[chatmem.sync.ChatMemory]:
    with chatmem.sync.connect(url, prefix=prefix) as memory:
        yield memory
    with redis.Redis.from_url(url) as raw:
        keys = list(raw.scan_iter(f"{prefix}*", count=1000))
        if keys:
            raw.unlink(*keys)


def public(cls: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(cls, callable) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("twin", "original"), [(chatmem.sync.History, chatmem.History), (chatmem.sync.ChatMemory, chatmem.ChatMemory)]
)
def test_both_facades_have_the_same_names_and_signatures(twin: type, original: type) -> None:
    """Every public method of one facade is in the other with the same parameters and a word on its round trips."""
    renamed = {"aclose": "close"}
    originals = {renamed.get(name, name): method for name, method in public(original).items()}
    twins = public(twin)
    assert set(originals) == set(twins)
    for name, method in originals.items():
        assert inspect.signature(method).parameters == inspect.signature(twins[name]).parameters, name
        assert twins[name].__doc__, name
        assert ("ound trip" in method.__doc__) == ("ound trip" in twins[name].__doc__), name


def test_connect_has_the_same_signature() -> None:
    """So does `connect`."""
    assert inspect.signature(chatmem.sync.connect).parameters == inspect.signature(chatmem.connect).parameters


def test_a_plain_script(memory: chatmem.sync.ChatMemory) -> None:
    """Append, read, iterate, clear."""
    history = memory.history("a")
    assert history.append("hi", ("ai", "hello")) == chatmem.Appended(1, 0, 1, 0)
    assert history.messages() == [lc.HumanMessage("hi"), lc.AIMessage("hello")]
    assert [entry.seq for entry in history.entries()] == [0, 1]
    history.clear()
    assert history.count() == 0


def test_an_iteration_may_be_left(memory: chatmem.sync.ChatMemory) -> None:
    """Leaving `entries` early leaves nothing open, and two iterations do not disturb each other."""
    history = memory.history("a")
    history.append(*map(str, range(600)))
    for entry in history.entries():
        if entry.seq == 300:
            break
    assert all(one.seq == other.seq for one, other in zip(history.entries(), history.entries(), strict=True))


async def test_inside_a_running_loop(memory: chatmem.sync.ChatMemory) -> None:
    """It works where a loop runs, as in Jupyter."""
    assert asyncio.get_running_loop().is_running()
    memory.history("a").append("x")
    assert memory.history("a").count() == 1


def test_from_many_threads(memory: chatmem.sync.ChatMemory) -> None:
    """Sixteen threads append to one session; every message is there once."""
    history = memory.history("a")

    def work(name: int) -> None:
        for number in range(25):
            history.append(f"{name}-{number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    contents = [message.content for message in history.messages()]
    assert len(contents) == len(set(contents)) == 400
    for name in range(16):
        own = [content for content in contents if str(content).startswith(f"{name}-")]
        assert own == [f"{name}-{number}" for number in range(25)]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_after_fork(memory: chatmem.sync.ChatMemory) -> None:
    """A forked child uses its own connections, the parent keeps its own, in both facades."""
    history = memory.history("a")
    history.append("before")
    context = multiprocessing.get_context("fork")

    def child(number: int) -> None:
        for step in range(20):
            history.append(f"{number}-{step}")
        os._exit(0)

    children = [context.Process(target=child, args=(number,)) for number in range(4)]
    for one in children:
        one.start()
    for step in range(20):
        history.append(f"parent-{step}")
    for one in children:
        one.join()
    assert [one.exitcode for one in children] == [0] * 4
    contents = [message.content for message in history.messages()]
    assert len(contents) == len(set(contents)) == 101


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_an_async_memory_after_fork(url: str, prefix: str) -> None:
    """A forked worker's event loop opens connections of its own."""
    memory = chatmem.connect(url, prefix=prefix, ttl=60)

    async def append(text: str) -> None:
        await memory.history("forked").append(text)

    asyncio.run(append("before"))
    child = multiprocessing.get_context("fork").Process(target=lambda: asyncio.run(append("child")))
    child.start()
    child.join()
    assert child.exitcode == 0
    asyncio.run(append("after"))
    with chatmem.sync.connect(url, prefix=prefix) as reader:
        assert [m.content for m in reader.history("forked").messages()] == ["before", "child", "after"]


def test_a_coroutine_that_suspends_is_a_bug() -> None:
    """The driver says so instead of waiting for ever."""

    async def suspends() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="bug in chatmem"):
        drive(suspends())


@pytest.mark.parametrize(
    ("blocking", "asynchronous"),
    [(chatmem.sync.History, chatmem.History), (chatmem.sync.ChatMemory, chatmem.ChatMemory)],
)
def test_the_facades_say_and_take_the_same(blocking: type, asynchronous: type) -> None:
    """Each method of one facade has its twin in the other, with the same parameters and the same docstring."""
    names = {name for name in dir(blocking) if not name.startswith("_")}
    public = {name for name in dir(asynchronous) if not name.startswith("_")}
    assert names - {"close"} == public - {"aclose"}
    for name in names - {"close"}:
        own, twin = getattr(blocking, name), getattr(asynchronous, name)
        assert inspect.signature(own).parameters == inspect.signature(twin).parameters, name
        assert inspect.getdoc(own) == inspect.getdoc(twin), name


def test_both_ways_to_connect_take_and_say_the_same() -> None:
    """Whoever changes from one facade to the other changes an import."""
    assert inspect.signature(chatmem.sync.connect).parameters == inspect.signature(chatmem.connect).parameters
    assert inspect.getdoc(chatmem.sync.connect) == inspect.getdoc(chatmem.connect)
