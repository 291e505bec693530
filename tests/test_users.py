"""The sessions of a user: listed by last activity, gone when they expire, erased with all that is known of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.core.keys import unescape, user_key, user_keys, user_name
from tests.conftest import Connect
from tests.servers import wait_until

USERS = ("alice", "Alice", "a{b}", "}", "*", "%7D", "é", "\ud800", "a\x00", "5b7f1b7e-2b0f-4d3e-8e6b-0d8f5a5f9a11")


async def listed(memory: chatmem.ChatMemory, user: str, **options: Any) -> list[str]:
    return [info.session_id for info in (await memory.sessions(user, **options)).sessions]


def left(raw: redis.Redis, prefix: str) -> list[bytes]:
    return sorted(raw.scan_iter(f"{prefix}*", count=1000))


class TestSessions:
    async def test_by_last_activity(self, memory: chatmem.ChatMemory) -> None:
        """A write moves a session to the front; a new title, an expiry or a read does not."""
        for session in "abc":
            await memory.history(session, user="alice").append(f"in {session}")
        assert await listed(memory, "alice") == ["c", "b", "a"]
        await memory.history("a", user="alice").append("again")
        await memory.history("b", user="alice").update(title="B")
        await memory.history("b", user="alice").touch()
        await memory.history("b", user="alice").messages()
        assert await listed(memory, "alice") == ["a", "c", "b"]
        await memory.history("b", user="alice").put(lc.AIMessage("x", id="x"))
        await memory.history("c").append("by someone who does not say for whom")
        assert await listed(memory, "alice") == ["c", "b", "a"]
        await memory.history("a").replace(0, "edited")
        await memory.history("b", user="alice").delete("x")
        assert await listed(memory, "alice") == ["b", "a", "c"]

    async def test_what_is_known_of_each(self, memory: chatmem.ChatMemory) -> None:
        """The same as `info` says of it."""
        history = memory.history("a", user="alice")
        await history.update(title="Trip", metadata={"pinned": True})
        assert (await memory.sessions("alice")).sessions[0].count == 0
        await history.append("x", "y")
        (info,) = (await memory.sessions("alice")).sessions
        own = await history.info()
        assert (info.user, info.title, info.metadata, info.count, info.version) == (
            "alice",
            "Trip",
            {"pinned": True},
            2,
            1,
        )
        assert (info.created_at, info.updated_at) == (own.created_at, own.updated_at)
        assert info.ttl is not None
        assert 590 < info.ttl <= 600

    async def test_pages(self, memory: chatmem.ChatMemory) -> None:
        """Each session once, while others are written to."""
        for i in range(25):
            await memory.history(f"s{i}", user="alice").append("x")
        page = await memory.sessions("alice", limit=10)
        assert [info.session_id for info in page.sessions] == [f"s{i}" for i in range(24, 14, -1)]
        await memory.history("s20", user="alice").append("x")
        await memory.history("new", user="alice").append("x")
        await memory.history("s12").clear()
        page = await memory.sessions("alice", limit=10, before=page.next)
        assert [info.session_id for info in page.sessions] == [f"s{i}" for i in range(14, 3, -1) if i != 12]
        page = await memory.sessions("alice", limit=4, before=page.next)
        assert ([info.session_id for info in page.sessions], page.next) == (["s3", "s2", "s1", "s0"], None)

    async def test_at_the_same_moment(self, memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str) -> None:
        """Sessions written in one microsecond are all listed, once each."""
        for i in range(12):
            await memory.history(f"s{i}", user="alice").append("x")
        key = user_key(prefix, user_name("alice"))
        raw.zadd(key, {f"s{i}": 5.0 for i in range(12)})
        found: list[str] = []
        cursor = None
        for _ in range(4):
            page = await memory.sessions("alice", limit=3, before=cursor)
            found += [info.session_id for info in page.sessions]
            cursor = page.next
        assert sorted(found) == sorted(f"s{i}" for i in range(12))
        assert cursor is None

    async def test_users_are_exact(self, memory: chatmem.ChatMemory) -> None:
        """Any characters, case-sensitive, never a pattern."""
        for user in USERS:
            await memory.history(f"of {user}", user=user).append("x")
        for user in USERS:
            assert await listed(memory, user) == [f"of {user}"]
            assert (await memory.history(f"of {user}").info()).user == user
        assert await listed(memory, "nobody") == []

    async def test_a_session_has_one_user(self, memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str) -> None:
        """Nobody else can write to it, list it or erase it; who writes without a user leaves it theirs."""
        await memory.history("a", user="alice").append("x")
        other = memory.history("a", user="bob")
        for write in (
            lambda: other.append("y"),
            lambda: other.put(lc.AIMessage("y", id="y")),
            lambda: other.delete(0),
            lambda: other.update(title="mine"),
            other.touch,
            other.clear,
        ):
            with pytest.raises(chatmem.NotFoundError, match="another user"):
                await write()
        assert await listed(memory, "bob") == []
        assert await memory.forget("bob") == 0
        assert (await memory.history("a").append("z")).version == 2
        assert await listed(memory, "alice") == ["a"]
        assert user_key(prefix, user_name("bob")) not in left(raw, prefix)

    async def test_a_session_gets_a_user_later(self, memory: chatmem.ChatMemory) -> None:
        """The first write for a user makes it theirs, where its caller says that it may."""
        await memory.history("a").append("x")
        for operation in ("append", "messages", "window", "page", "info", "count", "clear"):
            with pytest.raises(chatmem.NotFoundError, match="nobody's"):
                await getattr(memory.history("a", user="alice"), operation)()
        assert len(await memory.history("a", user="alice", claim=True).messages()) == 1
        await memory.history("a", user="alice", claim=True).append()
        await memory.history("a", user="alice").append("y")
        assert (await memory.history("a").info()).user == "alice"
        assert await listed(memory, "alice") == ["a"]

    async def test_expired_sessions_vanish(self, connect: Connect, raw: redis.Redis, prefix: str) -> None:
        """By themselves, from the list and from the server."""
        memory = connect()
        await memory.history("stays", user="alice").append("x")
        await memory.history("goes", user="alice").append("x")
        await memory.history("goes").touch(ttl=0.05)
        wait_until(lambda: not any(b"goes" in key for key in left(raw, prefix)))
        assert await listed(memory, "alice") == ["stays"]
        assert raw.zcard(user_key(prefix, user_name("alice"))) == 1

    async def test_the_index_expires_with_the_last_session(
        self, connect: Connect, raw: redis.Redis, prefix: str
    ) -> None:
        """Not before it, and not after it."""
        memory, key = connect(ttl=100), user_key(prefix, user_name("alice"))
        await memory.history("a", user="alice").append("x")
        assert 99_000 < raw.pttl(key) <= 100_000
        await memory.history("b", user="alice").append("x")
        await memory.history("a").touch(ttl=500)
        assert 499_000 < raw.pttl(key) <= 500_000
        await memory.history("b", user="alice").append("x")
        assert 499_000 < raw.pttl(key) <= 500_000
        await connect(ttl=800, ttl_refresh="read").history("b").messages()
        assert 799_000 < raw.pttl(key) <= 800_000
        await connect(ttl=900, ttl_refresh="read").history("b", user="alice").messages()
        assert 899_000 < raw.pttl(key) <= 900_000
        await connect(ttl=None, prefix=prefix).history("c", user="alice").append("x")
        assert raw.pttl(key) == -1
        raw.delete(*left(raw, prefix))

    async def test_it_heals(self, memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str) -> None:
        """A session that the index lost is back with the next write; what is not there leaves it."""
        key = user_key(prefix, user_name("alice"))
        await memory.history("a", user="alice").append("x")
        raw.delete(*user_keys(prefix, user_name("alice")))
        assert await listed(memory, "alice") == []
        await memory.history("a").append("y")
        assert await listed(memory, "alice") == ["a"]
        raw.zadd(key, {"never there": 9e15})
        assert await listed(memory, "alice", limit=1) == ["a"]
        assert raw.zcard(key) == 1

    async def test_a_fork_is_the_users_too(self, memory: chatmem.ChatMemory) -> None:
        history = memory.history("a", user="alice")
        await history.append("x")
        await history.fork("b")
        assert await listed(memory, "alice") == ["b", "a"]
        await memory.history("a").fork("c")
        assert await listed(memory, "alice") == ["c", "b", "a"]

    @pytest.mark.parametrize("wrong", ["", 5, None, b"x"])
    async def test_wrong_users(self, memory: chatmem.ChatMemory, wrong: Any) -> None:
        with pytest.raises(ValueError, match="user must be"):
            await memory.sessions(wrong)
        if wrong is not None:
            with pytest.raises(ValueError, match="user must be"):
                memory.history("a", user=wrong)

    @pytest.mark.parametrize(
        "options", [{"limit": 0}, {"limit": 1001}, {"before": "x"}, {"before": 5}, {"before": "AA=="}]
    )
    async def test_wrong_pages(self, memory: chatmem.ChatMemory, options: Any) -> None:
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
            await memory.sessions("alice", **options)


class TestMergedMetadata:
    async def test_the_other_keys_stay(self, connect: Connect) -> None:
        """A merge sets the given keys, encrypted or not, and leaves version and order as they are."""
        for ring in (None, chatmem.KeyRing({"k": b"k" * 32})):
            history = connect(encryption=ring).history(f"s-{ring is None}")
            await history.update(metadata={"a": 1}, merge=True)
            await history.append("x")
            await history.update(title="T", metadata={"b": {"c": None}}, merge=True)
            await history.update(metadata={"a": 2}, merge=True)
            info = await history.info()
            assert (info.title, info.metadata, info.version) == ("T", {"a": 2, "b": {"c": None}}, 1)
            await history.update(metadata={"d": 4})
            assert (await history.info()).metadata == {"d": 4}

    async def test_many_at_once(self, url: str, prefix: str) -> None:
        """Of writers at once none undoes what another did."""
        ring = chatmem.KeyRing({"k": b"k" * 32})
        async with chatmem.connect(url, prefix=prefix, ttl=60, encryption=ring) as memory:
            values = [{f"key-{number}": number} for number in range(20)]
            await asyncio.gather(*(memory.history("s").update(metadata=one, merge=True) for one in values))
            assert (await memory.history("s").info()).metadata == {key: v for one in values for key, v in one.items()}

    async def test_an_expected_version(self, memory: chatmem.ChatMemory) -> None:
        """At another version nothing is changed, and no session begins."""
        history = memory.history("s")
        for merge in (False, True):
            with pytest.raises(chatmem.ConflictError):
                await history.update(title="T", metadata={"a": 1}, merge=merge, expected_version=1)
        await history.append("x")
        await history.update(metadata={"a": 1}, expected_version=1)
        await history.update(metadata={"b": 1}, merge=True, expected_version=1)
        await history.append("y")
        for merge in (False, True):
            with pytest.raises(chatmem.ConflictError):
                await history.update(title="T", metadata={"a": 2}, merge=merge, expected_version=1)
        info = await history.info()
        assert (info.title, info.metadata, info.version) == (None, {"a": 1, "b": 1}, 2)

    async def test_what_cannot_be_read_stays(self, url: str, prefix: str) -> None:
        """Without the key of encrypted metadata nothing is merged into it."""
        ring = chatmem.KeyRing({"k": b"k" * 32})
        async with chatmem.connect(url, prefix=prefix, ttl=60, encryption=ring) as memory:
            await memory.history("s").update(metadata={"a": 1})
            async with chatmem.connect(url, prefix=prefix, ttl=60) as plain:
                with pytest.raises(chatmem.CorruptRecordError, match="the metadata cannot be read"):
                    await plain.history("s").update(metadata={"b": 2}, merge=True)
            assert (await memory.history("s").info()).metadata == {"a": 1}


class TestAllSessions:
    """All sessions of a memory, whoever they belong to."""

    NAMES = ("a", "b{}", "c*", "d\ud800", "e:m", "user-1", "user-2")

    async def test_each_once(self, memory: Any, raw: Any, prefix: str, request: pytest.FixtureRequest) -> None:
        """With ids of any characters, with and without users; nothing else under the prefix is one."""
        for number, name in enumerate(self.NAMES):
            await memory.history(name, user="alice" if number % 2 else None).append("x")
        raw.set(f"{prefix}:{{broken%ZZ}}:m", "x", px=60_000)
        raw.set(f"{prefix}:other", "x", px=60_000)
        if "least rights" in request.node.name:
            with pytest.raises(chatmem.UnavailableError, match="'scan' command"):
                [one async for one in memory.all_sessions()]
            return
        assert sorted([one async for one in memory.all_sessions()]) == sorted(self.NAMES)

    async def test_that_match(self, memory: Any, request: pytest.FixtureRequest) -> None:
        """A glob chooses among them; what it says literally is escaped by brackets."""
        for name in self.NAMES:
            await memory.history(name).append("x")
        if "least rights" in request.node.name:
            return  # see above
        assert sorted([one async for one in memory.all_sessions("user-?")]) == ["user-1", "user-2"]
        assert [one async for one in memory.all_sessions("c[*]")] == ["c*"]
        assert [one async for one in memory.all_sessions("nobody")] == []
        with pytest.raises(ValueError, match="match must be a glob"):
            [one async for one in memory.all_sessions("")]


class TestErasure:
    async def test_nothing_is_left(self, memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str) -> None:
        """The whole keyspace is as it was before the user came."""
        await memory.history("other", user="bob").append("x")
        await memory.history("nobody's").append("x")
        before = left(raw, prefix)
        for i in range(250):
            await memory.history(f"s{i}", user="alice").append(lc.HumanMessage("x", id="1"), idempotency_key="k")
        await memory.history("empty", user="alice").update(title="t")
        assert await memory.forget("alice") == 251
        assert left(raw, prefix) == before
        assert await memory.forget("alice") == 0

    async def test_clear(self, memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str) -> None:
        """Whoever clears it, it leaves the list of its user."""
        for history in (memory.history("a", user="alice"), memory.history("a")):
            await memory.history("a", user="alice").append(lc.HumanMessage("x", id="1"))
            await history.clear()
            assert left(raw, prefix) == []

    async def test_a_session_of_another_stays(self, memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str) -> None:
        """Though the index should say that it is this user's."""
        await memory.history("a", user="alice").append("x")
        raw.zadd(user_key(prefix, user_name("bob")), {"a": 1e15})
        assert await memory.forget("bob") == 0
        assert await memory.history("a").count() == 1

    async def test_while_it_is_written(self, memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str) -> None:
        """What is left was written after the erasure, is listed, and can be erased again."""
        sessions = [memory.history(f"s{i}", user="alice") for i in range(30)]
        for history in sessions:
            await history.append(lc.HumanMessage("before", id="0"))

        async def write(history: chatmem.History) -> None:
            for i in range(20):
                await history.append(lc.HumanMessage(str(i), id=str(i + 1)))

        await asyncio.gather(memory.forget("alice"), *map(write, sessions))
        for history in sessions:
            ids = [message.id for message in await history.messages()]
            assert "0" not in ids
            assert ids == [str(i) for i in range(21 - len(ids), 21)]
        there = [f"s{i}" for i, history in enumerate(sessions) if await history.count()]
        assert sorted(await listed(memory, "alice")) == sorted(there)
        await memory.forget("alice")
        assert left(raw, prefix) == []


class TestSearch:
    async def test_one_session(self, history: chatmem.History) -> None:
        """Words in any case, phrases, where they stand; the best first, of equals the newest."""
        await history.append(
            "A refund, please: my Order 17 is late.",
            ("ai", "Your refund is on its way. REFUND of order 17: 5 euro."),
            "Nothing to see",
            lc.HumanMessage([{"type": "text", "text": "order"}, {"type": "image", "url": "https://refund"}]),
        )
        found = await history.search("refund order")
        assert [match.entry.seq for match in found] == [1, 0, 3]
        first = found[0]
        assert [first.text[start:end] for start, end in first.spans] == ["refund", "REFUND", "order"]
        assert [match.entry.seq for match in await history.search('"refund is on"')] == [1]
        assert [match.entry.seq for match in await history.search("refund order", limit=1)] == [1]
        assert await history.search("absent") == []
        wrongs: list[Any] = ["", "!", 5]
        for wrong in wrongs:
            with pytest.raises(ValueError, match="query"):
                await history.search(wrong)
        with pytest.raises(ValueError, match="limit"):
            await history.search("x", limit=0)

    async def test_all_sessions_of_a_user(self, memory: chatmem.ChatMemory) -> None:
        """Nobody else's; each match says where it is."""
        for i in range(3):
            await memory.history(f"s{i}", user="alice").append("nothing", f"the word {'rare ' * (i + 1)}")
        await memory.history("other", user="bob").append("rare")
        await memory.history("nobody's").append("rare")
        found = await memory.search("alice", "rare")
        assert sorted((match.session_id, match.entry.seq) for match in found) == [("s0", 1), ("s1", 1), ("s2", 1)]
        assert [match.session_id for match in await memory.search("alice", "rare", limit=1)] == ["s2"]
        assert await memory.search("carol", "rare") == []

    async def test_a_damaged_record(self, history: chatmem.History, raw: redis.Redis, prefix: str) -> None:
        """It hides nothing but itself."""
        await history.append("rare", "rare", "rare")
        raw.lset(f"{prefix}:{{user-123}}:m", 1, "rubbish")
        assert [match.entry.seq for match in await history.search("rare")] == [2, 0]


@settings(max_examples=200)
@given(st.text(st.characters(codec=None), min_size=1))
def test_names_can_be_turned_back(user: str) -> None:
    assert unescape(user_name(user)) == user
    inside = user_key("p", user_name(user)).removeprefix(b"p:user:{").removesuffix(b"}")
    assert inside
    assert b"}" not in inside


def test_round_trips(url: str) -> None:
    """One for a write, with the index; two for a page of sessions; in LangChain's facade as well."""
    from tests.wire import watched

    with watched(url) as wire, chatmem.sync.connect(wire.url, prefix="wire-users", ttl=600) as memory:
        history = memory.history("a", user="alice")
        history.append("warm")
        history.touch()  # once each script is known, no command is long enough to travel in parts
        memory.sessions("alice")
        history.get(0)
        history.fork("another")
        operations: list[tuple[Any, int]] = [
            (lambda: history.append("x", "y"), 1),
            (lambda: history.put(lc.AIMessage("x", id="1")), 1),
            (lambda: history.replace("1", "y"), 1),
            (lambda: history.delete("1"), 1),
            (lambda: history.truncate(after=1), 1),
            (lambda: history.compact(up_to=0, replacement=["z"]), 1),
            (lambda: history.update(title="t"), 1),
            (lambda: history.get(0), 1),
            (history.page, 1),
            (lambda: memory.langchain("a", "alice").add_messages([lc.HumanMessage("x")]), 1),
            (lambda: memory.sessions("alice"), 2),
            (lambda: history.fork("b"), 2),
            (lambda: memory.history("a").append("of a user, but who?"), 2),
            (history.clear, 2),
        ]
        for index, (operation, wanted) in enumerate(operations):
            wire.reset()
            operation()
            assert wire.round_trips == wanted, index
        memory.forget("alice")
        assert wire.connections == 1


async def test_scripts_that_only_some_nodes_know() -> None:
    """On a cluster that has just started, each session is erased and counted once."""
    from tests.clusters import cluster

    with cluster() as running:
        async with chatmem.connect(running.url, ttl=60) as memory:
            for i in range(20):
                await memory.history(f"s{i}", user="alice").append("x")
            for node in running.masters():
                node.run("SCRIPT", "FLUSH")
            assert await memory.forget("alice") == 20
        with chatmem.sync.connect(running.url, ttl=60) as blocking:
            for i in range(20):
                blocking.history(f"s{i}", user="alice").append("x")
            for node in running.masters():
                node.run("SCRIPT", "FLUSH")
            assert blocking.forget("alice") == 20
