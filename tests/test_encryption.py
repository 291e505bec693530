"""Encryption at rest: what is stored says nothing, and nothing that was moved, swapped or changed is believed."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

import pytest
from langchain_core import messages as lc

import chatmem
from chatmem.codec import record
from chatmem.codec.encryption import key_of
from tests import samples
from tests.conftest import Connect
from tests.samples import same

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
RING = chatmem.KeyRing({"2026": OLD})
ROTATED = chatmem.KeyRing({"2026": OLD, "2027": NEW})


@pytest.fixture
def sealed(connect: Connect) -> Any:
    return connect(encryption=RING).history("user-123")


def name(prefix: str, session: str = "user-123", key: str = "m") -> str:
    return f"{prefix}:{{{session}}}:{key}"


class TestExact:
    async def test_the_22_kinds(self, sealed: Any) -> None:
        """Everything comes back equal."""
        messages = [message for message in samples.kinds().values() if not isinstance(message, samples.Custom)]
        await sealed.append(*messages)
        await sealed.append(*messages)  # those without ids again
        read = await sealed.messages(strict=True)
        assert all(map(same, read, messages))
        assert [entry.seq async for entry in sealed.entries(strict=True)] == list(range(len(read)))

    @pytest.mark.parametrize("compression", [None, "zstd"])
    async def test_nothing_is_legible(self, connect: Connect, raw: Any, prefix: str, compression: Any) -> None:
        """No word of content, title or metadata is in any key or value."""
        history = connect(encryption=RING, compression=compression).history("user-123")
        await history.append(lc.HumanMessage("legible " * 50, additional_kwargs={"legible": 1}), idempotency_key="k")
        await history.put(lc.AIMessageChunk(content="legible", id="c"))
        await history.update(title="legible", metadata={"legible": "legible"})
        stored = [raw.dump(key) for key in raw.scan_iter(f"{prefix}*")]
        stored += raw.lrange(name(prefix), 0, -1)
        stored += [*raw.hgetall(name(prefix, key="s")).values()]
        assert not any(b"legible" in (value or b"") for value in stored)
        info = await history.info()
        assert (info.title, info.metadata) == ("legible", {"legible": "legible"})

    async def test_all_operations(self, connect: Connect, sealed: Any) -> None:
        """Edits by id and position, growth, retention, compaction, branches, windows, pages and search."""
        await sealed.append(*(lc.HumanMessage(str(i), id=f"m{i}") for i in range(10)))
        await sealed.replace("m3", "three")
        await sealed.replace(4, "four")
        for text in ("gr", "grow", "growing"):
            await sealed.put(lc.AIMessage(text, id="g"))
        await sealed.delete("m5")
        await sealed.append(lc.HumanMessage("again", id="m3"), lc.HumanMessage("new", id="n"))
        await sealed.compact(upto="m1", replacement=["summary", "of two"])
        fork = await sealed.fork("branch", upto="m7")
        assert [m.content for m in await fork.messages(strict=True)] == [
            "summary",
            "of two",
            "2",
            "three",
            "four",
            "6",
            "7",
        ]
        await connect(encryption=RING, max_messages=3).history("user-123").append("last")
        assert [(e.seq, e.message.content) async for e in sealed.entries(strict=True)] == [
            (10, "growing"),
            (11, "new"),
            (12, "last"),
        ]
        assert [m.content for m in await sealed.window(messages=2)] == ["new", "last"]
        assert [match.entry.seq for match in await sealed.search("growing")] == [10]
        assert (await sealed.append(lc.HumanMessage("new", id="n"))).duplicates == 1

    async def test_writers_at_once(self, connect: Connect) -> None:
        """Each record is sealed for the position it gets, whoever else writes."""
        histories = [connect(encryption=RING).history("user-123") for _ in range(4)]

        async def write(history: Any, number: int) -> None:
            for i in range(10):
                await history.append(lc.HumanMessage(f"{number}-{i}", id=f"{number}-{i}"), "without id")

        await asyncio.gather(*(write(history, number) for number, history in enumerate(histories)))
        entries = [entry async for entry in histories[0].entries(strict=True)]
        assert [entry.seq for entry in entries] == list(range(80))
        assert len({entry.id for entry in entries if entry.id}) == 40


class TestTrust:
    async def test_a_missing_key(self, connect: Connect, sealed: Any, raw: Any, prefix: str, caplog: Any) -> None:
        """Each record says which key it wants; those of other keys, and plain ones, are read."""
        await sealed.append("old", "older")
        await connect(encryption=chatmem.KeyRing({"2027": NEW})).history("user-123").append("new")
        await connect().history("user-123").append("plain")
        other = connect(encryption=chatmem.KeyRing({"2027": NEW})).history("user-123")
        assert [m.content for m in await other.messages()] == ["new", "plain"]
        with pytest.raises(chatmem.CorruptRecordError, match="encrypted with the key '2026', which is not given"):
            await other.messages(strict=True)
        plain = connect().history("user-123")
        assert [m.content for m in await plain.messages()] == ["plain"]
        with pytest.raises(chatmem.CorruptRecordError, match=r"'2026': connect with encryption=chatmem.KeyRing"):
            await plain.messages(strict=True)
        await sealed.update(title="t")
        assert (await plain.info()).title is None
        assert "unreadable title" in caplog.text

    async def test_a_wrong_key(self, connect: Connect, sealed: Any) -> None:
        """Another key under the same name opens nothing."""
        await sealed.append("x")
        wrong = connect(encryption=chatmem.KeyRing({"2026": NEW})).history("user-123")
        with pytest.raises(chatmem.CorruptRecordError, match="cannot be decrypted"):
            await wrong.messages(strict=True)

    async def test_moved_records(self, connect: Connect, sealed: Any, raw: Any, prefix: str) -> None:
        """Swapped within a session, put into another, or renumbered: none is believed."""
        await sealed.append("a", "b", "c")
        a, b, c = raw.lrange(name(prefix), 0, -1)
        record_of = [element.partition(b":")[2] for element in (a, b, c)]
        raw.lset(name(prefix), 0, b"0:" + record_of[1])
        raw.lset(name(prefix), 1, b"1:" + record_of[0])
        other = connect(encryption=RING).history("other")
        await other.append("x")
        raw.lset(name(prefix, "other"), 0, b"0:" + record_of[0])
        assert [m.content for m in await sealed.messages()] == ["c"]
        assert await other.messages() == []
        raw.lset(name(prefix), 2, b"7:" + record_of[2])
        assert await sealed.messages() == []

    async def test_each_changed_byte(self, sealed: Any, raw: Any, prefix: str) -> None:
        """Header, key name, nonce, text and tag: no byte can be changed unnoticed."""
        await sealed.append(lc.HumanMessage("hello", id="i"))
        (element,) = raw.lrange(name(prefix), 0, -1)
        for index in range(2, len(element)):
            changed = element[:index] + bytes([element[index] ^ 1]) + element[index + 1 :]
            raw.lset(name(prefix), 0, changed)
            assert [m for m in await sealed.messages() if same(m, lc.HumanMessage("hello", id="i"))] == [], index
            raw.lset(name(prefix), 0, element[:index])
            assert await sealed.messages() == [], index

    async def test_rotation(self, connect: Connect, sealed: Any, raw: Any, prefix: str) -> None:
        """The newest key writes, the older read; afterwards all is under the newest, with times and positions."""
        await sealed.append(lc.HumanMessage("a", id="a"), "b")
        await connect().history("user-123").append("plain")
        await sealed.update(title="t", metadata={"a": 1})
        history = connect(encryption=ROTATED).history("user-123")
        await history.append("c")
        before = [(e.seq, e.id, e.created_at, e.message) async for e in history.entries(strict=True)]
        assert await history.reencrypt() == 3
        assert await history.reencrypt() == 0
        new = connect(encryption=chatmem.KeyRing({"2027": NEW})).history("user-123")
        assert [(e.seq, e.id, e.created_at, e.message) async for e in new.entries(strict=True)] == before
        assert {key_of(record.record_of(element)) for element in raw.lrange(name(prefix), 0, -1)} == {b"2027"}
        info = await new.info()
        assert (info.title, info.metadata) == ("t", {"a": 1})
        with pytest.raises(ValueError, match="encryption"):
            await connect().history("user-123").reencrypt()

    async def test_rotation_while_others_write(self, connect: Connect, sealed: Any) -> None:
        """Nothing is lost, and no edit undone."""
        await sealed.append(*(lc.HumanMessage("old", id=f"m{i}") for i in range(30)))
        rotating = connect(encryption=ROTATED).history("user-123")
        writer = connect(encryption=ROTATED).history("user-123")

        async def write() -> None:
            for i in range(30):
                await writer.replace(f"m{i}", "new")
                await writer.append("more")

        await asyncio.gather(rotating.reencrypt(), write())
        await rotating.reencrypt()
        new = connect(encryption=chatmem.KeyRing({"2027": NEW})).history("user-123")
        assert [m.content for m in await new.messages(strict=True)] == ["new"] * 30 + ["more"] * 30


class TestKeyRings:
    @pytest.mark.parametrize(
        "wrong", [{}, None, {"a": b"short"}, {"a": "x" * 32}, {"": OLD}, {"a b": OLD}, {"é": OLD}, {5: OLD}]
    )
    def test_wrong_keys(self, wrong: Any) -> None:
        with pytest.raises(ValueError, match="encryption key"):
            chatmem.KeyRing(wrong)

    def test_a_ring_is_needed(self) -> None:
        with pytest.raises(ValueError, match=r"encryption must be a chatmem\.KeyRing"):
            chatmem.connect("redis://localhost", encryption=OLD)  # type: ignore[arg-type]

    def test_text(self) -> None:
        """What the command line reads from its environment."""
        import base64

        ring = chatmem.KeyRing.parse(f"2026={base64.b64encode(OLD).decode()}\n2027={base64.b64encode(NEW).decode()}")
        assert ring.newest == b"2027"
        for wrong in ("", "2026", "2026=x"):
            with pytest.raises(ValueError, match="encryption key"):
                chatmem.KeyRing.parse(wrong)

    def test_no_key_is_shown(self) -> None:
        """A ring shows names alone."""
        shown = repr(RING) + str(vars(chatmem.connect("redis://localhost", encryption=RING)))
        assert "2026" in shown
        assert repr(OLD)[2:-1] not in shown
        assert OLD.hex() not in shown


def test_json_begins_unlike_a_sealed_text() -> None:
    """The two forms of a title cannot be mistaken for each other."""
    for value in ("", "~", {}, {"~": 1}):
        assert not json.dumps(value).startswith("~")
