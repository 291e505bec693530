"""Writers, editors, trimmers and readers at once on one session: every invariant holds at the end.

Three seconds by default; `CHATMEM_STRESS_SECONDS=60 pytest tests/test_stress.py` for longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter

import redis.asyncio
from langchain_core import messages as lc

import chatmem
from chatmem.core.keys import session_keys
from tests.exchanges import halves

SECONDS = float(os.environ.get("CHATMEM_STRESS_SECONDS", "3"))


class Traffic:
    """What many coroutines do to one session, and what they were told."""

    def __init__(self, memory: chatmem.ChatMemory, trimmer: chatmem.ChatMemory, name: str) -> None:
        self.memory = memory
        self.trimmer = trimmer
        self.until = time.monotonic() + SECONDS
        self.name = name
        self.stored: dict[str, int] = {}
        self.removed: set[str] = set()
        self.removed_up_to = -1
        self.bumps = 0
        self.done: Counter[str] = Counter()

    @property
    def history(self) -> chatmem.History:
        return self.memory.history(self.name, user="alice")

    async def run(self) -> None:
        roles = [self.write] * 20 + [self.edit] * 8 + [self.grow] * 6 + [self.compact] * 2 + [self.trim] * 2
        roles += [self.read] * 8 + [self.page] * 4
        await asyncio.gather(*(role(random.Random(seed)) for seed, role in enumerate(roles)))

    async def write(self, rng: random.Random) -> None:
        while time.monotonic() < self.until:
            name = f"{rng.getrandbits(60):x}"
            calls = [{"name": "f", "args": {}, "id": f"{name}-{i}"} for i in range(rng.randrange(3))]
            turn = [lc.HumanMessage("q", id=name), lc.AIMessage("a", id=f"{name}a", tool_calls=calls)]
            turn += [lc.ToolMessage("r", tool_call_id=str(c["id"]), id=f"{name}{c['id']}") for c in calls]
            done = await self.history.append(*turn)
            if rng.random() < 0.2:
                again = await self.history.append(*turn[:1])
                assert again.duplicates == 1 or done.first is not None
                self.bumps += again.duplicates == 0
                if not again.duplicates:  # it was removed in between
                    assert again.first is not None
                    self.stored[name] = again.first
                    self.removed.discard(name)
            self.bumps += 1
            assert done.first is not None
            for offset, message in enumerate(turn):
                self.stored.setdefault(str(message.id), done.first + offset)
            self.done["append"] += 1

    async def edit(self, rng: random.Random) -> None:
        while time.monotonic() < self.until:
            await asyncio.sleep(0.002)
            name = rng.choice([*self.stored, "none"][-40:])
            if not name.endswith("a") and len(name) < 17 and rng.random() < 0.5:
                done = await self.history.delete(name)
                if done.count:
                    self.removed.add(name)
                self.bumps += done.count
                self.done["delete"] += done.count
            else:
                try:
                    old = await self.history.get(name)
                    if old is not None and old.message is not None:
                        await self.history.replace(name, old.message.model_copy(update={"content": "edited"}))
                        self.bumps += 1
                        self.done["replace"] += 1
                except chatmem.NotFoundError:
                    self.done["replace too late"] += 1

    async def grow(self, rng: random.Random) -> None:
        while time.monotonic() < self.until:
            name = f"g{rng.getrandbits(60):x}"
            for length in range(1, 6):
                done = await self.history.put(lc.AIMessage("x" * length, id=name))
                self.bumps += 1
                if not done.count:
                    assert done.seq is not None
                    self.stored[name] = done.seq
                    self.removed.discard(name)
                self.done["put"] += 1
                await asyncio.sleep(0.001)

    async def compact(self, rng: random.Random) -> None:
        while time.monotonic() < self.until:
            await asyncio.sleep(0.05)
            page = await self.history.page(limit=50)
            if len(page.entries) < 50:
                continue
            up_to = page.entries[-1].seq
            try:
                summary = lc.SystemMessage("s", id=f"s{rng.random()}")
                done = await self.history.compact(up_to=up_to, replacement=[summary])
            except chatmem.ConflictError:
                self.done["stale compaction"] += 1
            else:
                self.bumps += done.count > 0
                self.removed_up_to = max(self.removed_up_to, up_to)
                self.done["compact"] += 1

    async def trim(self, rng: random.Random) -> None:
        while time.monotonic() < self.until:
            await asyncio.sleep(0.03)
            name = f"t{rng.getrandbits(60):x}"
            done = await self.trimmer.history(self.name).append(lc.HumanMessage("t", id=name))
            assert done.first is not None
            self.stored[name] = done.first
            self.bumps += 1
            self.done["trim"] += 1

    async def read(self, rng: random.Random) -> None:
        while time.monotonic() < self.until:
            assert not halves(await self.history.window(messages=rng.randint(1, 60), start_on=None))
            self.done["window"] += 1
            await asyncio.sleep(0.001)

    async def page(self, rng: random.Random) -> None:
        while time.monotonic() < self.until:
            seqs: list[int] = []
            page = await self.history.page(limit=20)
            while True:
                seqs += [entry.seq for entry in page.entries]
                if page.next is None:
                    break
                page = await self.history.page(before=page.next, limit=20)
            assert seqs == sorted(set(seqs), reverse=True)
            self.done["walk"] += 1
            await asyncio.sleep(0.01)


async def test_fifty_at_once(url: str, prefix: str) -> None:
    """Positions ascend, each id is found where it is, nothing acknowledged is lost, the version counts every change."""
    client = redis.asyncio.Redis.from_url(url)
    async with chatmem.connect(client=client, prefix=prefix, ttl=600) as memory:
        traffic = Traffic(memory, chatmem.connect(client=client, prefix=prefix, ttl=600, max_messages=400), "busy")
        await traffic.run()
        history = traffic.history
        entries = [entry async for entry in history.entries()]
        seqs, ids = [entry.seq for entry in entries], [entry.id for entry in entries]
        assert seqs == sorted(set(seqs))
        assert len(ids) == len(set(ids))
        for entry in entries:
            assert entry.id is not None
            found = await history.get(entry.id)
            assert found is not None
            assert found.seq == entry.seq
        there = {str(entry.id): entry.seq for entry in entries}
        assert not traffic.removed & set(there)
        head = max(traffic.removed_up_to, min(seq for seq in seqs if seq > 0))
        kept = {name: seq for name, seq in traffic.stored.items() if seq > head and name not in traffic.removed}
        assert {name: there.get(name) for name in kept} == kept
        info = await history.info()
        assert info.version == traffic.bumps
        deadlines = [await client.pttl(key) for key in session_keys(prefix, "busy")]
        assert all(590_000 < left <= 600_000 for left in deadlines)
        assert max(deadlines) - min(deadlines) < 1000
        assert [one.session_id for one in (await memory.sessions("alice")).sessions] == ["busy"]
        assert min(traffic.done[what] for what in ("append", "delete", "replace", "put", "compact", "trim")) > 0
        print(dict(traffic.done), len(entries))
        await memory.forget("alice")
        assert await client.keys(f"{prefix}*") == []
    await client.aclose()
