"""Sessions that another program wrote into: every operation works or says what is wrong, soon; nothing else is lost."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem
from chatmem.core.keys import session_keys, user_key

NUMBERS = (
    b"",
    b"-1",
    b"0",
    b"9" * 15,
    b"9" * 19,
    b"9" * 400,
    b"1e308",
    b"inf",
    b"nan",
    b"0x10",
    b"-5",
    b"1.5",
    b"\x00",
)
Operation = Callable[[chatmem.History], Awaitable[Any]]


@pytest.fixture
def raw(url: str, prefix: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client
        for key in client.scan_iter(f"{prefix}*"):
            client.unlink(key)


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


async def entries_of(history: chatmem.History) -> list[chatmem.Entry]:
    return [entry async for entry in history.entries()]


READS: tuple[Operation, ...] = (
    lambda history: history.messages(),
    lambda history: history.messages(last=3),
    lambda history: history.window(messages=4),
    lambda history: history.window(tokens=10_000),
    lambda history: history.page(),
    lambda history: history.page(before=5, limit=2),
    lambda history: history.page(after=3, newest_first=False),
    lambda history: history.get("m1"),
    lambda history: history.get(3),
    lambda history: history.search("kept"),
    lambda history: history.count(),
    lambda history: history.info(),
    lambda history: history.branches(),
    lambda history: history.summary(),
    entries_of,
)
WRITES: tuple[Operation, ...] = (
    lambda history: history.append(lc.HumanMessage("new", id="n")),
    lambda history: history.append("keyed", idempotency_key="key"),
    lambda history: history.append(lc.HumanMessage("again", id="m1")),
    lambda history: history.put(lc.AIMessage("put", id="m2")),
    lambda history: history.replace("m3", "replaced"),
    lambda history: history.replace(4, "replaced"),
    lambda history: history.update(title="t"),
    lambda history: history.annotate("m1", {"rating": 1}),
    lambda history: history.annotate(3, {"rating": 1}),
    lambda history: history.summarize(up_to="m2", summary=["summary"]),
    lambda history: history.touch(),
)
REMOVALS: tuple[Operation, ...] = (
    lambda history: history.branch(after="m3"),
    lambda history: history.switch(0),
    lambda history: history.delete_branch(0),
    lambda history: history.delete("m4"),
    lambda history: history.delete(0),
    lambda history: history.fork("other"),
    lambda history: history.compact(up_to="m2", replacement=["summary"]),
    lambda history: history.compact(up_to=5, replacement=[]),
    lambda history: history.truncate(after="m5"),
    lambda history: history.truncate(after=1),
    lambda history: history.clear(),
)


async def attempt(history: chatmem.History, operation: Operation) -> bool:
    """Do it within two seconds; return whether it worked, and let only chatmem's own errors pass."""
    async with asyncio.timeout(2):
        try:
            await operation(history)
        except (chatmem.ChatMemError, ValueError) as error:
            raised = error
        else:
            return True
    assert not isinstance(raised, chatmem.UnavailableError)
    assert "script" not in str(raised), raised
    return False


def junk(rng: random.Random) -> bytes:
    """Return an element as others may have left it there."""
    return rng.choice(
        (
            rng.randbytes(rng.randrange(40)),
            b"%d:" % rng.randrange(20) + rng.randbytes(rng.randrange(20)),
            rng.choice(NUMBERS) + b":" + rng.randbytes(5),
            rng.choice(NUMBERS),
            b"7:A" + rng.randbytes(rng.randrange(4)),
            b'{"type": ',
            b"removed:",
        )
    )


def damage(rng: random.Random, raw: redis.Redis, prefix: str) -> None:
    """Write into the three keys of the session, beside and over what is there, but over no message."""
    keys = session_keys(prefix, "s")
    for _ in range(rng.randrange(6)):
        raw.lpush(keys.messages, junk(rng)) if rng.random() < 0.5 else raw.rpush(keys.messages, junk(rng))
    if raw.llen(keys.messages) and rng.random() < 0.4:
        raw.linsert(keys.messages, "BEFORE", raw.lindex(keys.messages, 0), junk(rng))  # type: ignore[arg-type]
    for _ in range(rng.randrange(4)):
        raw.hset(
            keys.ids, rng.choice((b"m1", b"m2", b"m9", b"kkey", b"", b"x")), rng.choice((*NUMBERS, b"1:2:x", junk(rng)))
        )
    for _ in range(rng.randrange(4)):
        name = rng.choice(("version", "next", "recent", "created", "updated", "title", "metadata"))
        raw.hset(keys.state, name, rng.choice((*NUMBERS, junk(rng), b"x" * 3000)))
    if rng.random() < 0.3:
        raw.hset(keys.ids, mapping={b"m%d" % (100 + n): rng.choice(NUMBERS) for n in range(120)})


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_others_left_there(
    memory: chatmem.ChatMemory, raw: redis.Redis, url: str, prefix: str, seed: int
) -> None:
    """Junk of any shape in list, ids and state: all operations end, and what was not removed is there."""
    rng = random.Random(seed)
    history = memory.history("s")
    await history.append(*(lc.HumanMessage(f"kept {n}", id=f"m{n}") for n in range(8)))
    damage(rng, raw, prefix)
    operations = rng.sample((*READS, *WRITES), len(READS) + len(WRITES))
    for operation in operations:
        await attempt(history, operation)
        contents = {str(message.content) for message in await history.messages()}
        assert {"kept 0", "kept 5", "kept 6", "kept 7"} <= contents
    assert await attempt(history, lambda history: history.append("appended"))
    assert "appended" in [message.content for message in await history.messages()]
    for operation in rng.sample(REMOVALS, len(REMOVALS)):
        await attempt(history, operation)
        await attempt(history, rng.choice(READS))
    async with chatmem.connect(url, prefix=prefix, ttl=60, max_messages=3) as trimming:
        damage(rng, raw, prefix)
        for number in range(4):
            assert await attempt(trimming.history("s"), lambda history, n=number: history.append(f"last {n}"))  # type: ignore[misc]
            assert (await history.messages())[-1].content == f"last {number}"
    assert await attempt(history, lambda history: history.clear())


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "line", [b'"k"\t' + DEEP, DEEP + b"\t1", b"[1]\t1", b"{}\t1", b"5\t1", b'"k"', b"\t", b"\xff\t1"]
)
async def test_annotations_that_others_wrote(
    memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str, line: bytes
) -> None:
    """They are left out, and the others and the messages are there."""
    history = memory.history("s")
    await history.append(lc.HumanMessage("kept", id="m1"))
    await history.annotate("m1", {"rating": 1})
    key = session_keys(prefix, "s").ids
    names: Any = raw.hkeys(key)
    (name,) = [name for name in names if name.startswith(b"a")]
    stored: Any = raw.hget(key, name)
    raw.hset(key, name, line + b"\n" + stored)
    (entry,) = (await history.page()).entries
    assert entry.annotations == {"rating": 1}
    assert await attempt(history, lambda history: history.annotate("m1", {"rating": 2}))
    assert await attempt(history, lambda history: history.fork("other"))


@pytest.mark.parametrize("name", ["title", "metadata"])
@pytest.mark.parametrize("value", [DEEP, b"5", b"[1]", b"{", b"\xff", b'["a"]', b"true"])
async def test_a_title_that_others_wrote(
    memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str, name: str, value: bytes
) -> None:
    """It counts as none, and the list of sessions is read, also by titles."""
    history = memory.history("s", user="alice")
    await history.append("kept")
    await memory.history("t", user="alice").update(title="there")
    raw.hset(session_keys(prefix, "s").state, name, value)
    info = await history.info()
    assert (info.title, info.metadata) == (None, {})
    assert len((await memory.sessions("alice")).sessions) == 2
    assert [info.session_id for info in (await memory.sessions("alice", title="THERE")).sessions] == ["t"]
    await attempt(history, lambda history: history.update(metadata={"a": 1}, merge=True))
    assert await attempt(history, lambda history: history.update(title="t", metadata={"a": 1}))


async def test_a_call_of_a_function_with_deep_arguments(memory: chatmem.ChatMemory) -> None:
    """Whatever a model gave as arguments, the conversation can be sent."""
    history = memory.history("s")
    call = {"name": "f", "arguments": DEEP.decode()}
    await history.append("q", lc.AIMessage("", additional_kwargs={"function_call": call}), "q2")
    assert [message.content for message in await history.window(turns=5)] == ["q", "q2"]


async def test_a_long_list_of_junk(memory: chatmem.ChatMemory, raw: redis.Redis, url: str, prefix: str) -> None:
    """Thousands of elements without a position, and more ids: the server is not held up, which serves others too."""
    keys = session_keys(prefix, "s")
    raw.rpush(keys.messages, *([b"junk"] * 3000))
    raw.hset(keys.ids, mapping={b"m%d" % n: b"%d" % (n % 3000) for n in range(7000)})
    history = memory.history("s")
    for operation in (*READS, *WRITES, lambda history: history.delete(7)):
        await attempt(history, operation)
    async with chatmem.connect(url, prefix=prefix, ttl=60, max_messages=2500) as trimming:
        assert await attempt(trimming.history("s"), lambda history: history.append("x"))
    assert [message.content for message in await history.messages(last=1)] == ["x"]


@pytest.mark.parametrize("position", [b"5", b"0", b"999999999999999"])
async def test_positions_that_do_not_grow(
    memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str, position: bytes
) -> None:
    """Iterating, searching and windows end where slice after slice begins at the same position."""
    history = memory.history("s")
    await history.append(*(lc.HumanMessage(f"kept {n}") for n in range(100)))
    keys = session_keys(prefix, "s")
    stored: Any = raw.lrange(keys.messages, 0, -1)
    elements: list[bytes] = [element.partition(b":")[2] for element in stored]
    raw.delete(keys.messages)
    raw.rpush(keys.messages, *(b"%b:%b" % (position if n % 2 else b"3", one) for n, one in enumerate(elements * 20)))
    for operation in READS:
        await attempt(history, operation)
    assert len(await history.messages()) == 2000


async def test_records_of_a_thousand_dictionaries(memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str) -> None:
    """Records that each name another dictionary, of which none exists: each is looked for once, and that is all."""
    head = b"\x01\x08h\x00\x01" + bytes(10)
    frames = [b"\x63" + struct.pack("<I", 2**31 + n) + struct.pack("<H", 200) + b"\x01\x00\x00" for n in range(1500)]
    raw.rpush(session_keys(prefix, "s").messages, *(b"%d:%b" % (n, head + frame) for n, frame in enumerate(frames)))
    history = memory.history("s")
    before = _gets(raw)
    async with asyncio.timeout(10):
        assert await history.messages() == []
        assert len(await entries_of(history)) == 1500
    assert 2 * 1500 <= _gets(raw) - before <= 3 * 1500


def _gets(raw: redis.Redis) -> int:
    stats: Any = raw.info("commandstats")
    return int(stats.get("cmdstat_get", {"calls": 0})["calls"])


WRONG = {"string": b"x", "list": [b"x"], "hash": {b"x": b"x"}, "set": {b"x"}, "zset": {b"x": 1.0}, "stream": None}


def store(raw: redis.Redis, key: bytes, kind: str) -> None:
    value: Any = WRONG[kind]
    stores: dict[str, Callable[[], object]] = {
        "string": lambda: raw.set(key, value),
        "list": lambda: raw.rpush(key, *value),
        "hash": lambda: raw.hset(key, mapping=value),
        "set": lambda: raw.sadd(key, *value),
        "zset": lambda: raw.zadd(key, value),
        "stream": lambda: raw.xadd(key, {"x": "x"}),
    }
    raw.delete(key)
    stores[kind]()


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("which", range(3))
async def test_a_key_of_a_wrong_type(
    memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str, which: int, kind: str
) -> None:
    """A write that cannot be done whole changes nothing in the two other keys; clear makes the session usable again."""
    history = memory.history("s")
    await history.append(lc.HumanMessage("kept", id="m1"))
    keys = session_keys(prefix, "s")
    if kind == ("list", "hash", "hash")[which]:
        return
    store(raw, keys[which], kind)
    others = [key for index, key in enumerate(keys) if index != which]
    for operation in WRITES[:6]:
        before = [raw.dump(key) for key in others]
        if not await attempt(history, operation):
            assert [raw.dump(key) for key in others] == before
    for operation in (*READS, *WRITES):
        await attempt(history, operation)
    for key in keys:
        raw.delete(key)
    assert await attempt(history, WRITES[0])


@pytest.mark.parametrize("kind", sorted({*WRONG} - {"zset"}))
async def test_a_users_index_of_a_wrong_type(
    memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str, kind: str
) -> None:
    """It is an error that says so; the sessions themselves are read as before."""
    history = memory.history("s", user="alice")
    await history.append("kept")
    store(raw, user_key(prefix, b"alice"), kind)
    with pytest.raises(chatmem.CorruptRecordError):
        await memory.sessions("alice")
    with pytest.raises(chatmem.CorruptRecordError):
        await history.append("stored all the same")
    assert [message.content for message in await memory.history("s").messages()] == ["kept", "stored all the same"]


@pytest.mark.parametrize("member", [b"\xff\xfe", b"", b"%s", b"%zz", b"%FF", b"~", b"x" * 5000, b"%~" + b"!" * 22])
@pytest.mark.parametrize("score", ["inf", "-inf", "1.5", "1e300", "5"])
async def test_strange_members_of_a_users_index(
    memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str, member: bytes, score: str
) -> None:
    """They cost nothing but themselves: listing and searching leave them out, erasing erases the rest."""
    key = user_key(prefix, b"alice")
    for session in ("a", "s", "z"):
        await memory.history(session, user="alice").append("kept")
        raw.zadd(key, {member: score})
        page = await memory.sessions("alice", limit=1)
        while page.next is not None:
            page = await memory.sessions("alice", limit=1, before=page.next)
        raw.zadd(key, {member: score})
    assert {info.session_id for info in (await memory.sessions("alice")).sessions} == {"a", "s", "z"}
    raw.zadd(key, {member: score})
    assert len(await memory.search("alice", "kept")) == 3
    raw.zadd(key, {member: score})
    assert await memory.forget("alice") == 3
    assert not raw.exists(key)
