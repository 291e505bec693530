"""Lists of chats: archived, pinned, tagged, oldest first, by title; counts; updates that overwrite nobody else's."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem import scripts
from chatmem.core import user_index
from chatmem.core.keys import session_keys, user_keys, user_lists, user_name
from tests.conftest import Connect
from tests.servers import LEAST_RIGHTS, debian_binary, run_server, wait_until
from tests.wire import watched

TAGS = ("work", "a,b/c%", "}{", "é\ud800", "WORK", ":", "\n")


async def listed(memory: chatmem.ChatMemory, user: str = "alice", **options: Any) -> list[str]:
    """Return the ids of all sessions of a list, page by page."""
    found: list[str] = []
    before = None
    while True:
        page = await memory.sessions(user, before=before, **options)
        found += [info.session_id for info in page.sessions]
        before = page.next
        if before is None:
            return found


def left(raw: redis.Redis, prefix: str) -> list[bytes]:
    return sorted(raw.scan_iter(f"{prefix}*", count=1000))


async def fill(memory: chatmem.ChatMemory, names: str) -> None:
    for name in names:
        await memory.history(name, user="alice").append(f"in {name}")


class TestArchived:
    async def test_out_of_the_list_and_back(self, memory: chatmem.ChatMemory) -> None:
        """At its place each time, whether the history knows the user or not."""
        await fill(memory, "abc")
        await memory.history("b", user="alice").update(archived=True)
        await memory.history("a").update(archived=True)
        assert await listed(memory) == ["c"]
        assert await listed(memory, archived=True) == ["b", "a"]
        assert await listed(memory, archived=None) == ["c", "b", "a"]
        assert [await memory.count("alice", archived=which) for which in (False, True, None)] == [1, 2, 3]
        await memory.history("b", user="alice").update(archived=False)
        await memory.history("a").update(archived=False)
        assert await listed(memory) == ["c", "b", "a"]
        assert await listed(memory, archived=True) == []
        assert [await memory.count("alice", archived=which) for which in (False, True, None)] == [3, 0, 3]

    async def test_a_write_moves_it_among_the_archived(self, memory: chatmem.ChatMemory, connect: Connect) -> None:
        """And not back into the list, also if another process writes that has not heard of it."""
        await fill(memory, "abc")
        for name in "abc":
            await memory.history(name, user="alice").update(archived=True)
        await memory.history("a", user="alice").append("again")
        assert await listed(memory, archived=True) == ["a", "c", "b"]
        await connect().history("b", user="alice").append("again")
        assert await listed(memory, archived=True) == ["b", "a", "c"]
        await connect().history("c").append("again")
        assert await listed(memory, archived=True) == ["c", "b", "a"]
        assert await listed(connect()) == []
        assert await memory.count("alice") == 0

    async def test_what_is_known_of_it(self, memory: chatmem.ChatMemory) -> None:
        """`info` and the lists say the same."""
        history = memory.history("a", user="alice")
        await history.update(title="A", archived=True, pinned=True, tags=TAGS)
        revision = await history.update(pinned=False)
        info = await history.info()
        assert (info.archived, info.pinned, info.tags, info.revision, info.version) == (True, False, TAGS, revision, 0)
        (other,) = (await memory.sessions("alice", archived=True)).sessions
        assert (other.archived, other.pinned, other.tags, other.revision) == (True, False, TAGS, revision)

    async def test_a_session_without_a_user(self, memory: chatmem.ChatMemory) -> None:
        """It keeps its marks until somebody claims it; then it is in their lists."""
        await memory.history("a").append("x")
        await memory.history("a").update(archived=True, tags=["t"])
        await memory.history("a", user="alice", claim=True).append("y")
        assert await listed(memory, archived=True, tag="t") == ["a"]
        assert await listed(memory) == []


async def test_an_annotation_moves_nothing(memory: chatmem.ChatMemory) -> None:
    """The session keeps its place, its version and its times, and the message its own."""
    await fill(memory, "ab")
    history = memory.history("a", user="alice")
    before, entry = await history.info(), await history.get(0)
    await history.annotate(0, {"rating": 1})
    assert await listed(memory) == ["b", "a"]
    after, annotated = await history.info(), await history.get(0)
    assert dataclasses.replace(after, ttl=before.ttl) == before
    assert entry is not None
    assert annotated == dataclasses.replace(entry, annotations={"rating": 1})


class TestTags:
    async def test_any_characters(self, memory: chatmem.ChatMemory) -> None:
        """Tags are exact, and no tag is part of another."""
        for number, tag in enumerate(TAGS):
            await memory.history(f"s{number}", user="alice").append("x")
            await memory.history(f"s{number}", user="alice").update(tags=[tag])
        for number, tag in enumerate(TAGS):
            assert await listed(memory, tag=tag) == [f"s{number}"]
            assert await memory.count("alice", tag=tag) == 1
        assert await listed(memory, tag="wor") == []
        assert await memory.count("bob", tag="work") == 0

    async def test_they_are_replaced(self, memory: chatmem.ChatMemory) -> None:
        await fill(memory, "a")
        history = memory.history("a", user="alice")
        await history.update(tags=["x", "y", "x"])
        assert (await history.info()).tags == ("x", "y")
        await history.update(tags=["y", "z"], pinned=True)
        assert [await memory.count("alice", tag=tag) for tag in "xyz"] == [0, 1, 1]
        assert await listed(memory, tag="z", pinned=True) == ["a"]
        await history.update(tags=())
        assert [await memory.count("alice", tag=tag) for tag in "xyz"] == [0, 0, 0]
        assert (await history.info()).pinned


class TestPages:
    async def test_against_a_model(self, memory: chatmem.ChatMemory, connect: Connect) -> None:
        """Every list in both orders, in pages of any size, and every count, after random changes in two processes."""
        dice = random.Random(7)
        memories = [memory, connect()]
        order: list[str] = []
        marks: dict[str, tuple[bool, bool, tuple[str, ...]]] = {}

        async def change(name: str) -> None:
            history = dice.choice(memories).history(
                name, user=dice.choice(["alice", None]) if name in order else "alice"
            )
            what = dice.choice(["append", "append", "archived", "pinned", "tags", "title", "edit", "touch", "clear"])
            archived, pinned, tags = marks.get(name, (False, False, ()))
            if what == "clear" and name in order:
                await history.clear()
                order.remove(name)
                marks.pop(name, None)
                return
            if what in ("append", "clear") or name not in order:
                await history.append("x")
                order[:] = [*(one for one in order if one != name), name]
            elif what == "edit":
                await history.replace(0, "y")
                order[:] = [*(one for one in order if one != name), name]
            elif what == "touch":
                await history.touch(ttl=300)
            elif what == "title":
                await history.update(title="t")
            elif what == "archived":
                archived = not archived
                await history.update(archived=archived)
            elif what == "pinned":
                pinned = not pinned
                await history.update(pinned=pinned)
            else:
                tags = tuple(dice.sample(TAGS[:3], dice.randrange(3)))
                await history.update(tags=tags)
            marks[name] = (archived, pinned, tags)

        for step in range(120):
            await change(f"s{dice.randrange(12)}")
            if step % 12 == 11:
                for _ in range(6):
                    archived = dice.choice([False, True, None])
                    pinned, tag = dice.choice([False, True, None]), dice.choice([*TAGS[:3], None, None])
                    wanted = [
                        name
                        for name in order
                        if archived in (None, marks[name][0])
                        and pinned in (None, marks[name][1])
                        and (tag is None or tag in marks[name][2])
                    ]
                    which: dict[str, Any] = {"archived": archived, "pinned": pinned, "tag": tag}
                    reader = dice.choice(memories)
                    limit = dice.randrange(1, 6)
                    assert await reader.count("alice", **which) == len(wanted), which
                    assert await listed(reader, limit=limit, **which) == wanted[::-1], which
                    assert await listed(reader, limit=limit, order="oldest", **which) == wanted, which

    async def test_they_stay_stable(self, memory: chatmem.ChatMemory) -> None:
        """What is written meanwhile moves out of the way, and nothing comes twice."""
        names = [f"s{number}" for number in range(20)]
        for name in names:
            await memory.history(name, user="alice").append("x")
            await memory.history(name, user="alice").update(tags=["t"])
        page = await memory.sessions("alice", tag="t", limit=8)
        assert [info.session_id for info in page.sessions] == names[:11:-1]
        await memory.history("s15", user="alice").append("x")
        await memory.history("s5", user="alice").append("x")
        await memory.history("s4", user="alice").update(archived=True)
        rest = await memory.sessions("alice", tag="t", limit=100, before=page.next)
        assert [info.session_id for info in rest.sessions] == [
            name for name in names[11::-1] if name not in ("s4", "s5")
        ]
        assert rest.next is None

    async def test_by_title(self, memory: chatmem.ChatMemory) -> None:
        """Case does not matter, a part is enough, and pages are full however few match."""
        for number in range(130):
            await memory.history(f"s{number}", user="alice").append("x")
            if number % 13 == 0:
                await memory.history(f"s{number}", user="alice").update(title=f"STRASSE nach Lima {number}")
        found = [f"s{number}" for number in range(117, -1, -13)]
        assert await listed(memory, title="straße NACH") == found
        page = await memory.sessions("alice", title="lima", limit=3)
        assert [info.session_id for info in page.sessions] == found[:3]
        assert await listed(memory, title="lima", limit=4, order="oldest") == found[::-1]
        assert await listed(memory, title="quito") == []
        assert len(await listed(memory, title="")) == 130

    async def test_encrypted_titles(self, connect: Connect) -> None:
        """Are found by those who have the key."""
        memory = connect(encryption=chatmem.KeyRing({"k": bytes(32)}))
        await fill(memory, "ab")
        await memory.history("a", user="alice").update(title="Lima")
        assert await listed(memory, title="lima") == ["a"]


class TestTheIndex:
    """The index is in another slot, so it may differ from the sessions: they are right."""

    async def test_an_update_that_ended_half_way(
        self, memory: chatmem.ChatMemory, connect: Connect, raw: redis.Redis, prefix: str
    ) -> None:
        """Its session is changed and the index is not: a page of the list sets it right, whichever list it is."""
        await fill(memory, "abcd")
        await memory.history("c", user="alice").update(archived=True)
        await memory.history("d", user="alice").update(tags=["old"])
        for name, marks in (("a", "a,t"), ("b", "p,t"), ("d", "p,new")):
            raw.hset(session_keys(prefix, name).state.decode(), "marks", marks)
        raw.hdel(session_keys(prefix, "c").state.decode(), "marks")
        other = connect()
        assert await listed(other) == ["d", "b"]
        assert await listed(other, archived=True) == ["a"]
        assert await listed(other) == ["d", "c", "b"]
        assert await listed(other, tag="t", archived=None) == ["b", "a"]
        assert [await memory.count("alice", tag=tag) for tag in ("old", "new", "t")] == [0, 1, 1]
        assert await memory.count("alice", archived=True, tag="t") == 1
        assert await memory.count("alice", pinned=True) == 2

    @pytest.mark.parametrize("damaged", ["", "x", "pa", "-1", "a,", "9" * 30, "\xff", ",%FF", ",a/b"])
    async def test_damaged_marks(self, memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str, damaged: str) -> None:
        """Hide nothing, and the next update writes them anew."""
        await fill(memory, "ab")
        raw.hset(session_keys(prefix, "a").state.decode(), "marks", damaged.encode("latin-1"))
        assert await listed(memory) == ["b", "a"]
        await memory.history("a", user="alice").append("x")
        await memory.history("a", user="alice").update(archived=False, pinned=True, tags=["t"])
        assert await listed(memory, tag="t", pinned=True) == ["a"]
        assert await listed(memory) == ["a", "b"]

    async def test_another_process_changes_the_marks(self, memory: chatmem.ChatMemory, connect: Connect) -> None:
        """A process that knew other marks writes, and the lists are right."""
        other = connect()
        await fill(memory, "a")
        for archived, tags in ((True, ["x"]), (False, ["y"]), (True, []), (False, [])):
            await other.history("a", user="alice").update(archived=archived, tags=tags)
            await memory.history("a", user="alice").append("x")
            assert await memory.count("alice", archived=archived) == 1
            assert await memory.count("alice", archived=not archived) == 0
            for tag in "xy":
                assert await memory.count("alice", archived=archived, tag=tag) == (tag in tags)

    async def test_changes_at_once(self, memory: chatmem.ChatMemory, connect: Connect) -> None:
        """Many processes write and mark; in the end the index has what the sessions say."""
        await fill(memory, "ab")
        memories = [memory, *(connect() for _ in range(3))]

        async def work(one: chatmem.ChatMemory, seed: int) -> None:
            dice = random.Random(seed)
            for _ in range(15):
                history = one.history(dice.choice("ab"), user="alice")
                await history.update(archived=dice.random() < 0.5, tags=dice.sample("xyz", 2))
                await history.append("x")

        await asyncio.gather(*(work(one, seed) for seed, one in enumerate(memories)))
        for name in "ab":
            await memory.history(name, user="alice").append("the last one")
        infos = {name: await memory.history(name).info() for name in "ab"}
        for archived in (True, False):
            there = [name for name in "ba" if infos[name].archived == archived]
            assert await memory.count("alice", archived=archived) == len(there)
            assert await listed(memory, archived=archived) == there
            for tag in "xyz":
                tagged = [name for name in there if tag in infos[name].tags]
                assert await memory.count("alice", archived=archived, tag=tag) == len(tagged)
                assert await listed(memory, archived=archived, tag=tag) == tagged

    async def test_expired_sessions_vanish(self, memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str) -> None:
        """From all lists and counts, by themselves."""
        await fill(memory, "abc")
        for name, archived in (("a", True), ("b", False)):
            history = memory.history(name, user="alice")
            await history.update(archived=archived, pinned=True, tags=["t"])
            await history.touch(ttl=0.05)
        wait_until(lambda: not any(b"{a}" in key or b"{b}" in key for key in left(raw, prefix)))
        for _ in range(500):  # the index learns the deadlines some milliseconds after the sessions
            if await memory.count("alice", archived=None) == 1:
                break
            await asyncio.sleep(0.01)
        assert await memory.count("alice", archived=None, tag="t", pinned=True) == 0
        assert await listed(memory, archived=None) == ["c"]
        keys = user_lists(prefix, user_name("alice"))
        assert [raw.exists(key) for key in keys] == [1, 1, 0, 0]

    async def test_the_lists_expire_with_the_last_session(
        self, connect: Connect, raw: redis.Redis, prefix: str
    ) -> None:
        """Not before it, and not after it, though reads restart its TTL."""
        memory, keys = connect(ttl=100), user_lists(prefix, user_name("alice"))
        await fill(memory, "ab")
        await memory.history("a", user="alice").update(archived=True)
        assert [99 <= raw.ttl(key) <= 100 for key in keys] == [True] * 4
        await memory.history("a").touch(ttl=500)
        assert [raw.ttl(key) > 490 for key in keys] == [False, False, True, True]
        for user, ttl in (("alice", 800), (None, 900)):
            reader = connect(ttl=ttl, ttl_refresh="read")
            await reader.history("a", user=user).messages()
            assert [raw.ttl(key) > ttl - 10 for key in keys] == [False, False, True, True]
        assert await listed(memory, archived=True) == ["a"]
        assert await listed(memory) == ["b"]

    async def test_a_memory_without_a_ttl(self, connect: Connect, raw: redis.Redis, prefix: str) -> None:
        memory = connect(ttl=None, prefix=prefix)
        await fill(memory, "ab")
        await memory.history("a", user="alice").update(archived=True, tags=["t"])
        await memory.history("b", user="alice").update(tags=["t"])
        assert [raw.ttl(key) for key in user_lists(prefix, user_name("alice"))] == [-1, -2, -1, -1]
        assert await listed(memory, archived=None, tag="t") == ["b", "a"]
        assert await memory.forget("alice") == 2
        assert left(raw, prefix) == []


class TestErasure:
    @pytest.mark.parametrize(
        "how", ["user", "no user", "elsewhere", "elsewhere, no user", "forget", "forget elsewhere"]
    )
    async def test_nothing_is_left(
        self, memory: chatmem.ChatMemory, connect: Connect, raw: redis.Redis, prefix: str, how: str
    ) -> None:
        """In any list, whoever erases."""
        await fill(memory, "abc")
        await memory.history("a", user="alice").update(archived=True, pinned=True, tags=["t"])
        await memory.history("b", user="alice").update(tags=["t"])
        eraser = connect() if "elsewhere" in how else memory
        if "forget" in how:
            assert await eraser.forget("alice") == 3
        else:
            for name in "abc":
                await eraser.history(name, user=None if "no user" in how else "alice").clear()
        assert left(raw, prefix) == []

    async def test_sessions_that_are_gone(self, memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str) -> None:
        """Their entries and tags are erased too, though no session says which they are."""
        await fill(memory, "abc")
        await memory.history("a", user="alice").update(archived=True, tags=["t"])
        await memory.history("b", user="alice").update(tags=["t"])
        for name in "ab":
            for key in session_keys(prefix, name):
                raw.delete(key)
        raw.zrem(user_keys(prefix, user_name("alice"))[0], "b")
        assert await memory.forget("alice") == 1
        assert left(raw, prefix) == []

    async def test_begun_anew(self, memory: chatmem.ChatMemory, connect: Connect) -> None:
        """An erased session has no marks when it is written again, whoever writes."""
        for writer in (memory, connect()):
            await fill(memory, "a")
            await memory.history("a", user="alice").update(archived=True)
            await writer.history("a", user="alice").clear()
            await writer.history("a", user="alice").append("x")
            assert await listed(memory) == ["a"]
            assert await memory.count("alice", archived=True) == 0


class TestUpdate:
    async def test_revision(self, memory: chatmem.ChatMemory) -> None:
        """Each change makes another, messages leave it alone, and who expects another one changes nothing."""
        history = memory.history("a", user="alice")
        assert (await history.info()).revision == 0
        first = await history.update(title="first", expected_revision=0)
        await history.append("x")
        assert await history.update() == first > 0
        second = await history.update(metadata={"a": 1}, expected_revision=first)
        assert second not in (0, first)
        changes: list[dict[str, Any]] = [
            {"title": "second"},
            {"archived": True},
            {"metadata": {}},
            {"metadata": {"b": 1}, "merge": True},
        ]
        for change in changes:
            with pytest.raises(chatmem.ConflictError, match=f"at revision {second}, not at {first}") as caught:
                await history.update(**change, expected_revision=first)
            assert (caught.value.expected, caught.value.actual, caught.value.session) == (first, second, "a")
        info = await history.info()
        assert (info.title, info.metadata, info.archived, info.revision, info.version) == (
            "first",
            {"a": 1},
            False,
            second,
            1,
        )
        await history.clear()
        assert (await history.info()).revision == 0

    async def test_each_part_counts(self, memory: chatmem.ChatMemory) -> None:
        """What differs in one part has another revision; what is the same again has the same."""
        history = memory.history("a", user="alice")
        changes: list[dict[str, Any]] = [
            {"title": "t"},
            {"title": "u"},
            {"metadata": {"t": 1}},
            {"metadata": {"t": 2}},
            {"archived": True},
            {"archived": False, "pinned": True},
            {"tags": ["p"]},
        ]
        seen = [await history.update(**change) for change in changes]
        assert len({0, *seen}) == len(changes) + 1
        assert await history.update(tags=[], pinned=False) == seen[3]
        for page in (await memory.sessions("alice")).sessions, [await history.info()]:
            assert [info.revision for info in page] == [seen[3]]

    @pytest.mark.parametrize("keys", [None, chatmem.KeyRing({"k": bytes(32)})], ids=["plain", "encrypted"])
    async def test_merge(self, connect: Connect, keys: chatmem.KeyRing | None) -> None:
        """By key at the top level; None removes a key, and every other value stays exact."""
        history = connect(encryption=keys).history("a")
        kept: dict[str, Any] = {
            "empty": [],
            "none": None,
            "large": 2**70,
            "float": 1e300,
            "deep": {"a": {}, "b": [1, None]},
            "\ud800": "é",
        }
        await history.update(metadata={**kept, "old": 1, "gone": 1})
        revision = await history.update(
            metadata={"old": 2, "gone": None, "never": None, "new": {"x": None}}, merge=True
        )
        assert (await history.info()).metadata == {**kept, "old": 2, "new": {"x": None}}
        assert await history.update(metadata={}, merge=True, title="t", expected_revision=revision) != revision
        other = connect(encryption=keys).history("new")
        await other.update(metadata={"a": 1, "b": None}, merge=True)
        assert (await other.info()).metadata == {"a": 1}

    async def test_tabs_do_not_overwrite_each_other(self, memory: chatmem.ChatMemory, connect: Connect) -> None:
        """Each merges a key of its own at the same time as the others."""
        memories = [memory, connect(), connect()]
        await asyncio.gather(
            *(memories[n % 3].history("a").update(metadata={f"k{n}": n}, merge=True) for n in range(24))
        )
        assert (await memory.history("a").info()).metadata == {f"k{n}": n for n in range(24)}

    async def test_metadata_that_cannot_be_read(self, connect: Connect) -> None:
        """Is not overwritten by what is merged into it."""
        await connect(encryption=chatmem.KeyRing({"k": bytes(32)})).history("a").update(metadata={"a": 1})
        with pytest.raises(chatmem.CorruptRecordError, match="metadata cannot be read"):
            await connect().history("a").update(metadata={"b": 1}, merge=True)
        info = await connect(encryption=chatmem.KeyRing({"k": bytes(32)})).history("a").info()
        assert info.metadata == {"a": 1}

    @pytest.mark.parametrize(
        ("wrong", "match"),
        [
            ({"archived": 1}, "archived must be"),
            ({"pinned": "yes"}, "pinned must be"),
            ({"tags": "work"}, "tags must be a list"),
            ({"tags": {"work"}}, "tags must be a list"),
            ({"tags": [""]}, "1 to 100 characters"),
            ({"tags": ["x" * 101]}, "1 to 100 characters"),
            ({"tags": [5]}, "1 to 100 characters"),
            ({"tags": [str(n) for n in range(51)]}, "at most 50"),
            ({"merge": True}, "merge needs metadata"),
            ({"title": "t", "expected_revision": -1}, "expected_revision must be"),
        ],
    )
    async def test_wrong_updates(self, memory: chatmem.ChatMemory, wrong: Any, match: str) -> None:
        with pytest.raises(ValueError, match=match):
            await memory.history("a", user="alice").update(**wrong)
        assert await memory.count("alice") == 0

    @pytest.mark.parametrize(
        "wrong", [{"archived": 1}, {"pinned": 0}, {"tag": ""}, {"tag": 5}, {"title": 5}, {"order": "last"}]
    )
    async def test_wrong_lists(self, memory: chatmem.ChatMemory, wrong: Any) -> None:
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must "):
            await memory.sessions("alice", **wrong)
        if not {"title", "order"} & set(wrong):
            with pytest.raises(ValueError, match=f"{next(iter(wrong))} must "):
                await memory.count("alice", **wrong)


class TestLostKeys:
    """A user's index is up to four keys, and each may be lost without the others."""

    OPTIONS: tuple[dict[str, Any], ...] = (
        {"archived": None},
        {"archived": True},
        {"pinned": True},
        {"archived": None, "tag": "b"},
        {"archived": None, "tag": "x/y,\n"},
    )

    async def prepare(self, memory: chatmem.ChatMemory) -> None:
        await fill(memory, "abcde")
        await memory.history("b", user="alice").update(pinned=True, tags=["b", "a"])
        await memory.history("c", user="alice").update(archived=True, tags=["x/y,\n"])
        await memory.history("d", user="alice").update(archived=True, pinned=True)

    @pytest.mark.parametrize("lost", [":lists", ":marked"])
    @pytest.mark.parametrize("before", ["list", "count", "write", "forget"])
    async def test_marks(self, connect: Connect, raw: redis.Redis, prefix: str, lost: str, before: str) -> None:
        """Nothing is lost with one of the two keys of marked sessions, and nothing stays behind."""
        memory = connect(ttl=600)
        await self.prepare(memory)
        wanted = [await listed(memory, **options) for options in self.OPTIONS]
        raw.delete(f"{prefix}:user:{{alice}}{lost}")
        if before == "write":
            await memory.history("e", user="alice").append("more")
        elif before == "count":
            assert await memory.count("alice", archived=True) == 2
        if before != "forget":
            assert [await listed(memory, **options) for options in self.OPTIONS] == wanted
            assert await memory.count("alice", archived=None, tag="b") == 1
            assert 500_000 < raw.pttl(f"{prefix}:user:{{alice}}{lost}") <= 600_000
        await memory.history("b", user="alice").append("more")
        await memory.history("d", user="alice").append("more")
        assert await memory.count("alice", pinned=True, archived=None) == 2
        assert await memory.forget("alice") == 5
        assert left(raw, prefix) == []

    @pytest.mark.parametrize("before", ["list", "write", "forget"])
    async def test_the_index(self, connect: Connect, raw: redis.Redis, prefix: str, before: str) -> None:
        """The sessions that have a deadline are listed again, and erased with the others."""
        memory = connect(ttl=600)
        await self.prepare(memory)
        raw.delete(f"{prefix}:user:{{alice}}")
        if before == "write":
            await memory.history("e", user="alice").append("more")
            assert (await listed(memory))[0] == "e"
        if before != "forget":
            assert sorted(await listed(memory)) == ["a", "b", "e"]
            assert await listed(memory, archived=True) == ["d", "c"]
        assert await memory.forget("alice") == 5
        assert left(raw, prefix) == []

    @pytest.mark.parametrize("lost", ["", ":lists", ":marked"])
    async def test_no_memory(self, lost: str) -> None:
        """A full server refuses neither the list nor its erasure."""
        with run_server(debian_binary()) as url, redis.Redis.from_url(url) as admin:
            async with chatmem.connect(url, ttl=600) as memory:
                await self.prepare(memory)
                admin.delete(f"chatmem:user:{{alice}}{lost}")
                admin.config_set("maxmemory", 1)
                assert sorted(await listed(memory, archived=None)) == ["a", "b", "c", "d", "e"]
                admin.delete(f"chatmem:user:{{alice}}{lost}")
                assert await memory.forget("alice") == 5
            assert left(admin, "chatmem") == []

    async def test_what_expires(self, connect: Connect, raw: redis.Redis, prefix: str) -> None:
        """An entry that is not the one of its session's deadline goes without the session."""
        memory = connect(ttl=600)
        await self.prepare(memory)
        lists = f"{prefix}:user:{{alice}}:lists"
        raw.zadd(lists, {"u/0000000000000001/c": 0, "u/0000000000000001/gone": 0})
        assert await listed(memory, archived=True) == ["d", "c"]
        assert raw.zlexcount(lists, "[u/0000000000000001", "[u/0000000000000002") == 0


async def test_what_a_session_without_marks_costs(url: str, prefix: str) -> None:
    """What it cost before there were marks: the same fields, keys, arguments and replies."""
    with (
        redis.Redis.from_url(url) as raw,
        watched(url) as wire,
        chatmem.sync.connect(wire.url, prefix=prefix, ttl=60) as memory,
    ):
        history = memory.history("a", user="alice")
        for _ in range(2):  # the first time, scripts travel whole
            history.append("x")
            history.replace(0, "y")
            history.info()
            wire.reset()
        history.append("y")
        history.replace(0, "z")
        history.messages()
        history.window(messages=2)
        history.info()
        (info,) = [sent for sent in wire.sent if b"info" in sent]
        assert len(raw.execute_command(*info)) == 4
        history.update(title="t")
        memory.sessions("alice")
        indexed = [sent for sent in wire.sent if sent[1:2] == [scripts.USER.sha]]
        assert {(sent[2], len(sent)) for sent in indexed} == {(b"2", 10)}
        keys = session_keys(prefix, "a")
        append = next(sent for sent in wire.sent if sent[0] == b"EVALSHA")
        append[3 + len(keys)] = b"other:1:1"  # the token of another process
        assert len(raw.execute_command(*append)) == 5
        state = set(raw.hgetall(keys.state.decode()))
        memory.history("b", user="alice").append("x")
        untitled = set(raw.hgetall(session_keys(prefix, "b").state.decode()))
        assert untitled == {b"version", b"next", b"created", b"updated", b"recent", b"user", b"life", b"until"}
        assert state - untitled == {b"edited", b"title"}
        assert raw.exists(*user_lists(prefix, user_name("alice"))) == 2
        memory.forget("alice")
        assert raw.exists(*user_lists(prefix, user_name("alice"))) == 0


def test_round_trips(url: str, prefix: str) -> None:
    """A write to a marked session is one, and one more where the process has not heard of its marks."""
    with watched(url) as wire, chatmem.sync.connect(wire.url, prefix=prefix, ttl=600) as memory:
        history, other = memory.history("a", user="alice"), memory.history("b", user="alice")
        history.append("x")
        other.append("x")
        history.update(title="t")
        other.update(archived=True)
        memory.sessions("alice")
        with chatmem.sync.connect(wire.url, prefix=prefix, ttl=600) as fresh:
            fresh.history("warm", user="bob").append("x")
            fresh.history("warm", user="bob").update(title="x")
            operations: list[tuple[Any, int]] = [
                (lambda: history.update(pinned=True), 2),
                (lambda: history.update(title="u"), 1),
                (lambda: history.update(metadata={"a": 1}, merge=True), 2),
                (lambda: history.append("y"), 1),
                (lambda: history.replace(0, "z"), 1),
                (lambda: memory.sessions("alice"), 2),
                (lambda: memory.sessions("alice", archived=None, pinned=True, order="oldest"), 2),
                (lambda: memory.sessions("alice", title="u"), 2),
                (lambda: memory.count("alice"), 1),
                (lambda: memory.count("alice", archived=None, pinned=False, tag="t"), 1),
                (lambda: memory.history("a").append("of a user, but who?"), 2),
                (lambda: fresh.history("a", user="alice").append("first"), 2),
                (lambda: fresh.history("a", user="alice").append("second"), 1),
                (lambda: fresh.sessions("alice", archived=True), 3),
                (lambda: fresh.sessions("alice", archived=True), 2),
                (lambda: fresh.history("b", user="alice").clear(), 2),
                (history.clear, 2),
            ]
            for index, (operation, wanted) in enumerate(operations):
                wire.reset()
                operation()
                assert wire.round_trips == wanted, index
        memory.forget("alice")
        memory.forget("bob")


def test_who_uses_no_marks_needs_no_further_rights() -> None:
    """All that a server's user may do that was set up before there were marks goes on to work."""
    with run_server(debian_binary()) as url, redis.Redis.from_url(url) as admin:
        admin.execute_command("ACL", "SETUSER", "few", "on", ">pw", "~chatmem:*", *LEAST_RIGHTS.split())
        with chatmem.sync.connect(url.replace("//", "//few:pw@"), ttl=60) as memory:
            history = memory.history("a", user="alice")
            history.append(lc.HumanMessage("x", id="1"))
            history.update(title="t", metadata={"a": 1})
            history.update(metadata={"b": 1}, merge=True)
            assert memory.sessions("alice", title="T").sessions[0].metadata == {"a": 1, "b": 1}
            assert len(memory.sessions("alice", archived=None).sessions) == 1
            assert len(memory.search("alice", "x")) == 1
            memory.history("b", user="alice").append("x")
            memory.history("b", user="alice").clear()
            assert memory.forget("alice") == 1
        assert admin.acl_log() == []


def test_an_update_that_is_sent_again(url: str, prefix: str) -> None:
    """It changes nothing more. Its answer is the revision, or 0 where others have written since."""
    with (
        redis.Redis.from_url(url) as raw,
        watched(url) as wire,
        chatmem.sync.connect(wire.url, prefix=prefix, ttl=60) as memory,
        chatmem.sync.connect(url, prefix=prefix, ttl=60) as other,
    ):
        history = memory.history("a")
        history.update(title="warm")
        wire.reset()
        revision = history.update(title="mine", tags=["t"])
        (again,) = wire.sent
        assert raw.execute_command(*again)[3] == revision
        other.history("a").update(metadata={"theirs": 1})
        assert raw.execute_command(*again)[3] == 0
        info = history.info()
        assert (info.title, info.metadata, info.tags) == ("mine", {"theirs": 1}, ("t",))


async def test_none_is_missed(memory: chatmem.ChatMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """`UserIndex.every` has each session once, also one that is written to between two of its pages."""
    await fill(memory, "abcde")
    await memory.history("e", user="alice").update(archived=True)
    index, pages = memory.core.of_user("alice"), list[list[str]]()
    read = index.sessions

    async def read_and_write(**options: Any) -> chatmem.SessionPage:
        page = await read(**options)
        pages.append([info.session_id for info in page.sessions])
        if len(pages) == 1:
            await fill(memory, "ad")
        return page

    monkeypatch.setattr(user_index, "LARGEST_PAGE", 2)
    monkeypatch.setattr(index, "sessions", read_and_write)
    infos = await index.every()
    assert pages == [["a", "b"], ["c", "e"], ["a", "d"]]
    assert [(info.session_id, info.count) for info in infos] == [("d", 2), ("a", 2), ("e", 1), ("c", 1), ("b", 1)]
