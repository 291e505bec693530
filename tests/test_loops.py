"""Event loops in many threads, and what nobody closes: no call fails, nothing is left open."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
import redis.asyncio
from langchain_core.messages import HumanMessage

import chatmem
import chatmem.sync
from chatmem.backends.connection import Client
from chatmem.transports.per_loop import PerLoop


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns far more often than by default, as on a busy machine."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def named(url: str, prefix: str) -> str:
    """Return the URL whose connections bear a test's name: others come and go, as earlier tests' are collected."""
    return f"{url}?client_name={prefix}"


def connections(admin: redis.Redis, prefix: str) -> int:
    return sum(one["name"] == prefix for one in admin.client_list(_type="normal"))


async def none_left(admin: redis.Redis, prefix: str) -> None:
    """Wait until the server has no connection with a test's name any more."""
    async with asyncio.timeout(30):
        while connections(admin, prefix):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.01)


def test_loops_in_many_threads(url: str, prefix: str, switching: None) -> None:
    """A loop a request, many at once on one memory: each call is answered, and each loop's connections end with it."""
    memory = chatmem.connect(url, prefix=prefix, ttl=60)
    failed: Counter[str] = Counter()

    async def request(thread: int, number: int) -> None:
        await memory.history(f"s{thread}").append(("human", str(number)), idempotency_key=str(number))
        await memory.history(f"s{thread}").count()

    def requests(thread: int) -> None:
        for number in range(40):
            try:
                asyncio.run(request(thread, number))
            except chatmem.ChatMemError as error:
                failed[str(error)] += 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(requests, range(16)))
    assert not failed

    async def counts() -> list[int]:
        async with memory:
            return [await memory.history(f"s{thread}").count() for thread in range(16)]

    assert asyncio.run(counts()) == [40] * 16


def files() -> int:
    asyncio.set_event_loop(None)
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a name each is enough


@pytest.mark.skipif(sys.platform != "linux", reason="open files are counted in /proc")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", ["url", "client"])  # uvloop never frees a loop that is not closed
def test_loops_that_nobody_closes(url: str, prefix: str, how: str) -> None:
    """A loop that is collected takes its connections along, while the memory lives on."""
    client: Client | None = redis.asyncio.Redis.from_url(url) if how == "client" else None
    memory = chatmem.connect(None if client else url, client=client, prefix=prefix, ttl=60)

    def invocation() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(memory.history("s").append("x"))

    invocation()
    before = files()
    for _ in range(20):
        invocation()
    assert files() - before < 20


async def test_a_memory_that_nobody_closes(url: str, prefix: str) -> None:
    """Its connections are closed soon after it is collected, while the loop goes on."""
    with redis.Redis.from_url(url) as admin:
        kept = chatmem.connect(named(url, prefix), prefix=prefix, ttl=60)
        await kept.history("s").append("x")
        assert connections(admin, prefix) == 1
        del kept
        for _ in range(5):
            await chatmem.connect(named(url, prefix), prefix=prefix, ttl=60).history("s").append("x")
        gc.collect()
        await none_left(admin, prefix)


def test_a_memory_that_is_collected_in_another_thread(url: str, prefix: str) -> None:
    """The same, where the loop runs in one thread and the last reference goes in another."""
    with redis.Redis.from_url(url) as admin:
        kept = [chatmem.connect(named(url, prefix), prefix=prefix, ttl=60)]

        def drop() -> None:
            kept.clear()
            gc.collect()

        async def main() -> None:
            await kept[0].history("s").append("x")
            assert connections(admin, prefix) == 1
            thread = threading.Thread(target=drop)
            thread.start()
            await none_left(admin, prefix)
            thread.join()

        asyncio.run(main())


def test_a_loop_that_is_closed_at_once(url: str, prefix: str) -> None:
    """Without the end that `asyncio.run` gives it: another loop is served, though it may lie at the same address."""
    memory = chatmem.connect(url, prefix=prefix, ttl=60)
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        for number in range(30):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(memory.history("s").append("x")).first == number
            loop.close()
            del loop
            gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_loop_that_is_closed_under_its_calls(
    url: str, prefix: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The calls end without an error of chatmem's where Python collects them, and another loop is served."""
    unraisable = list[str]()
    monkeypatch.setattr(sys, "unraisablehook", lambda what: unraisable.append(repr(what.exc_value)))

    def live() -> None:
        memory = chatmem.connect(url, prefix=prefix, ttl=60)

        async def begin(number: int) -> None:
            for index in range(4):
                calls.append(
                    asyncio.ensure_future(memory.history(f"s{index}").append(HumanMessage("x", id=f"{number}")))
                )
            await asyncio.sleep(0.0005 * (number % 7))

        with caplog.at_level(logging.CRITICAL, "asyncio"):  # which tells that tasks were left
            for number in range(40):
                calls = list[asyncio.Future[chatmem.Appended]]()
                loop = asyncio.new_event_loop()
                loop.run_until_complete(begin(number))
                loop.close()
                calls.clear()
                gc.collect()

        async def stored(session: str) -> list[str | None]:
            await memory.history(session).append(HumanMessage("x", id="end"))
            return [message.id for message in await memory.history(session).messages()]

        for index in range(4):
            found = asyncio.run(stored(f"s{index}"))
            assert len(found) == len(set(found))

    live()
    gc.collect()  # what is left of the last loop
    redis_pys_own = "RuntimeError('no running event loop')"  # a connection that was being opened
    assert set(unraisable) <= {redis_pys_own}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("closed", [True, False])
def test_a_listener_whose_loop_is_dropped(
    url: str, prefix: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, closed: bool
) -> None:
    """Without an end of the loop: where Python collects the listener, no error is told but that a task was left."""
    unraisable = list[str]()
    monkeypatch.setattr(sys, "unraisablehook", lambda what: unraisable.append(repr(what.exc_value)))
    memory = chatmem.connect(url, prefix=prefix, ttl=60)

    async def begin() -> None:
        listening.append(asyncio.ensure_future(anext(memory.history("s").changes())))
        await asyncio.sleep(0.2)

    with caplog.at_level(logging.CRITICAL, "asyncio"):
        for _ in range(3):
            listening = list[asyncio.Future[chatmem.Change]]()
            loop = asyncio.new_event_loop()
            loop.run_until_complete(begin())
            assert not listening[0].done()
            if closed:
                loop.close()
            del loop
            listening.clear()
            gc.collect()
    assert unraisable == []


async def test_closing_while_calls_come(url: str, prefix: str) -> None:
    """Each call gets its answer or hears that the memory was closed; nothing is opened behind the closing."""
    with redis.Redis.from_url(url) as admin:
        for delay in range(12):
            memory = chatmem.connect(named(url, prefix), prefix=prefix, ttl=60)
            calls = [asyncio.create_task(memory.history("s").append(str(n))) for n in range(20)]
            for _ in range(delay):
                await asyncio.sleep(0)
            await memory.aclose()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(one, chatmem.Appended | chatmem.UnavailableError) for one in results)
            assert any("this memory was closed" in str(one) for one in results) or delay > 3
        await none_left(admin, prefix)


async def test_a_slow_opening_that_is_overtaken_by_closing() -> None:
    """A client that was being opened is not used."""
    going, opened = asyncio.Event(), asyncio.Event()

    async def open_client() -> str:
        opened.set()
        await going.wait()
        return "client"

    clients: PerLoop[str] = PerLoop(open_client, None)
    call = asyncio.create_task(clients.open())
    await opened.wait()
    await clients.aclose()
    going.set()
    with pytest.raises(chatmem.UnavailableError, match="was closed"):
        await call


def appending(memory: chatmem.sync.ChatMemory, started: threading.Barrier) -> str:
    """Append until that is an error; return what it says."""
    started.wait()
    while True:
        try:
            memory.history("s").append("x")
        except chatmem.UnavailableError as error:
            return str(error)


def test_threads_and_closing(url: str, prefix: str) -> None:
    """The same of the synchronous facade, whose calls under way are in other threads."""
    for _ in range(5):
        memory = chatmem.sync.connect(url, prefix=prefix, ttl=60)
        memory.ping()
        started = threading.Barrier(9)
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(appending, memory, started) for _ in range(8)]
            started.wait()
            memory.close()
            assert all("this memory was closed" in call.result(timeout=30) for call in calls)


def test_another_event_loop(url: str, prefix: str) -> None:
    """Under trio a memory serves through worker threads; an asyncio client cannot, which the error says."""
    trio = pytest.importorskip("trio", minversion="0.31", reason="pip install trio")

    async def main() -> None:
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
            await memory.history("s").append("x", "y")
            assert len(await memory.history("s").messages()) == 2
        with pytest.raises(chatmem.UnavailableError, match="this memory was closed"):
            await memory.history("s").count()
        memory = chatmem.connect(client=redis.asyncio.Redis(), prefix=prefix)
        with pytest.raises(chatmem.UnsupportedError, match="is for asyncio"):
            await memory.history("s").count()

    trio.run(main)
