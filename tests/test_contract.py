"""The contract: what every server of the table does through either facade. Each test runs {server} x {async, sync}."""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem
from chatmem.codec import registry
from chatmem.core.keys import session_keys
from chatmem.core.reader import ENTRIES_PER_CALL as SLICE
from tests import samples
from tests.conftest import Connect
from tests.entries import ttl_of
from tests.samples import same


async def listed(history: chatmem.History, **options: Any) -> list[chatmem.Entry]:
    return [entry async for entry in history.entries(**options)]


class TestExact:
    """Promise 1: whatever LangChain message goes in comes out equal."""

    async def test_the_22_kinds(self, history: chatmem.History) -> None:
        """All 22 kinds come back equal, field by field."""
        messages = list(samples.kinds().values())
        chatmem.register(samples.Custom)
        try:
            await history.append(*messages)
            assert all(map(same, await history.messages(), messages))
        finally:
            registry._classes.clear()

    async def test_150_real_conversations(self, memory: chatmem.ChatMemory) -> None:
        """4,042 messages of real conversations come back equal, message by message."""
        for session, messages in samples.conversations().items():
            await memory.history(session).append(*messages)
        for session, messages in samples.conversations().items():
            read = await memory.history(session).messages()
            assert len(read) == len(messages)
            assert all(map(same, read, messages))

    async def test_message_likes(self, history: chatmem.History) -> None:
        """What LangChain makes a message of is taken as it is."""
        await history.append("hi", ("ai", "hello"), {"role": "system", "content": "be kind"}, ["human", "yes"])
        assert await history.messages() == [
            lc.HumanMessage("hi"),
            lc.AIMessage("hello"),
            lc.SystemMessage("be kind"),
            lc.HumanMessage("yes"),
        ]

    async def test_nothing_is_sent_when_one_cannot_be_stored(self, history: chatmem.History) -> None:
        """One message that cannot be stored keeps the whole append back, and is named."""
        bad = lc.ToolMessage("x", tool_call_id="1", artifact={"handle": object()})
        with pytest.raises(chatmem.EncodingError, match=r"message 1 .*'artifact\.handle'") as caught:
            await history.append("fine", bad)
        assert (caught.value.index, caught.value.field) == (1, "artifact.handle")
        assert caught.value.session == "user-123"
        assert await history.count() == 0


class TestAppend:
    async def test_what_it_returns(self, history: chatmem.History) -> None:
        """Version, positions and duplicates."""
        assert await history.append("a", "b") == chatmem.Appended(version=1, first=0, last=1, duplicates=0)
        assert await history.append("c") == chatmem.Appended(version=2, first=2, last=2, duplicates=0)

    async def test_nothing(self, history: chatmem.History, raw: redis.Redis, prefix: str) -> None:
        """An empty append stores nothing, creates no key and returns the version."""
        assert await history.append() == chatmem.Appended(version=0, first=None, last=None, duplicates=0)
        assert await history.append(idempotency_key="k") == chatmem.Appended(0, None, None, 0)
        assert list(raw.scan_iter(f"{prefix}*")) == []
        await history.append("a")
        assert (await history.append()).version == 1

    async def test_ten_thousand_at_once(self, history: chatmem.History) -> None:
        """More messages than Lua can unpack go in one append."""
        done = await history.append(*(lc.HumanMessage(str(i), id=f"m{i}") for i in range(10_000)))
        assert (done.first, done.last) == (0, 9_999)
        assert [message.content for message in await history.messages(last=2)] == ["9998", "9999"]
        assert await history.count() == 10_000

    async def test_large_message(self, history: chatmem.History) -> None:
        """A message of 8 MB is stored and read."""
        await history.append("x" * 8_000_000)
        assert len((await history.messages())[0].content) == 8_000_000

    @pytest.mark.parametrize(
        "wrong", [None, 5, ["a", "b", "c"], [lc.HumanMessage("x")], {"content": "x"}, ("nobody", "x")]
    )
    async def test_what_is_no_message(self, history: chatmem.History, wrong: Any) -> None:
        """A value that is no message is a ValueError that names it; nothing is stored."""
        with pytest.raises(ValueError, match=r"messages\[1\]"):
            await history.append("fine", wrong)
        assert await history.count() == 0


class TestOnce:
    """Promise 3: nothing is stored twice."""

    async def test_by_message_id(self, history: chatmem.History) -> None:
        """A message whose id is stored is left out, and the append says where it is."""
        await history.append(lc.HumanMessage("a", id="1"), lc.AIMessage("b", id="2"))
        again = await history.append(lc.HumanMessage("a", id="1"), lc.AIMessage("b", id="2"))
        assert again == chatmem.Appended(version=1, first=0, last=1, duplicates=2)
        mixed = await history.append(lc.AIMessage("b", id="2"), lc.HumanMessage("c", id="3"))
        assert mixed == chatmem.Appended(version=2, first=1, last=2, duplicates=1)
        assert [message.content for message in await history.messages()] == ["a", "b", "c"]

    async def test_within_one_append(self, history: chatmem.History) -> None:
        """The same id twice in one append is stored once."""
        done = await history.append(lc.HumanMessage("a", id="1"), lc.HumanMessage("a", id="1"))
        assert (done.duplicates, await history.count()) == (1, 1)

    async def test_by_idempotency_key(self, history: chatmem.History) -> None:
        """A second append under one key stores nothing and returns what the first one did."""
        first = await history.append("a", "b", idempotency_key="turn-1")
        await history.append("c")
        again = await history.append("a", "b", idempotency_key="turn-1")
        assert again == chatmem.Appended(first.version, first.first, first.last, duplicates=2)
        assert await history.count() == 3

    async def test_messages_without_id(self, history: chatmem.History) -> None:
        """Equal messages without ids are different messages; so are those whose id is empty."""
        await history.append("a", "a")
        await history.append("a", lc.HumanMessage("a", id=""), lc.HumanMessage("a", id=""))
        assert await history.count() == 5

    async def test_ids_and_keys_are_apart(self, history: chatmem.History) -> None:
        """A message id is no idempotency key of the same name."""
        await history.append(lc.HumanMessage("a", id="x"))
        assert (await history.append("b", idempotency_key="x")).duplicates == 0

    async def test_a_remove_message_is_a_message(self, history: chatmem.History) -> None:
        """A RemoveMessage's id names another message, so it is stored beside it."""
        await history.append(lc.HumanMessage("a", id="1"), lc.RemoveMessage(id="1"), lc.RemoveMessage(id="1"))
        assert [message.type for message in await history.messages()] == ["human", "remove", "remove"]

    async def test_chunks_of_one_answer(self, history: chatmem.History) -> None:
        """Chunks share an id: appending them one by one is an error that tells to add them up, and loses none."""
        parts = [lc.AIMessageChunk(content="Hel", id="run-1"), lc.AIMessageChunk(content="lo", id="run-1")]
        await history.append(parts[0])
        with pytest.raises(ValueError, match=r"messages\[1\] is a chunk.*add them up"):
            await history.append("x", parts[1])
        with pytest.raises(ValueError, match="add them up"):
            await history.append(*parts, idempotency_key="k")
        assert await history.count() == 1
        assert (await history.append(parts[0])).duplicates == 1

    async def test_any_characters_in_ids(self, history: chatmem.History) -> None:
        """Ids and keys may hold any characters."""
        for name in ("\ud800", "a\x00b", "é", "'; --", "}" * 3, "%", "x" * 5_000):
            assert (await history.append(lc.HumanMessage("a", id=name), idempotency_key=name)).duplicates == 0
            assert (await history.append(lc.HumanMessage("a", id=name))).duplicates == 1
            assert (await history.append("b", idempotency_key=name)).duplicates == 1

    @pytest.mark.parametrize("wrong", ["", 5, b"k"])
    async def test_wrong_keys(self, history: chatmem.History, wrong: Any) -> None:
        with pytest.raises(ValueError, match="idempotency_key"):
            await history.append("a", idempotency_key=wrong)


class TestVersions:
    async def test_conflict(self, history: chatmem.History) -> None:
        """An append that expects another version stores nothing and says both."""
        done = await history.append("a", expected_version=0)
        await history.append("b", expected_version=done.version)
        with pytest.raises(chatmem.ConflictError, match="version 2, not at 1") as caught:
            await history.append("c", expected_version=1)
        assert (caught.value.expected, caught.value.actual) == (1, 2)
        assert await history.count() == 2

    async def test_a_retry_is_no_conflict(self, history: chatmem.History) -> None:
        """The same append done again under its key succeeds although the version moved by it."""
        await history.append("a", expected_version=0, idempotency_key="k")
        assert (await history.append("a", expected_version=0, idempotency_key="k")).duplicates == 1

    @pytest.mark.parametrize("wrong", [-1, 1.5, "1", True])
    async def test_wrong_versions(self, history: chatmem.History, wrong: Any) -> None:
        with pytest.raises(ValueError, match="expected_version"):
            await history.append("a", expected_version=wrong)


class TestReads:
    async def test_last(self, history: chatmem.History) -> None:
        """The last n, fewer where there are fewer."""
        await history.append(*"abcde")
        assert [message.content for message in await history.messages(last=2)] == ["d", "e"]
        assert len(await history.messages(last=99)) == 5

    @pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", True])
    async def test_wrong_last(self, history: chatmem.History, wrong: Any) -> None:
        with pytest.raises(ValueError, match="last must be"):
            await history.messages(last=wrong)

    async def test_a_session_that_does_not_exist(self, history: chatmem.History) -> None:
        """It is empty, and reading it creates nothing."""
        assert await history.messages() == []
        assert await listed(history) == []
        assert await history.count() == 0
        assert await history.touch() is False
        assert await history.info() == chatmem.SessionInfo("user-123", 0, 0, None, None, None)
        await history.clear()

    async def test_entries(self, history: chatmem.History) -> None:
        """Position, id, time and message of each."""
        before = datetime.now(UTC)
        await history.append(lc.HumanMessage("a", id="1"))
        await history.append("b")
        entries = await listed(history)
        assert [(entry.seq, entry.id, entry.error) for entry in entries] == [(0, "1", None), (1, None, None)]
        assert [entry.message for entry in entries] == await history.messages()
        assert all(before <= entry.created_at <= datetime.now(UTC) for entry in entries if entry.created_at)

    @pytest.mark.parametrize("count", [SLICE - 1, SLICE, SLICE + 1, 2 * SLICE])
    async def test_entries_of_several_slices(self, history: chatmem.History, count: int) -> None:
        """The borders of the slices lose and double nothing."""
        await history.append(*map(str, range(count)))
        assert [entry.seq for entry in await listed(history)] == list(range(count))

    async def test_info(self, history: chatmem.History) -> None:
        """Count, version, times and TTL."""
        await history.append("a", "b")
        await history.append("c")
        info = await history.info()
        assert (info.session_id, info.count, info.version) == ("user-123", 3, 2)
        assert info.created_at is not None
        assert info.updated_at is not None
        assert info.ttl is not None
        assert info.created_at < info.updated_at <= datetime.now(UTC)
        assert 590 < info.ttl <= 600

    async def test_clear(self, history: chatmem.History, raw: redis.Redis, prefix: str) -> None:
        """It leaves no key behind, and the session begins anew, ids and keys forgotten."""
        await history.append(lc.HumanMessage("a", id="1"), idempotency_key="k")
        await history.clear()
        assert list(raw.scan_iter(f"{prefix}*")) == []
        again = await history.append(lc.HumanMessage("a", id="1"), idempotency_key="k")
        assert again == chatmem.Appended(version=1, first=0, last=0, duplicates=0)


class TestExpiry:
    """Promise 4: whole sessions expire."""

    def deadlines(self, raw: redis.Redis, prefix: str) -> list[int]:
        return [raw.pttl(key) for key in raw.scan_iter(f"{prefix}*")]

    @pytest.mark.parametrize("ttl", [600, 600.0, timedelta(minutes=10)])
    async def test_all_keys_at_once(self, connect: Connect, raw: redis.Redis, prefix: str, ttl: Any) -> None:
        """Seconds or timedelta; all three keys have the same deadline."""
        await connect(ttl=ttl).history("a").append(lc.HumanMessage("a", id="1"))
        now = [raw.pexpiretime(key) for key in raw.scan_iter(f"{prefix}*")] if _has_pexpiretime(raw) else []
        assert len(set(now)) <= 1
        left = self.deadlines(raw, prefix)
        assert len(left) == 3
        assert all(598_000 < one <= 600_000 for one in left)

    async def test_a_session_expires_whole(self, connect: Connect, raw: redis.Redis, prefix: str) -> None:
        """After its time no key of it is left."""
        history = connect(ttl=0.05).history("a")
        await history.append(lc.HumanMessage("a", id="1"))
        _wait_until_gone(raw, prefix)
        assert await history.count() == 0

    async def test_none_by_default(self, connect: Connect, raw: redis.Redis, prefix: str) -> None:
        """Without a TTL no key has one."""
        await connect(ttl=None).history("a").append(lc.HumanMessage("a", id="1"))
        assert self.deadlines(raw, prefix) == [-1, -1, -1]

    @pytest.mark.parametrize(
        ("refresh", "after_read", "after_write"), [("write", 50, 100), ("read", 100, 100), ("never", 50, 50)]
    )
    async def test_refresh(
        self, connect: Connect, raw: redis.Redis, prefix: str, refresh: str, after_read: int, after_write: int
    ) -> None:
        """What restarts the time: a write, a read too, or nothing."""
        history = connect(ttl=100, ttl_refresh=refresh).history("a")
        await history.append(lc.HumanMessage("a", id="1"))
        await history.touch(ttl=50)
        await history.messages()
        assert {round(left / 1000) for left in self.deadlines(raw, prefix)} == {after_read}
        await history.touch(ttl=50)
        await history.append(lc.HumanMessage("b", id="2"))
        assert {round(left / 1000) for left in self.deadlines(raw, prefix)} == {after_write}

    async def test_an_entry_read_refreshes_too(self, connect: Connect) -> None:
        """`entries` is a read."""
        history = connect(ttl=100, ttl_refresh="read").history("a")
        await history.append("a")
        await history.touch(ttl=50)
        await listed(history)
        assert await ttl_of(history) > 99

    async def test_memories_of_other_policies(self, connect: Connect, raw: redis.Redis, prefix: str) -> None:
        """A writer without a TTL keeps the session's own, on keys that it is the first to make too."""
        await connect(ttl=100).history("a").append("no id, so no key for ids yet")
        await connect(ttl=None, prefix=prefix).history("a").append(lc.HumanMessage("b", id="1"))
        left = self.deadlines(raw, prefix)
        assert len(left) == 3
        assert all(98_000 < one <= 100_000 for one in left)

    async def test_never_sets_a_missing_one(self, connect: Connect, raw: redis.Redis, prefix: str) -> None:
        """A session without a TTL gets one from the first writer who has one, even if nothing refreshes it."""
        await connect(ttl=None, prefix=prefix).history("a").append("x")
        await connect(ttl=100, ttl_refresh="never").history("a").append(lc.HumanMessage("b", id="1"))
        assert all(left > 0 for left in self.deadlines(raw, prefix))

    async def test_touch(self, connect: Connect) -> None:
        """It restarts the memory's own time, or sets the given one."""
        history = connect(ttl=100).history("a")
        await history.append("a")
        assert await history.touch(ttl=timedelta(seconds=50)) is True
        assert 49 < await ttl_of(history) <= 50
        assert await history.touch() is True
        assert 99 < await ttl_of(history) <= 100

    @pytest.mark.parametrize(
        "wrong", [0, -1, -0.5, timedelta(0), math.nan, math.inf, "60", True, 10**12, timedelta.max]
    )
    async def test_wrong_ttls(self, connect: Connect, history: chatmem.History, wrong: Any) -> None:
        """A ttl of 0 or below, or none that is a time, is a ValueError."""
        with pytest.raises(ValueError, match="ttl must be"):
            connect(ttl=wrong)
        with pytest.raises(ValueError, match="ttl must be"):
            await history.touch(ttl=wrong)

    async def test_wrong_refresh(self, connect: Connect) -> None:
        with pytest.raises(ValueError, match="ttl_refresh"):
            connect(ttl_refresh="always")


def _has_pexpiretime(raw: redis.Redis) -> bool:
    info = raw.info("server")
    one = info if "redis_version" in info else next(iter(info.values()))  # a cluster's is by node
    return int(one["redis_version"].split(".")[0]) >= 7


def _wait_until_gone(raw: redis.Redis, prefix: str) -> None:
    from tests.servers import wait_until

    wait_until(lambda: not list(raw.scan_iter(f"{prefix}*")))


class TestIsolation:
    """Promise 5: a session id is exact."""

    IDS = (
        "alice", "Alice", "alice ", " alice", "a*", "a?", "[a]", "{a}", "}a{", "a}", "a%7D", "a%", "a%25", "a:m",
        "a\x00", "a\n", "é", "e\u0301", "\ud800", "%ED%A0%80", "u1", "u1,u2", "*", "m", ":", "\\", "$", "日本",
        "x" * 1000,
    )  # fmt: skip

    async def test_ids_never_meet(self, memory: chatmem.ChatMemory) -> None:
        """Sessions whose ids look alike stay apart, and clearing one leaves the others."""
        for session in self.IDS:
            await memory.history(session).append(session.encode("utf-8", "surrogatepass").hex())
        for session in self.IDS:
            (message,) = await memory.history(session).messages()
            assert message.content == session.encode("utf-8", "surrogatepass").hex()
        await memory.history("a*").clear()
        assert await memory.history("a*").count() == 0
        assert [await memory.history(session).count() for session in self.IDS if session != "a*"] == [1] * (
            len(self.IDS) - 1
        )

    async def test_prefixes(self, connect: Connect, prefix: str) -> None:
        """Memories of other prefixes do not see each other."""
        await connect().history("a").append("x")
        assert await connect(prefix=prefix + "2").history("a").count() == 0

    @pytest.mark.parametrize("wrong", ["", None, 5, b"a"])
    async def test_wrong_ids(self, memory: chatmem.ChatMemory, wrong: Any) -> None:
        with pytest.raises(ValueError, match="session_id must be a non-empty string"):
            memory.history(wrong)
        with pytest.raises(ValueError, match="session_id must be a non-empty string"):
            memory.langchain(wrong)

    @pytest.mark.parametrize("wrong", ["", None, "a{b", "a}", "\ud800"])
    async def test_wrong_prefixes(self, connect: Connect, wrong: Any) -> None:
        with pytest.raises(ValueError, match="prefix must"):
            connect(prefix=wrong)


class TestPoison:
    """Promise 6: a record that cannot be read costs that record alone, and says so."""

    @pytest.fixture
    async def damaged(self, history: chatmem.History, raw: redis.Redis, prefix: str) -> Any:
        """Five messages, of which the first, third and last were damaged in various ways."""
        await history.append(*"abcde")
        key = session_keys(prefix, "user-123").messages
        (last,) = raw.lrange(key, -1, -1)
        for index, element in ((0, b"\xff\xfe"), (2, b"2:\x02of a format to come"), (4, last[:-1])):
            raw.lset(key, index, element)  # type: ignore[arg-type]
        return history

    async def test_messages_leaves_it_out(self, damaged: Any, caplog: pytest.LogCaptureFixture, prefix: str) -> None:
        """The others are there, and a warning names key and position."""
        with caplog.at_level(logging.WARNING, "chatmem"):
            assert [message.content for message in await damaged.messages()] == ["b", "d"]
        text = [record.getMessage() for record in caplog.records]
        assert len(text) == 3
        for line, position in zip(text, (0, 2, 4), strict=True):
            assert f"key {prefix}:{{user-123}}:m, position {position}" in line

    async def test_last_counts_it(self, damaged: Any) -> None:
        """The positions that are asked for do not shift because one of them is unreadable."""
        assert [message.content for message in await damaged.messages(last=3)] == ["d"]

    async def test_entries_carries_the_error(self, damaged: Any) -> None:
        """Each unreadable one is an entry with its error; positions go on."""
        entries = await listed(damaged)
        assert [entry.seq for entry in entries] == [0, 1, 2, 3, 4]
        assert [entry.error is None for entry in entries] == [False, True, False, True, False]
        assert entries[2].message is None
        assert "format 2" in str(entries[2].error)
        error = entries[4].error
        assert error is not None
        assert (error.seq, error.session) == (4, "user-123")

    async def test_strict(self, damaged: Any) -> None:
        """`strict` raises for the first one."""
        with pytest.raises(chatmem.CorruptRecordError) as caught:
            await damaged.messages(strict=True)
        assert caught.value.seq == 0
        with pytest.raises(chatmem.CorruptRecordError):
            await listed(damaged, strict=True)

    async def test_the_session_goes_on(self, damaged: Any) -> None:
        """It can be appended to, counted and cleared."""
        assert (await damaged.append("f")).first == 5
        assert await damaged.count() == 6
        await damaged.clear()
        assert await damaged.count() == 0

    async def test_state_that_was_evicted(self, history: chatmem.History, raw: redis.Redis, prefix: str) -> None:
        """A server that dropped the state alone does not make positions begin again."""
        await history.append("a", "b")
        raw.delete(session_keys(prefix, "user-123").state)
        assert (await history.append("c")).first == 2

    @pytest.mark.parametrize("which", [0, 1, 2])
    async def test_a_key_of_another_type(
        self, history: chatmem.History, raw: redis.Redis, prefix: str, which: int
    ) -> None:
        """A key that holds something else is chatmem's own error, and an append writes nothing."""
        keys = session_keys(prefix, "user-123")
        raw.set(keys[which], "mine", ex=600)
        with pytest.raises(chatmem.CorruptRecordError, match="did not write") as caught:
            await history.append(lc.HumanMessage("a", id="1"))
        assert caught.value.key == keys.messages.decode()
        assert [raw.exists(key) for key in keys] == [int(i == which) for i in range(3)]

    async def test_langchains_json_in_the_list(self, history: chatmem.History, raw: redis.Redis, prefix: str) -> None:
        """A message that LangChain's own classes stored there is read as one."""
        await history.append("a")
        raw.rpush(session_keys(prefix, "user-123").messages, b'{"type": "ai", "data": {"content": "b", "type": "ai"}}')
        assert [message.content for message in await history.messages()] == ["a", "b"]
        assert [entry.seq for entry in await listed(history)] == [0, 1]


class TestMemory:
    async def test_ping(self, memory: chatmem.ChatMemory) -> None:
        """It answers True."""
        assert await memory.ping() is True

    async def test_closed_and_used_again(self, connect: Connect) -> None:
        """A memory may be closed twice; one that is used again says so, and nothing is stored."""
        memory = connect()
        history = memory.history("a")
        await history.append("x")
        await memory.aclose()
        await memory.aclose()
        for late in (history, memory.history("a")):
            with pytest.raises(chatmem.UnavailableError, match="this memory was closed"):
                await late.append("y")
        with pytest.raises(chatmem.UnavailableError, match="this memory was closed"):
            await memory.ping()
        assert await connect().history("a").count() == 1

    async def test_closed_before_it_was_used(self, connect: Connect) -> None:
        """It opens nothing any more."""
        memory = connect()
        await memory.aclose()
        with pytest.raises(chatmem.UnavailableError, match="this memory was closed"):
            await memory.history("a").append("x")
