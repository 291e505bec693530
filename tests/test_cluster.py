"""A cluster that moves slots and loses a master while conversations go on."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
import redis.asyncio
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.core.keys import session_keys
from tests.clusters import Cluster, cluster, needs_newer_client
from tests.servers import wait_until

SESSIONS = [f"s{number}" for number in range(12)]


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


class Writers:
    """Append to all sessions, in threads, until told to stop; know what was acknowledged."""

    def __init__(self, url: str, facade: str) -> None:
        self._url = url
        self._facade = facade
        self.acknowledged: dict[str, list[str]] = {session: [] for session in SESSIONS}
        self.errors = 0
        self._stop = threading.Event()
        self._open = threading.Event()
        self._open.set()
        self._may_write = threading.Semaphore(len(SESSIONS))
        self._threads = [threading.Thread(target=self._run, args=(half,)) for half in (SESSIONS[:6], SESSIONS[6:])]

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Begin when no append is under way; none begins before the end."""
        self._open.clear()  # else those who write come before who waits for them
        for _ in SESSIONS:
            self._may_write.acquire()
        try:
            yield
        finally:
            self._may_write.release(len(SESSIONS))
            self._open.set()

    def _enter(self) -> None:
        self._open.wait()
        self._may_write.acquire()

    def total(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    def _run(self, sessions: list[str]) -> None:
        if self._facade == "async":
            asyncio.run(self._write_async(sessions))
        else:
            with chatmem.sync.connect(self._url, ttl=600) as memory:
                self._write_sync(memory, sessions)

    async def _write_async(self, sessions: list[str]) -> None:
        async with chatmem.connect(self._url, ttl=600) as memory:

            async def one(session: str) -> None:
                number = 0
                while not self._stop.is_set():
                    await asyncio.to_thread(self._enter)
                    try:
                        number += await self._try_async(memory, session, number)
                    finally:
                        self._may_write.release()

            await asyncio.gather(*map(one, sessions))

    async def _try_async(self, memory: chatmem.ChatMemory, session: str, number: int) -> int:
        try:
            await memory.history(session).append(*self._turn(number), idempotency_key=f"turn-{number}")
        except chatmem.UnavailableError:
            self.errors += 1
            return 0
        self.acknowledged[session].append(str(number))
        return 1

    def _write_sync(self, memory: chatmem.sync.ChatMemory, sessions: list[str]) -> None:
        number = 0
        while not self._stop.is_set():
            for session in sessions:
                while not self._stop.is_set():
                    self._enter()
                    try:
                        memory.history(session).append(*self._turn(number), idempotency_key=f"turn-{number}")
                    except chatmem.UnavailableError:
                        self.errors += 1
                    else:
                        self.acknowledged[session].append(str(number))
                        break
                    finally:
                        self._may_write.release()
            number += 1

    @staticmethod
    def _turn(number: int) -> tuple[lc.BaseMessage, lc.BaseMessage]:
        return lc.HumanMessage(str(number)), lc.AIMessage(f"re:{number}", id=f"id-{number}")


def check(url: str, writers: Writers) -> None:
    """Every acknowledged turn is there once, whole and in order, and every key has its TTL."""
    with chatmem.sync.connect(url) as memory, redis.RedisCluster.from_url(url.replace("+cluster", "")) as raw:
        for session, numbers in writers.acknowledged.items():
            contents = [str(message.content) for message in memory.history(session).messages()]
            assert len(contents) == len(set(contents))
            assert [content for content in contents[::2] if content in set(numbers)] == numbers
            assert contents[1::2] == [f"re:{number}" for number in contents[::2]]
            assert [entry.seq for entry in memory.history(session).entries()] == list(range(len(contents)))
            assert all(raw.pttl(key) > 0 for key in session_keys("chatmem", session))
            memory.history(session).clear()


@needs_newer_client
@pytest.mark.parametrize("facade", ["async", "sync"])
def test_resharding_under_load(running: Cluster, facade: str) -> None:
    """Slots move from node to node, key by key, while appends run: none is lost, none is doubled, none fails."""
    with Writers(running.url, facade) as writers:
        wait_until(lambda: writers.total() > 50)
        for _ in range(3):
            for session in SESSIONS:
                slot = running.slot_of(session)
                target = next(node for node in running.masters() if node is not running.owner(slot))
                running.move(slot, target)
        reached = writers.total()
        wait_until(lambda: writers.total() > reached + 50)
    check(running.url, writers)


@needs_newer_client
@pytest.mark.parametrize("facade", ["async", "sync"])
def test_failover_under_load(facade: str) -> None:
    """A master is killed while appends run, at a moment when its replica has all: none is lost, none is doubled."""
    with cluster() as own, Writers(own.url, facade) as writers:
        wait_until(lambda: writers.total() > 50)
        victim = own.owner(own.slot_of("s0"))
        with writers.resting():
            wait_until(lambda: victim.run("ROLE")[2][0][2] == str(victim.run("ROLE")[1]))
            victim.kill()
        wait_until(lambda: len(own.masters()) == 3)
        reached = len(writers.acknowledged["s0"])
        wait_until(lambda: len(writers.acknowledged["s0"]) > reached + 20, seconds=30)
        writers.__exit__()
        alive = f"redis+cluster://127.0.0.1:{own.masters()[0].port}"
        check(alive, writers)


async def test_a_node_that_hangs(running: Cluster) -> None:
    """Calls on the other nodes go on, though redis-py looks for nodes anew meanwhile, also at the one that hangs."""
    running.set_patience(60_000)
    victim = running.owner(running.slot_of("s0"))
    others = [one for one in SESSIONS if running.owner(running.slot_of(one)) is not victim]
    async with chatmem.connect(f"{running.url}?socket_timeout=2", ttl=60) as memory:
        await asyncio.gather(*(memory.history(one).append("x") for one in SESSIONS))
        os.kill(victim.process.pid, signal.SIGSTOP)
        try:
            waiting = asyncio.create_task(memory.history("s0").append("y", idempotency_key="y"))
            longest, end = 0.0, time.monotonic() + 7
            while time.monotonic() < end:
                begun = time.monotonic()
                await asyncio.gather(*(memory.history(one).append("y") for one in others))
                longest = max(longest, time.monotonic() - begun)
                await asyncio.sleep(0.02)
            assert not waiting.done()
            assert longest < 1
        finally:
            os.kill(victim.process.pid, signal.SIGCONT)
        await waiting
        assert await memory.history("s0").count() == 2
        for one in SESSIONS:
            await memory.history(one).clear()
    running.set_patience(1000)


async def test_a_callers_own_cluster_clients(running: Cluster) -> None:
    """A RedisCluster of either kind serves, decoding responses or not, and stays open."""
    port = running.nodes[0].port
    for options in ({}, {"decode_responses": True}, {"protocol": 3}):
        given: dict[str, Any] = {"port": port, "host": "127.0.0.1", **options}
        client = redis.asyncio.RedisCluster(**given)
        async with chatmem.connect(client=client, ttl=60) as memory:
            await memory.history("a").append(lc.ToolMessage("x", tool_call_id="1", artifact=b"\xff"))
            assert [message.artifact for message in await memory.history("a").messages()] == [b"\xff"]  # type: ignore[attr-defined]
            await memory.history("a").clear()
        assert await client.ping()
        await client.aclose()
        with redis.RedisCluster(**given) as blocking:
            with chatmem.sync.connect(client=blocking, ttl=60) as twin:
                twin.history("a").append(lc.ToolMessage("x", tool_call_id="1", artifact=b"\xff"))
                assert twin.history("a").count() == 1
            assert await chatmem.connect(client=blocking).history("a").count() == 1
            await chatmem.connect(client=blocking).history("a").clear()


async def test_no_node_answers() -> None:
    """A cluster that is not there is UnavailableError in both facades."""
    with pytest.raises(chatmem.UnavailableError, match="could not be reached"):
        await chatmem.connect("redis+cluster://127.0.0.1:1").ping()
    with pytest.raises(chatmem.UnavailableError, match="could not be reached"):
        chatmem.sync.connect("redis+cluster://127.0.0.1:1").ping()
