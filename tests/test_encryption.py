"""Encryption at rest: what is stored says nothing, and nothing that was moved, swapped or changed is believed."""

from __future__ import annotations

import asyncio
import json
import secrets
import traceback
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core import messages as lc

import chatmem
from chatmem.codec import compression, record
from chatmem.codec.encryption import is_bound, key_of
from tests import samples
from tests.conftest import Connect
from tests.samples import same

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
RING = chatmem.KeyRing({"2026": OLD})
GOLDEN = json.loads((Path(__file__).parent / "golden" / "sealed-1.json").read_text())
ROTATED = chatmem.KeyRing({"2026": OLD, "2027": NEW})


@pytest.fixture
def sealed(connect: Connect) -> Any:
    return connect(encryption=RING).history("user-123")


@pytest.fixture
def dictionaries(raw: Any, prefix: str) -> Iterator[None]:
    """Forgets afterwards which dictionaries there were, here and on the server."""
    yield
    compression._given.clear()
    compression._found.clear()
    for key in list(raw.scan_iter(f"{prefix}:dictionary:*")):
        raw.unlink(key)


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
        await sealed.append(lc.HumanMessage("three", id="m3"), lc.HumanMessage("new", id="n"))
        await sealed.compact(up_to="m1", replacement=["summary", "of two"])
        fork = await sealed.fork("branch", up_to="m7")
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
            (0, "summary"),
            (1, "of two"),
            (10, "growing"),
            (11, "new"),
            (12, "last"),
        ]
        assert [m.content for m in await sealed.window(messages=4)] == ["summary", "of two", "new", "last"]
        assert [match.entry.seq for match in await sealed.search("growing")] == [10]
        assert (await sealed.append(lc.HumanMessage("new", id="n"))).duplicates == 1

    async def test_writers_at_once(self, connect: Connect) -> None:
        """Each record is sealed for the position it gets, whoever else writes."""
        histories = [connect(encryption=RING).history("user-123") for _ in range(4)]

        async def write(history: chatmem.History, number: int) -> None:
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
        with pytest.raises(chatmem.CorruptRecordError, match="with the key '2026', which is not in"):
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

    async def test_rotation_while_others_update(self, connect: Connect, sealed: Any) -> None:
        """No key of the metadata is lost."""
        await sealed.update(title="t")
        rotating, writer = (connect(encryption=ROTATED).history("user-123") for _ in range(2))

        async def update() -> None:
            for i in range(60):
                await writer.update(metadata={f"k{i}": i}, merge=True)

        async def rotate() -> None:
            for _ in range(30):
                await rotating.reencrypt()

        await asyncio.gather(rotate(), update())
        info = await rotating.info()
        assert (info.title, info.metadata) == ("t", {f"k{i}": i for i in range(60)})

    async def test_rotation_of_metadata_that_was_emptied(self, connect: Connect, sealed: Any) -> None:
        """It is under the new key as well."""
        await sealed.update(metadata={"a": 1})
        await sealed.update(metadata={})
        await connect(encryption=ROTATED).history("user-123").reencrypt()
        new = connect(encryption=chatmem.KeyRing({"2027": NEW})).history("user-123")
        await new.update(metadata={"b": 2}, merge=True)
        assert (await new.info()).metadata == {"b": 2}

    async def test_rotation_without_the_key_of_the_metadata(self, connect: Connect, sealed: Any) -> None:
        """Metadata that cannot be read stays, and the rest is encrypted anew."""
        lost = chatmem.KeyRing({"2026": OLD, "lost": secrets.token_bytes(32)})
        await connect(encryption=lost).history("user-123").update(metadata={"a": 1})
        await sealed.update(title="t")
        await connect(encryption=ROTATED).history("user-123").reencrypt()
        assert (await connect(encryption=chatmem.KeyRing({"2027": NEW})).history("user-123").info()).title == "t"
        assert (await connect(encryption=lost).history("user-123").info()).metadata == {"a": 1}


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

    @pytest.mark.parametrize(
        "text",
        [
            *("{0}", "={0}", "{0}=", "{0}={0}", "a={0}x", "a={0} b", "a={0} {0}", "a={0} a={0}", "a = {0}", "é={0}"),
            *("a={0}é", "a={0} b={0}=", "a:{0}", "a={0},b={0}", "a={1}", "{1}", "\ud800={0}\ud800", "a=={0}"),
        ],
    )
    def test_a_malformed_text(self, text: str) -> None:
        """No part of it is shown: what is taken for a name, or for a word, may be a key. Nor is it in a cause."""
        key = b64encode(OLD).decode()
        with pytest.raises(ValueError, match="encryption key") as caught:
            chatmem.KeyRing.parse(text.format(key, OLD.hex()))
        assert caught.value.__context__ is None
        shown = "".join(traceback.format_exception_only(caught.value)) + repr(caught.value)
        given = (key, OLD.hex())
        assert not any(part[i : i + 6] in shown for part in given for i in range(len(part) - 5))

    def test_a_key_in_the_place_of_its_name(self) -> None:
        for wrong in ({b64encode(OLD).decode(): "2026"}, {OLD.hex(): b"2026"}, {"2026": b64encode(OLD)}, {OLD: OLD}):
            with pytest.raises(ValueError, match="encryption key") as caught:
                chatmem.KeyRing(wrong)  # type: ignore[arg-type]
            assert b64encode(OLD).decode()[:6] not in str(caught.value)
            assert OLD.hex()[:6] not in str(caught.value)

    def test_no_key_is_shown(self) -> None:
        """A ring shows names alone."""
        shown = repr(RING) + repr(vars(RING)) + str(vars(chatmem.connect("redis://localhost", encryption=RING)))
        assert "2026" in shown
        assert repr(OLD)[2:-1] not in shown
        assert OLD.hex() not in shown


def test_json_begins_unlike_a_sealed_text() -> None:
    """The two forms of a title cannot be mistaken for each other."""
    for value in ("", "~", {}, {"~": 1}):
        assert not json.dumps(value).startswith("~")


class TestEarlierReleases:
    """What they sealed is bound to its session, but not to the prefix and not to a dictionary."""

    @pytest.fixture
    def server_url(self, url: str) -> str:
        return url

    async def test_they_are_read_and_bound_anew(
        self, connect: Connect, raw: Any, prefix: str, dictionaries: None
    ) -> None:
        """`reencrypt` seals them as all are sealed now, though they lie under the newest key."""
        given = chatmem.KeyRing({"2026": b64decode(GOLDEN["key"])})
        wanted = lc.messages_from_dict(GOLDEN["messages"])
        self.put(raw, prefix)
        dictionary = chatmem.Dictionary(b64decode(GOLDEN["dictionary"]))
        history = connect(encryption=given, compression=dictionary).history("user-123")
        assert await history.messages(strict=True) == wanted
        assert (await history.info()).title == "Orders"
        await history.update(metadata={"a": 1})
        before = [(e.seq, e.id, e.created_at, e.message) async for e in history.entries()]
        assert await history.reencrypt() == len(wanted)
        assert await history.reencrypt() == 0
        assert [(e.seq, e.id, e.created_at, e.message) async for e in history.entries(strict=True)] == before
        assert all(is_bound(record.record_of(element)) for element in raw.lrange(name(prefix), 0, -1))
        assert raw.hget(name(prefix, key="s"), "title") != GOLDEN["title"].encode()
        assert ((await history.info()).title, (await history.info()).metadata) == ("Orders", {"a": 1})

    async def test_a_dictionary_from_the_server_is_not_enough(
        self, connect: Connect, raw: Any, prefix: str, dictionaries: None
    ) -> None:
        """Nothing says that it is the one they were compressed with; for a record that is not sealed it will do."""
        given = chatmem.KeyRing({"2026": b64decode(GOLDEN["key"])})
        self.put(raw, prefix)
        data = b64decode(GOLDEN["dictionary"])
        raw.set(f"{prefix}:dictionary:{int.from_bytes(data[4:8], 'little')}", data, ex=600)
        history = connect(encryption=given).history("user-123")
        assert len(await history.messages()) == 3
        with pytest.raises(chatmem.CorruptRecordError, match=r"earlier chatmem.*compression=chatmem.Dictionary"):
            await history.messages(strict=True)
        assert await history.reencrypt() == 3
        raw.rpush(name(prefix, "plain"), b64decode(GOLDEN["unsealed"]))
        raw.expire(name(prefix, "plain"), 600)
        assert await connect().history("plain").messages(strict=True) == lc.messages_from_dict(GOLDEN["messages"])[3:]

    def put(self, raw: Any, prefix: str) -> None:
        raw.rpush(name(prefix), *map(b64decode, GOLDEN["elements"]))
        raw.hset(name(prefix, key="s"), mapping={"version": 1, "next": 4, "title": GOLDEN["title"]})
        for key in ("m", "s"):
            raw.expire(name(prefix, key=key), 600)


class TestBinding:
    @pytest.fixture
    def server_url(self, url: str) -> str:
        return url

    async def test_the_prefix(self, connect: Connect, sealed: Any, raw: Any, prefix: str) -> None:
        """What was sealed under one prefix is unreadable under another: messages, title and metadata."""
        await sealed.append("a", "b")
        await sealed.update(title="t", metadata={"a": 1})
        for key in ("m", "i", "s"):
            if (dump := raw.dump(name(prefix, key=key))) is not None:
                raw.restore(name(prefix + "2", key=key), 600_000, dump)
        other = connect(encryption=RING, prefix=prefix + "2").history("user-123")
        assert await other.messages() == []
        info = await other.info()
        assert (info.count, info.title, info.metadata) == (2, None, {})

    async def test_title_and_metadata(self, connect: Connect, sealed: Any, raw: Any, prefix: str) -> None:
        """One is not taken for the other, nor for another session's."""
        await sealed.update(title="t", metadata={"a": 1})
        other = connect(encryption=RING).history("other")
        await other.update(title="o")
        title, metadata = raw.hmget(name(prefix, key="s"), "title", "metadata")
        raw.hset(name(prefix, key="s"), mapping={"title": metadata, "metadata": title})
        raw.hset(name(prefix, "other", "s"), "title", title)
        for history in (sealed, other):
            info = await history.info()
            assert (info.title, info.metadata) == (None, {})

    async def test_plain_text_that_is_not_wanted(self, connect: Connect, raw: Any, prefix: str, caplog: Any) -> None:
        """With `read_plain=False` it is unreadable, whatever form it has, and `reencrypt` does not make it believed."""
        strict = connect(encryption=chatmem.KeyRing({"2026": OLD}, read_plain=False)).history("user-123")
        await strict.append("sealed")
        plain = connect().history("user-123")
        await plain.append("plain", "x" * 1000)
        await connect(compression="zstd").history("user-123").append("y" * 1000)
        await plain.update(title="plain", metadata={"plain": 1})
        json_element = json.dumps(lc.message_to_dict(lc.HumanMessage("json"))).encode()
        raw.rpush(name(prefix), json_element, b"5:" + json_element, b"6:" + b64encode(json_element))
        for _ in range(2):
            assert await strict.messages() == [lc.HumanMessage("sealed")]
            assert (await strict.info()).title is None
            assert (await strict.info()).metadata == {}
            assert await strict.reencrypt() == 0
        with pytest.raises(chatmem.CorruptRecordError, match="not encrypted"):
            await strict.messages(strict=True)
        assert "not encrypted" in caplog.text
        trusting = connect(encryption=RING).history("user-123")
        assert len(await trusting.messages()) == 6
        assert await trusting.reencrypt() == 5
        assert [m.content for m in await strict.messages()] == [
            "sealed",
            "plain",
            "x" * 1000,
            "y" * 1000,
            "json",
            "json",
        ]
        assert (await strict.info()).title == "plain"

    async def test_a_resend_after_a_rotation(self, connect: Connect) -> None:
        """It is told from another message of its id by what the stored one says, whether or not plain text is read."""
        known = lc.HumanMessage("known", id="i")
        await connect(encryption=RING).history("user-123").append(known, lc.HumanMessage("second", id="j"))
        ring = chatmem.KeyRing({"2026": OLD, "2027": NEW}, read_plain=False)
        for compression_ in (None, "zstd"):
            history = connect(encryption=ring, compression=compression_).history("user-123")
            assert (await history.append(known)).duplicates == 1
            with pytest.raises(chatmem.DuplicateIdError):
                await history.append(lc.HumanMessage("another", id="i"))
        assert [m.content for m in await history.messages(strict=True)] == ["known", "second"]

    async def test_the_dictionary(self, connect: Connect, raw: Any, prefix: str, dictionaries: None) -> None:
        """Who changes it on the server cannot change what sealed messages say, though its number stays."""
        known = [message for conversation in samples.conversations().values() for message in conversation]
        trained = chatmem.Dictionary.train(known, size=4096).data
        dictionary, forged = (
            chatmem.Dictionary(trained[:4] + (2**31 + 5).to_bytes(4, "little") + trained[8:-200] + tail)
            for tail in (trained[-200:], trained[-200:][::-1])
        )
        await connect(encryption=RING, compression=dictionary).history("user-123").append(*known[:20])
        await connect(compression=dictionary).history("plain").append(*known[:20])
        compression._given.clear()
        reader = connect(encryption=RING)
        assert await reader.history("user-123").messages() == known[:20]
        compression._found.clear()
        raw.set(f"{prefix}:dictionary:{dictionary.number}", forged.data)
        assert await connect().history("plain").messages() != known[:20]
        kept = await reader.history("user-123").messages()
        assert len(kept) < 20
        assert all(message in known for message in kept)
        with pytest.raises(chatmem.CorruptRecordError, match="dictionary was changed"):
            await reader.history("user-123").messages(strict=True)
        given = connect(encryption=RING, compression=dictionary)
        assert await given.history("user-123").messages(strict=True) == known[:20]

    async def test_reencrypt_ends_where_the_index_is_lost(self, connect: Connect, raw: Any, prefix: str) -> None:
        """It goes by position then, and writes over no other message where the index is wrong or two have one id."""
        await connect().history("user-123").append(*(lc.HumanMessage(str(i), id=f"m{i}") for i in range(4)))
        twin = json.dumps(lc.message_to_dict(lc.HumanMessage("twin", id="m1"))).encode()
        raw.rpush(name(prefix), twin)
        raw.hdel(name(prefix, key="i"), "mm0")
        raw.hset(name(prefix, key="i"), "mm2", "3")
        sealing = connect(encryption=RING).history("user-123")
        assert await sealing.reencrypt() >= 3
        assert [m.content for m in await sealing.messages(strict=True)] == ["0", "1", "2", "3", "twin"]
