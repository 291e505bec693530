"""The short paths at the head of the scripts: each does what the rest of its script does, or leaves all to it."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

import chatmem
from chatmem import scripts
from chatmem.core.keys import SessionKeys, session_keys
from chatmem.scripts import calls
from chatmem.scripts.calls import Part, Shared

NOW = b"1790000000000000"
DAY = 86_400_000
OTHER = b"another"


def halves(script: scripts.Script, call: bytes) -> tuple[bytes, bytes]:
    """Return a script that takes only its short path, or says that it is another case; and one that never takes it."""
    head, _, rest = script.text.partition(call)
    name, _, expression = call.removeprefix(b"local ").partition(b" = ")
    return head + b"return " + expression.strip() + b" or '" + OTHER + b"'", head + b"local " + name + b"\n" + rest


APPEND = halves(scripts.APPEND, b"local appended = append_plain()\n")
READ = halves(scripts.READ, b"local found = how == 'tail' and plain_tail() or how == 'window' and plain_window()\n")


@pytest.fixture
def raw(url: str, prefix: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)


async def prepare(history: chatmem.History, chance: random.Random) -> None:
    """Do a few things to a session; most of them leave it one that has nothing but messages."""
    for _ in range(chance.choice((0, 0, 1, 9))):
        await history.append(SystemMessage("be kind"))
    for turn in range(chance.randrange(1, 4)):
        await history.append(
            HumanMessage(f"question {turn}", id=chance.choice((None, f"q{turn}"))), AIMessage("answer")
        )
    for _ in range(chance.choice((0, 0, 0, 0, 1, 2))):
        with suppress(chatmem.NotFoundError, chatmem.ConflictError):
            match chance.randrange(10):
                case 0:
                    await history.update(title="A title")
                case 1:
                    await history.update(metadata={"model": "large"})
                case 2:
                    await history.update(pinned=True, tags=["work"])
                case 3:
                    await history.delete(0)
                case 4:
                    await history.replace(1, AIMessage("a better answer"))
                case 5:
                    await history.compact(up_to=1, replacement=[HumanMessage("in short")])
                case 6:
                    await history.annotate(1, {"rating": 5})
                case 7:
                    await history.branch(after=0)
                case 8:
                    await history.append(HumanMessage("once"), idempotency_key=chance.choice(("once", "before")))
                case _:
                    await history.truncate(after=0)


def damage(raw: redis.Redis, keys: SessionKeys, chance: random.Random) -> None:
    """Do something to the session that chatmem does not do."""
    match chance.randrange(12):
        case 0:
            raw.delete(chance.choice(keys))
        case 1:
            raw.hdel(keys.state, chance.choice(("version", "next", "recent", "life", "created", "updated")))
        case 2:
            number = chance.choice(("", "-1", "1e3", "0x10", "x", "9" * 14, "9" * 15, "9" * 20))
            raw.hset(keys.state, chance.choice(("version", "next")), number)
        case 3:
            raw.hset(keys.state, "life", chance.choice(("", "x", "abcdefgh", b"\xff" * 30)))
        case 4 if chance.random() < 0.5 and raw.exists(keys.messages):
            first: Any = chance.choice(("", "x", "0:x", b"0:\x01\0s", '{"type": "system"}', "0:ABBB"))
            raw.lset(keys.messages, 0, first)
        case 4:
            raw.rpush(keys.messages, chance.choice(("", "pushed", "9:pushed", b"7:\x01" + b"\0" * 20)))
        case 5:
            raw.hset(keys.ids, "e", chance.choice(("", "abcdefgh:1:", "x")))
        case 6:
            raw.rpop(keys.messages)
        case 7:
            key = chance.choice(keys)
            raw.delete(key)
            raw.set(key, "of another type")
        case 8:
            raw.persist(keys.state)
        case 9:
            raw.hdel(keys.ids, "e")
        case _:
            raw.hset(keys.ids, "mq9", "1")


def request(version: int, following: int, chance: random.Random) -> tuple[Shared, list[Part], dict[str, Any]]:
    """Return the arguments of an append."""

    def mostly(value: Any, *others: Any) -> Any:
        return value if chance.random() < 0.94 else chance.choice(others)

    parts = []
    for number in range(mostly(chance.choice((1, 2)), 0, 3)):
        name = chance.choice((b"", b"new %d" % number, mostly(b"new", b"q0", b"q1", b"once")))
        parts.append(Part(name, b"d%d" % chance.randrange(9), b"\x01\2h\0\0" + b"\0" * 8 + b"\0\0body %d" % number))
    user = mostly(b"", b"alice", b"bob")
    shared = Shared(
        token=mostly(b"abc:5:0", b"abc:7:2"),
        now=NOW,
        ttl=mostly(b"%d" % DAY, b""),
        restart=mostly(b"1", b"0"),
        expected_version=mostly(chance.choice((b"", b"%d" % version)), b"%d" % (version + 1)),
        user=user,
        claim=chance.choice((b"", b"1")) if user else b"",
    )
    places = range(following, following + len(parts))
    more = {
        "idempotency_key": chance.choice((b"", b"", b"once", b"another")),
        "max_messages": mostly(chance.choice((b"", b"100")), b"3"),
        "on_known_id": chance.choice((b"error", b"add", b"replace", b"put")),
        "sealed_for": mostly(chance.choice((b"", b",".join(b"%d" % place for place in places))), b"99"),
        "removed": mostly((), (b"q0",)),
    }
    return shared, parts, more


class Copies:
    """Copies of one session's keys, each to be put back in turn."""

    def __init__(self, raw: redis.Redis, keys: SessionKeys) -> None:
        self._raw, self._keys = raw, keys
        self._kept = [(raw.dump(key), raw.pttl(key)) for key in keys]

    def put_back(self) -> None:
        """Put each key back as it was."""
        for key, (value, left) in zip(self._keys, self._kept, strict=True):
            self._raw.delete(key)
            if value is not None:
                self._raw.restore(key, max(left, 0), value)

    def held(self) -> list[Any]:
        """Return what the keys hold, and in how many hours they expire."""
        found: list[Any] = []
        for key in self._keys:
            kind, left = self._raw.type(key), self._raw.pttl(key)
            found.append((kind, -1 if left < 0 else round(left / 3_600_000)))
            if kind == b"list":
                found.append(self._raw.lrange(key, 0, -1))
            elif kind == b"hash":
                fields: dict[Any, Any] = self._raw.hgetall(key)
                fields.pop(b"until", None)  # each of the two scripts asks the server for its own time
                fields[b"recent"] = re.sub(rb";(\w+:\w+:\w+):\w+:", rb";\1:", fields.get(b"recent", b""))
                found.append(fields)
        return found


def run(raw: redis.Redis, text: bytes, command: scripts.Command) -> Any:
    """Run a script in place of the command's own; return its reply, or its error."""
    try:
        return raw.execute_command("EVAL", text, *command[2:])
    except redis.ResponseError as error:
        return str(error).split(" ")[0]


@pytest.mark.parametrize("seed", range(6))
async def test_an_append(url: str, raw: redis.Redis, prefix: str, seed: int) -> None:
    chance, seen = random.Random(seed), Counter[str]()
    async with chatmem.connect(url, prefix=prefix) as forever, chatmem.connect(url, prefix=prefix, ttl=600) as memory:
        for number in range(150):
            keys = session_keys(prefix, str(number))
            user = chance.choice((None, "alice"))
            await prepare(chance.choice((memory, memory, forever)).history(str(number), user=user), chance)
            if chance.random() < 0.2:
                damage(raw, keys, chance)
            known = raw.hmget(keys.state, "version", "next") if raw.type(keys.state) == b"hash" else [None, None]
            version, following = (int(one) if one and one.isdigit() else 0 for one in known)
            shared, parts, more = request(version, following, chance)
            command = calls.append(keys, shared, [value for part in parts for value in part], **more)
            copies = Copies(raw, keys)
            before = copies.held()
            reply = run(raw, APPEND[0], command)
            after = copies.held()
            if reply == OTHER:
                assert after == before, (command, before)
                seen["others"] += 1
                continue
            copies.put_back()
            assert run(raw, APPEND[1], command) == reply, (command, before)
            assert copies.held() == after, (command, before)
            seen["plain"] += 1
    assert min(seen["plain"], seen["others"]) > 10, seen


@pytest.mark.parametrize("seed", range(6))
async def test_a_read(url: str, raw: redis.Redis, prefix: str, seed: int) -> None:
    chance, seen = random.Random(seed), Counter[str]()
    async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
        for number in range(150):
            keys = session_keys(prefix, str(number))
            await prepare(memory.history(str(number), user=chance.choice((None, "alice"))), chance)
            if chance.random() < 0.2:
                damage(raw, keys, chance)
            user = chance.choice((b"", b"", b"alice", b"bob"))
            reads = calls.Reads(keys, user, chance.choice((b"", b"1")) if user else b"")
            tail, window = reads.tail(chance.choice((None, 1, 3, 100))), reads.ends(2, with_tail=chance.random() < 0.5)
            command = chance.choice((tail, window)).command
            before, reply = Copies(raw, keys).held(), run(raw, READ[0], command)
            assert Copies(raw, keys).held() == before
            if reply != OTHER:
                assert run(raw, READ[1], command) == reply, (command, before)
            seen["other" if reply == OTHER else "plain"] += 1
    assert min(seen["plain"], seen["other"]) > 10, seen


async def test_most_appends_are_plain(url: str, raw: redis.Redis, prefix: str) -> None:
    async with chatmem.connect(url, prefix=prefix, ttl=600, max_messages=1000) as memory:
        history = memory.history("s", user="alice")
        await history.append(HumanMessage("begin", id="m0"))
        await history.update(title="A title")
        await history.delete("m0")
        await history.append(HumanMessage("another", id="m1"), AIMessage("without an id"))
    keys = session_keys(prefix, "s")
    record = b"\x01\2h\0\0" + b"\0" * 8 + b"\0\0body"
    for number, key in ((3, b""), (4, b"a key"), (5, b"another")):
        shared = Shared(b"abc:%d:0" % number, ttl=b"600000", user=b"alice", expected_version=b"%d" % number)
        part = Part(b"m%d" % number, b"", record)
        appended = run(
            raw,
            APPEND[0],
            calls.append(keys, shared, part, idempotency_key=key, max_messages=b"1000", sealed_for=b"%d" % number),
        )
        assert appended == [number + 1, number, number, 0, b"alice"]
        assert raw.hget(keys.state, "version") == b"%d" % (number + 1)
    again = run(raw, APPEND[0], calls.append(keys, shared, part, idempotency_key=b"a key"))
    assert again == OTHER
