"""Pages, edits, retention and compaction: positions never change, and no tool exchange is split."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem
from tests.conftest import Connect
from tests.entries import content_of, got


async def said(history: chatmem.History) -> list[Any]:
    return [message.content for message in await history.messages()]


async def seqs(history: chatmem.History) -> list[int]:
    return [entry.seq async for entry in history.entries()]


def asking(number: int, *ids: str) -> lc.AIMessage:
    return lc.AIMessage(f"ask {number}", tool_calls=[{"name": "f", "args": {}, "id": one} for one in ids])


def names(raw: redis.Redis, prefix: str) -> list[Any]:
    """The ids and keys that the session remembers."""
    return list(raw.hkeys(f"{prefix}:{{user-123}}:i"))


class TestPages:
    async def test_back_and_forth(self, history: chatmem.History) -> None:
        """Newest first by default, oldest first on request; every message once."""
        await history.append(*map(str, range(25)))
        page = await history.page(limit=10)
        assert [entry.seq for entry in page.entries] == list(range(24, 14, -1))
        assert page.next == 15
        page = await history.page(before=page.next, limit=10)
        page = await history.page(before=page.next, limit=10)
        assert ([entry.seq for entry in page.entries], page.next) == ([4, 3, 2, 1, 0], None)
        page = await history.page(limit=20, newest_first=False)
        assert ([entry.seq for entry in page.entries], page.next) == (list(range(20)), 19)
        page = await history.page(after=page.next, limit=20, newest_first=False)
        assert ([content_of(entry) for entry in page.entries], page.next) == (["20", "21", "22", "23", "24"], None)

    async def test_the_borders(self, history: chatmem.History) -> None:
        """A full last page has no next; cursors may lie anywhere; both ends may be given."""
        assert await history.page() == chatmem.Page([], None)
        await history.append(*map(str, range(10)))
        assert (await history.page(limit=10)).next is None
        assert (await history.page(limit=9)).next == 1
        assert [e.seq for e in (await history.page(after=2, before=6)).entries] == [5, 4, 3]
        assert (await history.page(after=5, before=3)).entries == []
        assert (await history.page(after=999)).entries == []
        assert len((await history.page(before=999)).entries) == 10
        assert len((await history.page(after=-1, newest_first=False)).entries) == 10

    async def test_while_others_write(self, connect: Connect, history: chatmem.History) -> None:
        """Appends, edits, removals and trimming between two pages: nothing is missed or repeated that stays."""
        await history.append(*(lc.HumanMessage(str(i), id=f"m{i}") for i in range(30)))
        first = await history.page(limit=10)
        await history.append("30", "31")
        await history.delete("m25")
        await history.delete("m15")
        await history.replace("m14", "new")
        await connect(max_messages=25).history("user-123").append("32")
        second = await history.page(before=first.next, limit=10)
        assert [entry.seq for entry in second.entries] == [19, 18, 17, 16, 14, 13, 12, 11, 10, 9]
        assert content_of(second.entries[4]) == "new"
        third = await history.page(before=second.next, limit=10)
        assert ([entry.seq for entry in third.entries], third.next) == ([8, 7, 6], None)

    async def test_a_damaged_record(self, history: chatmem.History, raw: redis.Redis, prefix: str) -> None:
        """It is an entry with an error, can be got and removed, and cursors go past it."""
        await history.append(*map(str, range(6)))
        for index in (0, 2, 3, 5):
            raw.lset(f"{prefix}:{{user-123}}:m", index, "rubbish")
        page = await history.page()
        assert [(entry.seq, entry.error is None) for entry in page.entries] == [
            (5, False),
            (4, True),
            (3, False),
            (2, False),
            (1, True),
            (0, False),
        ]
        for seq in range(6):
            assert [entry.seq for entry in (await history.page(before=seq + 1, limit=1)).entries] == [seq]
        assert isinstance((await got(history, 3)).error, chatmem.CorruptRecordError)
        assert (await history.delete(3)).count == 1
        assert (await history.get(3)) is None
        assert content_of(await got(history, 4)) == "4"

    @pytest.mark.parametrize(
        "options", [{"limit": 0}, {"limit": 1001}, {"limit": True}, {"before": "x"}, {"after": -2}]
    )
    async def test_wrong_arguments(self, history: chatmem.History, options: Any) -> None:
        with pytest.raises(ValueError, match=next(iter(options))):
            await history.page(**options)


class TestEdits:
    async def test_get(self, history: chatmem.History) -> None:
        """By id or position."""
        await history.append(lc.HumanMessage("a", id="1"), "b")
        assert (await got(history, "1")).message == lc.HumanMessage("a", id="1")
        assert content_of(await got(history, 1)) == "b"
        assert await history.get("2") is None
        assert await history.get(2) is None

    async def test_replace(self, history: chatmem.History) -> None:
        """By id or position; the new message has the old one's id unless it has its own."""
        await history.append(lc.HumanMessage("a", id="1"), lc.AIMessage("b", id="2"), "c")
        assert await history.replace("1", "A") == chatmem.Edited(version=2, seq=0, count=1)
        assert (await got(history, "1")).message == lc.HumanMessage("A", id="1")
        await history.replace("2", lc.AIMessage("B", id="two"))
        assert (await history.get("2"), (await got(history, "two")).seq) == (None, 1)
        await history.replace(1, lc.AIMessage("BB", id="II"))
        assert (await history.get("two"), (await got(history, "II")).seq) == (None, 1)
        await history.replace(2, "C")
        assert await said(history) == ["A", "BB", "C"]
        assert (await history.append(lc.HumanMessage("again", id="2"))).duplicates == 0
        with pytest.raises(ValueError, match="'1', which another message has"):
            await history.replace("II", lc.HumanMessage("x", id="1"))
        for missing in ("gone", 99):
            with pytest.raises(chatmem.NotFoundError, match="no such message") as caught:
                await history.replace(missing, "x")
            assert caught.value.session == "user-123"

    async def test_put(self, history: chatmem.History) -> None:
        """An answer grows in place; where it is not there, it is appended."""
        await history.append("q")
        assert await history.put(lc.AIMessage("H", id="a")) == chatmem.Edited(version=2, seq=1, count=0)
        await history.append("meanwhile")
        assert await history.put(lc.AIMessage("Hello", id="a")) == chatmem.Edited(version=4, seq=1, count=1)
        chunk = lc.AIMessageChunk(content="He", id="c")
        await history.put(chunk)
        await history.put(chunk + lc.AIMessageChunk(content="y", id="c"))
        assert await said(history) == ["q", "Hello", "meanwhile", "Hey"]
        assert (await history.append(chunk + lc.AIMessageChunk(content="y", id="c"))).duplicates == 1
        wrongs: list[Any] = [lc.AIMessage("x"), lc.RemoveMessage(id="a"), "x", lc.AIMessage("x", id="")]
        for wrong in wrongs:
            with pytest.raises(ValueError, match="with an id"):
                await history.put(wrong)

    async def test_delete(self, history: chatmem.History, raw: redis.Redis, prefix: str) -> None:
        """Once; positions of the others stay, and the id is free again."""
        await history.append(*(lc.HumanMessage(str(i), id=f"m{i}") for i in range(10)))
        assert await history.delete("m3") == chatmem.Edited(version=2, seq=3, count=1)
        assert await history.delete("m3") == chatmem.Edited(version=2, seq=None, count=0)
        await history.delete(8)
        await history.delete(0)
        assert await seqs(history) == [1, 2, 4, 5, 6, 7, 9]
        for seq in (1, 2, 4, 5, 6, 7, 9):
            assert (await got(history, seq)).id == (await got(history, f"m{seq}")).id == f"m{seq}"
        assert await history.get("m8") is None
        done = await history.append(lc.HumanMessage("again", id="m8"), lc.HumanMessage("2", id="m2"))
        assert (done.first, done.last, done.duplicates) == (2, 10, 1)
        for seq in await seqs(history):
            await history.delete(seq)
        assert await history.count() == 0
        assert (await history.append("x")).first == 11

    async def test_truncate(self, history: chatmem.History) -> None:
        """All behind a message go; positions are not used again."""
        await history.append(*(lc.HumanMessage(str(i), id=f"m{i}") for i in range(6)))
        assert await history.truncate(after="m3") == chatmem.Edited(version=2, seq=3, count=2)
        assert await history.truncate(after=3) == chatmem.Edited(version=2, seq=3, count=0)
        assert (await history.append(lc.HumanMessage("5", id="m5"))).first == 6
        assert await history.truncate(after=4) == chatmem.Edited(version=4, seq=4, count=1)
        assert await history.truncate(after=-1) == chatmem.Edited(version=5, seq=None, count=4)
        assert (await history.append("x")).first == 7
        with pytest.raises(chatmem.NotFoundError):
            await history.truncate(after="m0")

    async def test_versions(self, history: chatmem.History) -> None:
        """Every edit can be bound to a version; nothing is done at another."""
        await history.append(lc.HumanMessage("a", id="1"), "b")
        operations: list[Any] = [
            lambda version: history.replace("1", "x", expected_version=version),
            lambda version: history.put(lc.HumanMessage("y", id="1"), expected_version=version),
            lambda version: history.delete(1, expected_version=version),
            lambda version: history.truncate(after=0, expected_version=version),
            lambda version: history.compact(up_to=0, replacement=["s"], expected_version=version),
            lambda version: history.fork("other", expected_version=version),
        ]
        for operation in operations:
            before = await history.info()
            with pytest.raises(chatmem.ConflictError) as caught:
                await operation(before.version + 1)
            assert (caught.value.expected, caught.value.actual) == (before.version + 1, before.version)
            assert await history.info() == before or (await history.info()).version == before.version
            await operation(before.version)
            with pytest.raises(ValueError, match="expected_version"):
                await operation(-1)

    @pytest.mark.parametrize("wrong", ["", -1, 1.5, None, True, b"x"])
    async def test_wrong_targets(self, history: chatmem.History, wrong: Any) -> None:
        for operation in (history.get, history.delete, lambda it: history.replace(it, "x")):
            with pytest.raises(ValueError, match="message must be"):
                await operation(wrong)
        with pytest.raises(ValueError, match="up_to must be"):
            await history.compact(up_to=wrong, replacement=[])

    async def test_any_id(self, history: chatmem.History) -> None:
        """Ids of any characters are found."""
        ids = ["\ud800", "a\x00b", "é", "}", "%", "%~", "5b7f1b7e-2b0f-4d3e-8e6b-0d8f5a5f9a11", "0", "x" * 5000]
        await history.append(*(lc.HumanMessage(str(i), id=one) for i, one in enumerate(ids)))
        for index, one in enumerate(ids):
            assert (await got(history, one)).seq == index
            assert (await history.replace(one, "new")).seq == index
            assert (await history.put(lc.HumanMessage("newer", id=one))).count == 1
            assert (await history.delete(one)).count == 1

    async def test_fork(self, memory: chatmem.ChatMemory, history: chatmem.History) -> None:
        """A branch has the messages up to one, with their ids and times; either goes on alone."""
        await history.append(*(lc.HumanMessage(str(i), id=f"m{i}") for i in range(4)))
        await history.append(lc.AIMessageChunk(content="x", id="c"))
        await history.delete("m1")
        fork = await history.fork("branch", up_to="m2")
        assert [(e.seq, e.id) async for e in fork.entries()] == [(0, "m0"), (1, "m2")]
        assert (await got(fork, "m2")).created_at == (await got(history, "m2")).created_at
        await fork.append("own")
        assert await said(await history.fork("all")) == ["0", "2", "3", "x"]
        assert (await memory.history("all").append(lc.AIMessageChunk(content="x", id="c"))).duplicates == 1
        assert await said(memory.history("branch")) == ["0", "2", "own"]
        await history.fork("all")  # done again
        await history.append("more")
        with pytest.raises(chatmem.ConflictError):
            await history.fork("all")
        with pytest.raises(chatmem.NotFoundError):
            await history.fork("third", up_to="gone")
        assert await memory.history("third").count() == 0

    async def test_update(self, history: chatmem.History) -> None:
        """Title and metadata; each stays until it is set again; the version stays too."""
        await history.update(title="Trip \ud800 日本")
        assert (await history.info()).title == "Trip \ud800 日本"
        await history.append("a")
        await history.update(metadata={"a": [1, None, {"b": 1.5}], "ü": "\ud800"})
        info = await history.info()
        assert (info.title, info.metadata) == ("Trip \ud800 日本", {"a": [1, None, {"b": 1.5}], "ü": "\ud800"})
        assert (info.version, info.count) == (1, 1)
        await history.update(title="", metadata={})
        info = await history.info()
        assert (info.title, info.metadata) == ("", {})
        wrongs: list[Any] = [{1: 2}, {"a": (1,)}, {"a": {1}}, {"a": float("nan")}]
        for wrong in wrongs:
            with pytest.raises(chatmem.EncodingError, match="metadata"):
                await history.update(metadata=wrong)
        with pytest.raises(ValueError, match="title must be"):
            await history.update(title=5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="metadata must be"):
            await history.update(metadata=[1])  # type: ignore[arg-type]

    async def test_a_json_record(self, history: chatmem.History, raw: redis.Redis, prefix: str) -> None:
        """A record that another program pushed can be got and removed by its position."""
        await history.append("a")
        raw.rpush(f"{prefix}:{{user-123}}:m", json.dumps({"type": "human", "data": {"content": "b"}}))
        assert content_of(await got(history, 1)) == "b"
        await history.delete(1)
        assert await said(history) == ["a"]


class TestRetention:
    async def test_the_oldest_go(self, connect: Connect, raw: redis.Redis, prefix: str) -> None:
        """Every append leaves the last so many; positions stay, and ids of what went are forgotten."""
        history = connect(max_messages=5).history("user-123")
        for i in range(12):
            await history.append(lc.HumanMessage(str(i), id=f"m{i}"))
        assert await seqs(history) == [7, 8, 9, 10, 11]
        assert (await history.get("m6"), (await got(history, "m7")).seq) == (None, 7)
        done = await history.append(lc.HumanMessage("6", id="m6"), lc.HumanMessage("8", id="m8"))
        assert (done.first, done.last, done.duplicates) == (8, 12, 1)
        assert await seqs(history) == [8, 9, 10, 11, 12]
        await history.append(*map(str, range(20)))
        assert await seqs(history) == [28, 29, 30, 31, 32]

    async def test_ids_do_not_pile_up(self, connect: Connect, raw: redis.Redis, prefix: str) -> None:
        """Neither ids nor idempotency keys of what went."""
        history = connect(max_messages=5).history("user-123")
        for i in range(300):
            await history.append(lc.HumanMessage(str(i), id=f"m{i}"), idempotency_key=f"k{i}")
        assert len(names(raw, prefix)) < 100

    async def test_exchanges_stay_whole(self, connect: Connect) -> None:
        """Of an exchange that reaches across the border nothing goes."""
        history = connect(max_messages=3).history("user-123")
        await history.append("q", asking(1, "a", "b", "c"), *(lc.ToolMessage("r", tool_call_id=i) for i in "abc"))
        assert await seqs(history) == [1, 2, 3, 4]
        await history.append("x", "y")
        assert await seqs(history) == [1, 2, 3, 4, 5, 6]
        await history.append("z")
        assert await seqs(history) == [5, 6, 7]

    async def test_the_system_message_stays(self, connect: Connect) -> None:
        """At the head, beside the others."""
        history = connect(max_messages=3).history("user-123")
        await history.append(lc.SystemMessage("sys", id="s"), *map(str, range(6)))
        assert await said(history) == ["sys", "3", "4", "5"]
        await history.append("6")
        assert await seqs(history) == [0, 5, 6, 7]
        assert (await got(history, "s")).seq == 0
        for seq in (0, 5, 6, 7):
            assert (await got(history, seq)).seq == seq
        assert [e.seq for e in (await history.page(before=6)).entries] == [5, 0]
        assert [m.content for m in await history.window(messages=2)] == ["sys", "6"]

    async def test_put_trims_too(self, connect: Connect) -> None:
        history = connect(max_messages=2).history("user-123")
        await history.append("a", "b")
        await history.put(lc.AIMessage("c", id="c"))
        assert await said(history) == ["b", "c"]

    @pytest.mark.parametrize("wrong", [0, -1, 1.5, "5", True])
    async def test_wrong_values(self, connect: Connect, wrong: Any) -> None:
        with pytest.raises(ValueError, match="max_messages must be"):
            connect(max_messages=wrong)


class TestCompact:
    async def test_a_summary(self, history: chatmem.History) -> None:
        """The head gives way to the summary; the rest, and what comes meanwhile, stays where it is."""
        await history.append(lc.SystemMessage("sys", id="s"), *(lc.HumanMessage(str(i), id=f"m{i}") for i in range(10)))
        await history.append("meanwhile")
        summary = [lc.SystemMessage("sys", id="s"), lc.AIMessage("0 to 5", id="sum")]
        done = await history.compact(up_to="m5", replacement=summary)
        assert done == chatmem.Edited(version=3, seq=0, count=7)
        assert [(e.seq, content_of(e)) async for e in history.entries()] == [
            (0, "sys"),
            (1, "0 to 5"),
            (7, "6"),
            (8, "7"),
            (9, "8"),
            (10, "9"),
            (11, "meanwhile"),
        ]
        assert (await got(history, "sum")).seq == 1
        assert (await got(history, "s")).seq == 0
        assert await history.get("m0") is None

    async def test_a_stale_summary(self, history: chatmem.History) -> None:
        """Who compacts what another has compacted gets a ConflictError, and so does who expects another version."""
        await history.append(*(lc.HumanMessage(str(i), id=f"m{i}") for i in range(10)))
        version = (await history.info()).version
        await history.compact(up_to="m5", replacement=["first"])
        for up_to in ("m5", 5, "m3"):
            with pytest.raises(chatmem.ConflictError, match="head of the conversation has changed"):
                await history.compact(up_to=up_to, replacement=["second"])
        with pytest.raises(chatmem.ConflictError, match="version 2, not at 1"):
            await history.compact(up_to="m8", replacement=["second"], expected_version=version)
        assert await said(history) == ["first", "6", "7", "8", "9"]
        await history.compact(up_to="m8", replacement=["second"])
        assert await said(history) == ["second", "9"]

    async def test_exchanges_stay_whole(self, history: chatmem.History) -> None:
        """An exchange across the border stays, and so does one that waits for results."""
        results = [lc.ToolMessage("r", tool_call_id=one, id=one) for one in ("a", "b")]
        await history.append("q", lc.AIMessage("hm", id="hm"), asking(1, "a", "b"), *results)
        assert (await history.compact(up_to="a", replacement=["s"])).count == 2
        assert (await history.compact(up_to="b", replacement=["s"])).count == 1
        assert [m.type for m in await history.messages()] == ["human", "ai", "tool", "tool"]
        await history.append(("ai", "done"))
        assert (await history.compact(up_to="b", replacement=[("ai", "s"), ("ai", "t")])).count == 4
        assert await said(history) == ["s", "t", "done"]
        await history.append(lc.AIMessage("", id="ask", tool_calls=[{"name": "f", "args": {}, "id": "z"}]))
        assert (await history.compact(up_to="ask", replacement=[])).count == 3
        assert [m.id for m in await history.messages()] == ["ask"]
        assert (await history.compact(up_to="ask", replacement=["x"])).count == 0

    async def test_all_of_it(self, history: chatmem.History) -> None:
        """Everything may go, for nothing too."""
        await history.append("a", "b")
        assert (await history.compact(up_to=1, replacement=[])).count == 2
        assert await history.count() == 0
        assert (await history.append("c")).first == 2

    async def test_errors(self, history: chatmem.History) -> None:
        await history.append(*(lc.HumanMessage(str(i), id=f"m{i}") for i in range(4)))
        with pytest.raises(ValueError, match="'m3', which another message has"):
            await history.compact(up_to="m1", replacement=[lc.HumanMessage("x", id="m3")])
        with pytest.raises(ValueError, match="'new', which another message has"):
            await history.compact(up_to="m1", replacement=[lc.HumanMessage("x", id="new")] * 2)
        with pytest.raises(ValueError, match="no more than the 2"):
            await history.compact(up_to="m1", replacement=["a", "b", "c"])
        with pytest.raises(ValueError, match="replacement must be a list"):
            await history.compact(up_to="m1", replacement="x")
        with pytest.raises(ValueError, match=r"replacement\[1\]"):
            await history.compact(up_to="m1", replacement=["x", 5])  # type: ignore[list-item]
        assert await said(history) == ["0", "1", "2", "3"]
