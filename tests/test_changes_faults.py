"""Live changes beside failures: every listener hears of every version, in order."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio

import chatmem
import chatmem.sync
from chatmem.core import feed
from chatmem.transports.listening.line import Line
from chatmem.transports.listening.mailbox import Mailbox
from tests.clusters import Cluster, cluster, needs_newer_client
from tests.sentinels import Watched
from tests.servers import debian_binary, free_port, run_server, wait_until
from tests.wire import watched

SECONDS = float(os.environ.get("CHATMEM_LISTENING_SECONDS", "4"))
"""How long the writers write; `nox -s soak` lets them do so for a minute."""
LISTENERS = WRITERS = 50


class Listeners:
    """Listeners of one session, and the versions that each has heard of."""

    def __init__(self, memories: list[chatmem.ChatMemory], count: int) -> None:
        self.heard: list[list[chatmem.Change]] = [[] for _ in range(count)]
        self._tasks = [
            asyncio.create_task(self._listen(memories[number % len(memories)], heard))
            for number, heard in enumerate(self.heard)
        ]

    @staticmethod
    async def _listen(memory: chatmem.ChatMemory, heard: list[chatmem.Change]) -> None:
        async with aclosing(memory.history("a").changes(after=0)) as changes:
            async for change in changes:
                heard.append(change)  # noqa: PERF401 - others look at what is there so far

    async def until(self, version: int) -> None:
        """Wait until all have heard of a version; fail if that takes too long."""
        for _ in range(600):
            if all(heard and heard[-1].version >= version for heard in self.heard):
                return
            await asyncio.gather(*(asyncio.sleep(0.05), *(task for task in self._tasks if task.done())))
        raise AssertionError([heard[-1].version if heard else 0 for heard in self.heard], version)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self, version: int) -> None:
        """Fail where a listener has not heard of each version once, in order."""
        for heard in self.heard:
            assert [change.version for change in heard] == list(range(1, version + 1))
            assert {change.kind for change in heard} == {"appended"}


@asynccontextmanager
async def listening(memories: list[chatmem.ChatMemory], count: int) -> AsyncIterator[Listeners]:
    listeners = Listeners(memories, count)
    try:
        yield listeners
    finally:
        await listeners.stop()


async def write(memory: chatmem.ChatMemory, name: int, until: float, pause: float) -> None:
    """Append until a time of the loop."""
    number = 0
    while asyncio.get_running_loop().time() < until:
        await memory.history("a").append(f"{name}-{number}")
        number += 1
        await asyncio.sleep(pause)


@pytest.mark.parametrize("cutting", [False, True], ids=["undisturbed", "cut every second"])
async def test_fifty_listeners_and_fifty_writers(url: str, prefix: str, cutting: bool) -> None:
    """Two memories listen for 25 listeners each; the connections of one are cut every second."""
    with watched(url) as wire, redis.Redis.from_url(url) as raw:
        writer = chatmem.connect(url, prefix=prefix, ttl=600, publish=True)
        memories = [chatmem.connect(wire.url, prefix=prefix), chatmem.connect(url, prefix=prefix)]
        async with writer, memories[0], memories[1], listening(memories, LISTENERS) as listeners:
            loop = asyncio.get_running_loop()
            until = loop.time() + SECONDS
            writing = [asyncio.create_task(write(writer, name, until, 0.4)) for name in range(WRITERS)]
            while loop.time() < until:
                await asyncio.sleep(min(1.0, max(until - loop.time(), 0)))
                if cutting:
                    wire.cut()
            await asyncio.gather(*writing)
            version = (await writer.history("a").info()).version
            await listeners.until(version)
            listeners.check(version)
            assert version > 100
        assert raw.xlen(f"{prefix}:{{a}}:c") < 1200


@pytest.mark.parametrize("facade", ["async", "sync"])
async def test_kill_9_of_the_server(prefix: str, facade: str) -> None:
    """A server that writes each command to its disk is killed and started again: the listener goes on."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="chatmem-") as folder:
        options = ["--dir", folder, "--appendonly", "yes", "--appendfsync", "always"]

        def server() -> Any:
            return run_server(debian_binary(), *options, port=port)

        heard: list[chatmem.Change] = []
        with ExitStack() as stack:
            url = stack.enter_context(server())
            memory = chatmem.connect(url, prefix=prefix, publish=True)
            listener = asyncio.create_task(LISTEN[facade](url, prefix, heard))
            for _ in range(5):
                await memory.history("a").append("x")
            await reached(heard, 5)
        await asyncio.sleep(0.2)
        with server():
            for _ in range(5):
                await memory.history("a").append("x")
            await reached(heard, 10)
            await memory.aclose()
            await listener
        assert [change.version for change in heard] == list(range(1, 11))


async def reached(heard: list[chatmem.Change], version: int) -> None:
    await asyncio.to_thread(wait_until, lambda: heard and heard[-1].version >= version, seconds=30)


async def listen_async(url: str, prefix: str, heard: list[chatmem.Change], last: int = 10) -> None:
    async with chatmem.connect(url, prefix=prefix, publish=True) as memory:
        async for change in memory.history("a").changes(after=0):
            heard.append(change)
            if change.version >= last:
                break


async def listen_sync(url: str, prefix: str, heard: list[chatmem.Change], last: int = 10) -> None:
    def listen() -> None:
        with chatmem.sync.connect(url, prefix=prefix, publish=True) as memory:
            for change in memory.history("a").changes(after=0):
                heard.append(change)
                if change.version >= last:
                    break

    await asyncio.to_thread(listen)


LISTEN: dict[str, Callable[..., Any]] = {"async": listen_async, "sync": listen_sync}


@pytest.mark.parametrize("facade", ["async", "sync"])
async def test_failover_of_sentinel(prefix: str, facade: str) -> None:
    """The master is killed; the listener goes on at the new one, which has the log."""
    heard: list[chatmem.Change] = []
    with ExitStack() as stack:
        watched_master = Watched(stack)
        memory = chatmem.connect(watched_master.url, prefix=prefix, ttl=60, publish=True)
        listener = asyncio.create_task(LISTEN[facade](watched_master.url, prefix, heard))
        for _ in range(5):
            await memory.history("a").append("x")
        await reached(heard, 5)
        with watched_master.client(0) as master, watched_master.client(1) as replica:
            wait_until(lambda: master.execute_command("ROLE")[1] == replica.execute_command("ROLE")[4])
            with redis.Redis(port=watched_master.sentinels[0], protocol=2) as sentinel:
                wait_until(lambda: len(sentinel.execute_command("SENTINEL", "SENTINELS", "chats")) == 2)
            watched_master.master.close()
            await asyncio.to_thread(wait_until, lambda: replica.execute_command("ROLE")[0] == b"master", seconds=20)
        for _ in range(5):
            await memory.history("a").append("x")
        await reached(heard, 10)
        await listener
        await memory.aclose()
    assert [change.version for change in heard] == list(range(1, 11))


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@needs_newer_client
@pytest.mark.parametrize("facade", ["async", "sync"])
async def test_a_slot_that_moves(running: Cluster, prefix: str, facade: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener follows the session to another node, and is told there as fast as before."""
    monkeypatch.setattr(feed, "CHECKING", 60.0)  # so that only what is pushed comes soon
    heard: list[chatmem.Change] = []
    memory = chatmem.connect(running.url, prefix=prefix, ttl=60, publish=True)
    listener = asyncio.create_task(LISTEN[facade](running.url, prefix, heard))
    for _ in range(3):
        await memory.history("a").append("x")
    await reached(heard, 3)
    slot = running.slot_of("a")
    target = next(node for node in running.masters() if node is not running.owner(slot))
    await asyncio.to_thread(running.move, slot, target)
    for version in range(4, 11):
        await memory.history("a").append("x")
        await reached(heard, version)
    await listener
    await memory.aclose()
    assert [change.version for change in heard] == list(range(1, 11))


async def test_closing_while_it_connects(url: str) -> None:
    """A listener's connection is closed though redis-py swallows the cancellation, as it may do before Python 3.12."""
    connected = asyncio.Event()

    class Swallowing(redis.asyncio.Connection):
        async def connect(self) -> None:
            await super().connect()  # type: ignore[no-untyped-call]
            connected.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async def attach(mailbox: Mailbox) -> None:
        line.add(mailbox)

    line = Line(Swallowing(port=urlsplit(url).port or 0), lambda *_: None)
    listener = Mailbox(b"channel", attach)
    listening = asyncio.create_task(listener.next(5, 5))
    await connected.wait()
    async with asyncio.timeout(5):
        await line.aclose()
    assert line.over
    listening.cancel()
