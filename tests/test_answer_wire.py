"""What answers cost, watched on the wire; and that sessions without them cost nothing more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.scripts import ANSWER
from tests.servers import wait_until
from tests.wire import Wire, watched


@pytest.fixture
def wire(url: str) -> Iterator[Wire]:
    with watched(url) as wire:
        yield wire


def calls_in(wire: Wire) -> list[list[bytes]]:
    """Return the calls of the script that writes chunks."""
    return [one for one in wire.sent if one[0] in (b"EVAL", b"EVALSHA") and one[1] in (ANSWER.sha, ANSWER.text)]


async def test_an_answer_is_a_round_trip_each_50_milliseconds(wire: Wire, prefix: str) -> None:
    """However many chunks: one to begin, one to end, and at most twenty in a second between them."""
    async with chatmem.connect(wire.url, prefix=prefix, ttl=60) as memory:
        begun = time.monotonic()
        async with memory.history("a").answer("Why?") as draft:
            assert wire.commands.count("EVAL") == 1
            for number in range(1000):
                await draft.write(f"{number} ")
                await asyncio.sleep(0.001)
        seconds = time.monotonic() - begun
        assert 5 < len(calls_in(wire)) <= seconds / 0.05
        assert wire.commands.count("EVAL") + wire.commands.count("EVALSHA") == 2 + len(calls_in(wire))
        wire.reset()
        async with memory.history("a").answer("Why?") as draft:
            await draft.write(*map(str, range(1000)))
        assert wire.commands.count("EVALSHA") == 2  # it was over before anything had to be sent


async def test_silence_renews_the_lease(wire: Wire, prefix: str) -> None:
    """A silent producer that hears of a stop at once says every third of its lease that it is there."""
    async with chatmem.connect(wire.url, prefix=prefix, ttl=60) as memory:
        begun = time.monotonic()
        async with memory.history("a").answer("Why?", lease=3):
            await asyncio.to_thread(wait_until, lambda: len(calls_in(wire)) == 3)  # the first when it is listened to
            assert 2 <= time.monotonic() - begun < 3
    with chatmem.sync.connect(wire.url, prefix=prefix, ttl=60) as blocking:
        wire.reset()
        begun = time.monotonic()
        with blocking.history("a").answer("Why?"):
            wait_until(lambda: len(calls_in(wire)) == 2)
            assert 2 <= time.monotonic() - begun < 3


async def test_readers_that_are_pushed_to(wire: Wire, url: str, prefix: str) -> None:
    """A reader asks when it comes, when it is listened to, and at the end; all readers share a connection."""
    async with (
        chatmem.connect(url, prefix=prefix, ttl=60) as writer,
        chatmem.connect(wire.url, prefix=prefix) as memory,
    ):
        history = writer.history("a")

        async def read() -> int:
            return len([part async for part in memory.history("a").follow("x")])

        async with history.answer("Why?", id="x") as draft:
            readers = [asyncio.create_task(read()) for _ in range(10)]
            await asyncio.to_thread(wait_until, lambda: len(calls_in(wire)) == 20)
            for number in range(50):
                await draft.write(f"{number} ")
                await asyncio.sleep(0.02)
        assert min(await asyncio.gather(*readers)) > 10
        assert len(calls_in(wire)) == 30
        assert wire.commands.count("SSUBSCRIBE") == 1


async def test_a_reader_that_comes_late(wire: Wire, prefix: str) -> None:
    """It is one round trip, and opens no subscription."""
    async with chatmem.connect(wire.url, prefix=prefix, ttl=60) as memory:
        async with memory.history("a").answer("Why?", id="x") as draft:
            await draft.write("So")
        wire.reset()
        assert len([part async for part in memory.history("a").follow("x")]) == 1
        assert (wire.round_trips, wire.commands) == (1, ["EVAL"])


async def test_sessions_without_answers(wire: Wire, prefix: str) -> None:
    """They send what they always sent: no further command, key or argument; nor after an answer has ended."""

    async def turn(memory: chatmem.ChatMemory, session: str) -> list[list[bytes]]:
        history = memory.history(session, user="alice")
        wire.reset()
        await history.append(lc.HumanMessage("q", id="q"))
        await history.messages()
        await history.page()
        await history.info()
        await history.update(title="t")
        await memory.sessions("alice")
        return [one[:1] + one[2:] if one[0] in (b"EVAL", b"EVALSHA") else one for one in wire.sent]

    async with chatmem.connect(wire.url, prefix=prefix, ttl=60) as memory:
        sent: list[Any] = await turn(memory, "a")
        assert not any(b"answer" in word or word.endswith(b":a") for one in sent for word in one)
        append = next(one for one in sent if b"q" in one)
        keys = int(append[1])
        assert keys == 3
        assert append[2 + keys + 12] == b"0"
        async with memory.history("b", user="alice").answer(id="x"):
            pass
        await memory.forget("alice")
        again = await turn(memory, "c")
        assert [len(one) for one in again] == [len(one) for one in sent]
