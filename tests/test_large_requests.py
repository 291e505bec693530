"""Large requests: on connections of their own, a few at once, in pieces; small ones never wait behind them."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import hiredis
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

import chatmem
from chatmem.backends.connection import connection_to
from chatmem.transports import multiplexer
from chatmem.transports.base import Command
from chatmem.transports.packing import packed, pieces, size_of

MEGABYTE = 1_000_000


class SlowLink:
    """Passes on so many bytes a second to a server, of all connections together, each in its turn.

    Attributes:
        url: where clients connect.
        connections: how many there are.
        most: how many there were at once.
        received: how many bytes clients sent.
    """

    def __init__(self, server_url: str, rate: float) -> None:
        parts = urlsplit(server_url)
        self._server = parts.hostname, parts.port
        self._rate = rate
        self._free_at = 0.0
        self.url = ""
        self.connections = self.most = self.received = 0
        self.stalled = asyncio.Event()
        self.stalled.set()

    async def has_received(self, count: int) -> None:
        while self.received < count:  # noqa: ASYNC110 - in this loop, too
            await asyncio.sleep(0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.most = max(self.most, self.connections)
        from_server, to_server = await asyncio.open_connection(*self._server)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass(reader, to_server, self._rate))
                tasks.create_task(self._pass(from_server, writer, None))
        except* OSError:
            pass
        finally:
            self.connections -= 1
            writer.close()
            to_server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float | None) -> None:
        while data := await reader.read(16384):
            if rate is not None:
                self.received += len(data)
                await self.stalled.wait()
                now = asyncio.get_running_loop().time()
                self._free_at = max(self._free_at, now) + len(data) / rate
                await asyncio.sleep(self._free_at - now)
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def slow_link(url: str, rate: float) -> AsyncIterator[SlowLink]:
    link = SlowLink(url, rate)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # what was sent is on the link, and not in here
    async with await asyncio.start_server(link.serve, sock=listener, limit=16384):
        link.url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        yield link
        async with asyncio.timeout(10):
            while link.connections:  # noqa: ASYNC110 - until all were closed
                await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def cleaned(url: str, prefix: str) -> Iterator[None]:
    yield
    with redis.Redis.from_url(url) as raw:
        for key in raw.scan_iter(f"{prefix}*"):
            raw.unlink(key)


async def test_small_ones_do_not_wait(url: str, prefix: str) -> None:
    """While megabytes go out, appends and reads are served one after the other, each many times."""
    async with slow_link(url, 8 * MEGABYTE) as link, chatmem.connect(link.url, prefix=prefix, ttl=60) as memory:
        small = memory.history("small")
        await small.append("x")
        await small.messages()
        sending = asyncio.create_task(memory.history("large").append("x" * 12 * MEGABYTE))
        served = {"append": 0, "read": 0}
        while not sending.done():
            await small.append("y")
            served["append"] += not sending.done()
            await small.messages(last=1)
            served["read"] += not sending.done()
        assert (await sending).version == 1
        assert min(served.values()) > 5


async def test_many_at_once(url: str, prefix: str) -> None:
    """They have a few connections, in turns; all are stored, and small ones are served meanwhile."""
    async with slow_link(url, 40 * MEGABYTE) as link, chatmem.connect(link.url, prefix=prefix, ttl=60) as memory:
        await memory.ping()
        sending = [asyncio.create_task(memory.history(f"s{n}").append("x" * 2 * MEGABYTE)) for n in range(20)]
        rounds = 0
        while not all(task.done() for task in sending):
            await memory.history("small").append("y")
            rounds += 1
        assert [(await task).version for task in sending] == [1] * 20
        assert rounds > 5
        assert link.most == 1 + multiplexer.MOST_LARGE


async def test_one_larger_than_all_may_be_that_is_under_way(
    url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound on bytes is that of small ones: these are served beside it."""
    monkeypatch.setattr(multiplexer, "MOST_BYTES", MEGABYTE)
    async with slow_link(url, 8 * MEGABYTE) as link, chatmem.connect(link.url, prefix=prefix, ttl=60) as memory:
        sending = asyncio.create_task(memory.history("large").append("x" * 4 * MEGABYTE))
        await link.has_received(1)
        await memory.history("small").append("y")
        assert not sending.done()
        await sending


async def test_room_that_never_comes(url: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits too long for one of the connections gets an error; the others are served."""
    monkeypatch.setattr(multiplexer, "LARGE_PATIENCE", 0.1)
    async with slow_link(url, 20 * MEGABYTE) as link, chatmem.connect(link.url, prefix=prefix, ttl=60) as memory:
        calls = [memory.history(f"s{n}").append("x" * 4 * MEGABYTE) for n in range(6)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(one, chatmem.Appended) for one in results) == multiplexer.MOST_LARGE
        assert sum("does not keep up" in str(one) for one in results) == 6 - multiplexer.MOST_LARGE


async def test_a_slow_link_is_no_silence(url: str, prefix: str) -> None:
    """One that takes longer than the time-out, and gets on, is served."""
    async with (
        slow_link(url, 2 * MEGABYTE) as link,
        chatmem.connect(f"{link.url}?socket_timeout=0.5", prefix=prefix, ttl=60) as memory,
    ):
        begun = time.monotonic()
        await memory.history("large").append("x" * 4 * MEGABYTE)
        assert time.monotonic() - begun > 1.5


async def test_a_link_that_stalls(url: str, prefix: str) -> None:
    """One that does not get on is a time-out, after which nothing of it arrives."""
    async with (
        slow_link(url, 4 * MEGABYTE) as link,
        chatmem.connect(f"{link.url}?socket_timeout=0.2", prefix=prefix, ttl=60) as memory,
    ):
        await memory.history("small").append("y")
        link.stalled.clear()
        with pytest.raises(chatmem.UnavailableError, match="could not be reached"):
            await memory.history("large").append("x" * 6 * MEGABYTE)
        link.stalled.set()
        assert await memory.history("large").count() == 0


@pytest.mark.parametrize("when", ["before", "within", "after"])
async def test_a_cancelled_caller(url: str, prefix: str, when: str) -> None:
    """What was not sent is not sent any more, no other caller loses its connection, and the next one is served."""
    size = 6 * MEGABYTE
    async with slow_link(url, 8 * MEGABYTE) as link, chatmem.connect(link.url, prefix=prefix, ttl=60) as memory:
        other = asyncio.create_task(memory.history("other").append("x" * size))
        call = asyncio.create_task(memory.history("large").append("x" * size))
        if when == "before":
            await asyncio.sleep(0)
        await link.has_received({"before": 0, "within": MEGABYTE, "after": 2 * size}[when])
        call.cancel()
        assert (await other).version == 1
        if when != "after":
            assert link.received < 2 * size
            assert await memory.history("large").count() == 0
        await memory.history("large").append("y", "x" * size)
        assert await memory.history("large").count() == (3 if when == "after" else 2)


async def test_the_loop_goes_on(url: str, prefix: str) -> None:
    """200 MB in one value, and in 100,000: the loop's own work between two turns is a few milliseconds."""
    connection = connection_to(url)
    transport = connection.asynchronous()
    await transport.run([("PING",)])
    key = f"{prefix}-large"
    commands: list[Command] = [("SET", key, b"x" * 200 * MEGABYTE), ("RPUSH", f"{key}s", *[b"x" * 2000] * 100_000)]
    gc.collect()
    gc.freeze()  # what the garbage collector does with all that other tests left is no work of the loop's
    for command in commands:
        sending = asyncio.create_task(transport.run([command]))
        longest, last = 0.0, time.thread_time()
        while not sending.done():
            await asyncio.sleep(0)
            longest, last = max(longest, time.thread_time() - last), time.thread_time()
        assert await sending in ([b"OK"], [100_000])
        assert longest < 0.02
    gc.unfreeze()
    await connection.aclose()


arguments: st.SearchStrategy[str | bytes] = st.one_of(
    st.text(st.characters(codec="utf-8")), st.binary(), st.integers(0, 300_000).map(lambda size: b"x" * size)
)


@given(st.lists(st.lists(arguments, min_size=1).map(lambda some: (*some,)), min_size=1, max_size=4))
def test_pieces(commands: Any) -> None:
    """Together they are what hiredis makes of the commands."""
    assert b"".join(pieces(commands)) == packed(commands)
    assert max(map(len, pieces(commands))) <= 2 * 64 * 1024 + 100
    reader = hiredis.Reader()
    reader.feed(b"".join(pieces(commands)))
    assert [len(reader.gets()) for _ in commands] == [len(command) for command in commands]
    assert size_of(commands) <= len(packed(commands))
