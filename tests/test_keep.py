"""Keeping a range of a session's messages and putting others behind it: one atomic step that keeps the session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
import redis
from langchain_core import messages as lc

import chatmem
from tests.entries import content_of, got


@pytest.fixture
async def memory(server_url: str, prefix: str, raw: redis.Redis) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(server_url, prefix=prefix, ttl=600) as memory:
        yield memory


async def keep(
    memory: chatmem.ChatMemory,
    first: int,
    last: int,
    messages: Sequence[lc.BaseMessage] = (),
    *,
    user: str | None = None,
    expected_version: int | None = None,
) -> chatmem.Edited:
    writer = memory.core.writer("s", user)
    return await writer.keep(first, last, await writer.encode(messages), expected_version=expected_version)


async def stored(history: chatmem.History) -> list[tuple[int, object]]:
    return [(entry.seq, content_of(entry)) async for entry in history.entries()]


def numbered(count: int) -> list[lc.BaseMessage]:
    return [lc.HumanMessage(str(number), id=f"m{number}") for number in range(count)]


async def test_the_session_stays(memory: chatmem.ChatMemory) -> None:
    """Title, metadata, owner and positions stay; what comes is found by its id, and what is gone is not."""
    history = memory.history("s", user="alice")
    await history.append(*numbered(6))
    await history.update(title="Trip", metadata={"pinned": True})
    before = await history.info()
    done = await keep(memory, 1, 3, [lc.AIMessage("sum", id="sum"), lc.AIMessage("more")], user="alice")
    assert done == chatmem.Edited(before.version + 1, 6, 3)
    assert await stored(history) == [(1, "1"), (2, "2"), (3, "3"), (6, "sum"), (7, "more")]
    assert (await got(history, "sum")).seq == 6
    assert await history.get("m0") is None
    assert await history.get("m5") is None
    after = await history.info()
    assert (after.title, after.metadata, after.user) == ("Trip", {"pinned": True}, "alice")
    assert after.created_at == before.created_at
    assert (await history.append("next")).first == 8


async def test_everything_goes(memory: chatmem.ChatMemory) -> None:
    """No message need stay, and none need come; the session stays, and gives no position twice."""
    history = memory.history("s")
    await history.append(*numbered(3))
    await history.update(title="Trip")
    assert await keep(memory, 0, -1) == chatmem.Edited(2, None, 3)
    assert ((await history.info()).title, await history.count()) == ("Trip", 0)
    assert await keep(memory, 0, -1, [lc.HumanMessage("x", id="m1")]) == chatmem.Edited(3, 3, 0)
    assert await stored(history) == [(3, "x")]
    assert await keep(memory, 0, 9) == chatmem.Edited(3, None, 0)


async def test_a_session_begins(memory: chatmem.ChatMemory) -> None:
    """It gets its TTL and its place on the user's list; with nothing to store none begins."""
    assert await keep(memory, 0, -1, user="alice") == chatmem.Edited(0, None, 0)
    assert (await memory.sessions("alice")).sessions == []
    await keep(memory, 0, -1, numbered(2), user="alice")
    (listed,) = (await memory.sessions("alice")).sessions
    assert (listed.session_id, listed.count) == ("s", 2)
    with pytest.raises(chatmem.NotYoursError):
        await keep(memory, 0, -1, user="bob")


async def test_another_version(memory: chatmem.ChatMemory) -> None:
    """A writer that expects another version changes nothing."""
    history = memory.history("s")
    await history.append(*numbered(3))
    await history.append("meanwhile")
    with pytest.raises(chatmem.ConflictError, match="version 2, not at 1"):
        await keep(memory, 0, -1, numbered(1), expected_version=1)
    assert [text for _, text in await stored(history)] == ["0", "1", "2", "meanwhile"]


async def test_ids_that_are_taken(memory: chatmem.ChatMemory) -> None:
    """A message may have the id of one that goes, not of one that stays or comes too."""
    history = memory.history("s")
    await history.append(*numbered(3))
    with pytest.raises(ValueError, match=r"messages\[1\] has the id 'm0', which another message has"):
        await keep(memory, 0, 1, [lc.AIMessage("new"), lc.AIMessage("x", id="m0")])
    with pytest.raises(ValueError, match=r"messages\[1\] has the id 'new', which another message has"):
        await keep(memory, 0, 1, [lc.AIMessage("x", id="new")] * 2)
    await keep(memory, 0, 1, [lc.AIMessage("x", id="m2")])
    assert (await got(history, "m2")).seq == 3


async def test_behind_a_compaction(memory: chatmem.ChatMemory) -> None:
    """What a compaction put at the head stays as far as it is in the range, and is found by its id."""
    history = memory.history("s")
    await history.append(*numbered(5))
    summary = [lc.AIMessage("a", id="a"), lc.AIMessage("b", id="b")]
    await history.compact(up_to="m2", replacement=summary)
    await keep(memory, 0, 0, [lc.HumanMessage("new", id="new")])
    assert await stored(history) == [(0, "a"), (5, "new")]
    assert (await got(history, "a")).seq == 0
    assert await history.get("b") is None
    assert [message.content for message in await history.window(messages=5)] == ["a", "new"]


async def test_an_index_that_is_lost(memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str) -> None:
    """It is rebuilt first, so a taken id is noticed."""
    history = memory.history("s")
    await history.append(*numbered(3))
    raw.unlink(f"{prefix}:{{s}}:i")
    with pytest.raises(ValueError, match="'m0'"):
        await keep(memory, 0, 1, [lc.AIMessage("x", id="m0")])
    await keep(memory, 0, 1, [lc.AIMessage("x", id="new")])
    assert await stored(history) == [(0, "0"), (1, "1"), (3, "x")]


async def test_encrypted(server_url: str, prefix: str, raw: redis.Redis) -> None:
    """Records are encrypted for the positions that they get, also where the first guess is wrong."""
    ring = chatmem.KeyRing({"k": b"k" * 32})
    async with chatmem.connect(server_url, prefix=prefix, ttl=600, encryption=ring) as memory:
        history = memory.history("s")
        await history.append(*numbered(4))
        await keep(memory, 1, 2, [lc.AIMessage("x", id="x"), lc.AIMessage("y")])
        assert await stored(history) == [(1, "1"), (2, "2"), (4, "x"), (5, "y")]
        assert len(await history.messages(strict=True)) == 4
