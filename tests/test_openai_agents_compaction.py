"""The SDK's compaction over a ChatmemSession: all or nothing, whoever writes or dies meanwhile; the session stays."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from agents import set_tracing_disabled
from agents.extensions.memory import EncryptedSession
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.openai_agents import ChatmemSession
from chatmem.openai_agents.items import items_of
from tests.compacting import MOST, SESSION, SUMMARISING, Client, compacting, numbers_in, summary_of, turn
from tests.faults import Schedule, failing

set_tracing_disabled(True)

ROUNDS = 8


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
        yield memory


def user(number: int) -> dict[str, Any]:
    return {"role": "user", "content": str(number)}


class TestCompaction:
    @pytest.mark.parametrize("automatic", [True, False])
    async def test_the_session_stays(self, memory: chatmem.ChatMemory, automatic: bool) -> None:
        """Title, metadata, owner, age and TTL are those of before; the items are the summary."""
        store = ChatmemSession(memory, SESSION, user="alice")
        session, history = compacting(store, Client()), memory.history(SESSION, user="alice")
        for number in range(4):
            await turn(session, number)
        await history.update(title="Numbers", metadata={"pinned": True})
        before = await history.info()
        if automatic:
            await turn(session, 4)
        else:
            await session.run_compaction({"force": True, "compaction_mode": "input"})
        said = list(range(5 if automatic else 4))
        assert await store.get_items() == [summary_of([user(number) for number in said])]
        after = await history.info()
        assert (after.title, after.metadata, after.user) == ("Numbers", {"pinned": True}, "alice")
        assert after.created_at == before.created_at
        assert after.ttl is not None
        assert [one.session_id for one in (await memory.sessions("alice")).sessions] == [SESSION]
        await turn(session, 9)
        assert numbers_in(await store.get_items()) == [*said, 9]

    async def test_the_end_alone(self, memory: chatmem.ChatMemory) -> None:
        """What the model was not sent stays as it is, where it is."""
        store = ChatmemSession(memory, SESSION, session_settings={"limit": 4})
        for number in range(6):
            await store.add_items([user(number)])
        client = Client()
        await turn(compacting(store, client, most=3), 6)
        assert client.calls == 1
        items = await store.get_items(limit=100)
        assert items == [user(0), user(1), summary_of([user(number) for number in range(2, 7)])]
        assert [entry.seq async for entry in memory.history(SESSION).entries()] == [0, 1, 8]

    async def test_two_writers(self, memory: chatmem.ChatMemory, caplog: pytest.LogCaptureFixture) -> None:
        """Who writes while the summary is made wins: the SDK is told, logs it, and goes on with its whole history."""
        other = ChatmemSession(memory, SESSION)
        client = Client(lambda: other.add_items([user(99)]))
        session = compacting(ChatmemSession(memory, SESSION), client)
        for number in range(5):
            await turn(session, number)
        assert client.calls == 1
        assert "the stored suffix changed" in caplog.text
        assert numbers_in(await other.get_items()) == [0, 1, 2, 3, 4, 99]
        assert len(await other.get_items()) == 11

    async def test_two_that_compact(self, memory: chatmem.ChatMemory) -> None:
        """One of two equal compactions is done, the other is told that it is not."""
        store = ChatmemSession(memory, SESSION)
        await store.add_items([user(number) for number in range(3)])
        one, two = [await store._get_compaction_snapshot(5) for _ in range(2)]
        assert one is not None
        assert two is not None
        assert await two.replace_suffix(0, [summary_of(two.items)])
        assert not await one.replace_suffix(0, [summary_of(one.items)])
        assert numbers_in(await store.get_items()) == [0, 1, 2]

    @pytest.mark.parametrize("automatic", [True, False])
    async def test_a_summary_that_cannot_be_stored(self, memory: chatmem.ChatMemory, automatic: bool) -> None:
        """The items stay, and the next compaction works."""
        store = ChatmemSession(memory, SESSION)
        items = [user(number) for number in range(3)]
        await store.add_items(items)
        snapshot = await store._get_compaction_snapshot(5)
        assert snapshot is not None
        for wrong, error in (([{"content": object()}], chatmem.EncodingError), (["text"], ValueError)):
            with pytest.raises(error):
                await (snapshot.replace_suffix(0, wrong) if automatic else store._atomic_replace_items(wrong))
            assert await store.get_items() == items
        assert await snapshot.replace_suffix(0, items[:1])
        assert await store.get_items() == items[:1]

    async def test_another_user_s(self, memory: chatmem.ChatMemory) -> None:
        """A session of another user is neither read nor replaced."""
        await ChatmemSession(memory, SESSION, user="alice").add_items([user(1)])
        bobs = ChatmemSession(memory, SESSION, user="bob")
        with pytest.raises(chatmem.NotYoursError):
            await bobs._atomic_replace_items([])
        with pytest.raises(chatmem.NotYoursError):
            await bobs._get_compaction_snapshot(5)
        assert await ChatmemSession(memory, SESSION, user="alice").get_items() == [user(1)]

    async def test_a_class_of_your_own(self, memory: chatmem.ChatMemory) -> None:
        """Hooks would pass by a subclass that changes items as it stores them, so they leave it to the SDK."""

        class Shouting(ChatmemSession):
            async def add_items(self, items: list[Any]) -> None:
                await super().add_items([{**item, "content": item["content"].upper()} for item in items])

        session = Shouting(memory, SESSION)
        await session.add_items([{"role": "user", "content": "a"}])
        assert await session._get_compaction_snapshot(5) is None
        assert not await session._atomic_replace_items([])
        assert await session.get_items() == [{"role": "user", "content": "A"}]


class TestWhatStays:
    """Messages that are no items for this session are neither sent nor replaced."""

    async def test_records_that_cannot_be_read(self, url: str, prefix: str, memory: chatmem.ChatMemory) -> None:
        """A snapshot begins behind them, and a replacement of everything is refused."""
        ring = chatmem.KeyRing({"k": b"k" * 32})
        store = ChatmemSession(memory, SESSION)
        await store.add_items([user(0)])
        async with chatmem.connect(url, prefix=prefix, ttl=600, encryption=ring) as sealed:
            await ChatmemSession(sealed, SESSION).add_items([user(1)])
            await store.add_items([user(2), user(3)])
            snapshot = await store._get_compaction_snapshot(50)
            assert snapshot is not None
            assert (snapshot.items, snapshot.complete) == ([user(2), user(3)], False)
            assert await snapshot.replace_suffix(0, [summary_of(snapshot.items)])
            with pytest.raises(chatmem.CorruptRecordError):
                await store._atomic_replace_items([])
            assert numbers_in(await ChatmemSession(sealed, SESSION).get_items()) == [0, 1, 2, 3]

    async def test_messages_of_other_frameworks(self, memory: chatmem.ChatMemory) -> None:
        """What no item can express stays; a message that is several items is replaced as a whole or not at all."""
        call = {"name": "f", "args": {}, "id": "1"}
        await memory.history(SESSION).append(
            lc.HumanMessage([{"type": "image", "url": "u"}]),
            "1",
            lc.AIMessage("wait", tool_calls=[call]),
            lc.ToolMessage("done", tool_call_id="1"),
        )
        snapshot = await ChatmemSession(memory, SESSION)._get_compaction_snapshot(50)
        assert snapshot is not None
        assert [item.get("type", item.get("role")) for item in snapshot.items] == [
            "user",
            "assistant",
            "function_call",
            "function_call_output",
        ]
        assert not snapshot.complete
        for nothing in (2, 4, 9, -1):
            assert not await snapshot.replace_suffix(nothing, [])
        assert await snapshot.replace_suffix(1, [user(2)])
        assert [message.text for message in await memory.history(SESSION).messages()] == ["", "1", "2"]


class TestEncryptedSession:
    @pytest.mark.parametrize("outside", [True, False])
    async def test_either_way_round(self, memory: chatmem.ChatMemory, outside: bool) -> None:
        """The summary is encrypted, the session stays, and what has expired at its head goes in the same step."""
        store: Any
        session: Any
        encrypting: Any
        store, client = ChatmemSession(memory, SESSION), Client()
        if outside:
            session = encrypting = EncryptedSession(SESSION, compacting(store, client), encryption_key="k" * 40)
        else:
            encrypting = EncryptedSession(SESSION, store, encryption_key="k" * 40)
            session = compacting(encrypting, client)
        long_ago = encrypting.cipher.encrypt_at_time(json.dumps(user(99)).encode(), 1_000_000_000).decode()
        await store.add_items([{"__enc__": 1, "v": 1, "kid": "hkdf-v1", "payload": long_ago}] * 300)
        await memory.history(SESSION).update(title="Secret")
        await session.add_items([user(number) for number in range(MOST)])
        assert await memory.history(SESSION).count() == 300 + MOST
        await turn(session, 50)
        assert client.calls == 1
        assert await memory.history(SESSION).count() == 1
        assert numbers_in(await session.get_items()) == [*range(MOST), 50]
        assert (await memory.history(SESSION).info()).title == "Secret"
        assert all(set(item) == {"__enc__", "v", "kid", "payload"} for item in await store.get_items())


def check(items: list[Any], done: set[int], tried: set[int]) -> None:
    """Fail if a number of a turn that was done is not there exactly once, or another one more than once."""
    counted = Counter(numbers_in(items))
    assert {number: counted[number] for number in done} == dict.fromkeys(done, 1)
    assert set(counted) <= tried
    assert set(counted.values()) == {1}


def test_killed(url: str, prefix: str) -> None:
    """Kill -9 while the history is replaced leaves the old items or the summary, and loses no turn that was done."""
    rng, done, replaced = random.Random(1), set[int](), 0
    for _ in range(ROUNDS):
        command = [sys.executable, "-m", "tests.compacting", url, prefix]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        while (line := process.stdout.readline().strip()) != SUMMARISING:
            done.add(int(line))
        time.sleep(rng.random() * 0.003)
        process.kill()
        with process:  # not `communicate`, which skips what `readline` has buffered
            done.update(int(line) for line in process.stdout.read().split() if line != SUMMARISING)
        with chatmem.sync.connect(url, prefix=prefix, ttl=600) as memory:
            items = [item for message in memory.history(SESSION).messages() for item in items_of(message)]
        check(items, done, set(range(max(done) + 2)))
        replaced += len(items) < MOST
    print(f"killed {ROUNDS} times, {replaced} times behind the replacement")


async def test_faults(url: str, prefix: str) -> None:
    """Connections that fail at any moment lose nothing that was done, and double nothing."""
    schedule = Schedule(3, 60)
    where = urlsplit(url)
    done, tried = set[int](), set[int]()
    client = Client()
    with failing(lambda: (str(where.hostname), int(where.port or 0)), schedule, patience=0.1) as proxy:
        through = f"redis://127.0.0.1:{proxy.port}/0?socket_timeout=0.1&socket_connect_timeout=0.1"
        async with chatmem.connect(through, prefix=prefix, ttl=600) as memory:
            session = compacting(ChatmemSession(memory, SESSION), client)
            while not schedule.is_over:
                number = len(tried)
                tried.add(number)
                try:
                    await turn(session, number)
                except chatmem.UnavailableError:
                    proxy.settle()
                    continue
                done.add(number)
            proxy.settle()
            check(await session.get_items(), done, tried)
    assert client.calls > 3
    print(f"{len(done)} of {len(tried)} turns, {client.calls} compactions, {json.dumps(schedule.drawn)}")
