"""A session is one thing: what every operation does where its three keys are not of one life.

Each key is absent, of this life, of an earlier life, or of a wrong type. In each of these 64 states an operation does
what it should, mends the session exactly, or raises a TornSessionError that says what to do: see docs/sessions.md.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis
from langchain_core.messages import HumanMessage

import chatmem
from chatmem.core.keys import session_keys

ABSENT, OWN, OTHER, WRONG = "absent", "own", "other", "wrong type"
STATES = list(itertools.product((ABSENT, OWN, OTHER, WRONG), repeat=3))
OLD, NEW = [f"old {n}" for n in range(4)], [f"new {n}" for n in range(4)]

whole, orphan, lost, torn, mends, mends_for_user, other = (
    "whole",
    "orphan",
    "lost",
    "torn",
    "mends",
    "mends state",
    "other",
)


def expected(messages: str, ids: str, state: str) -> str:
    """Return what is to be said of a state of the three keys, as the table of docs/sessions.md has it."""
    if WRONG in (messages, ids, state):
        return torn
    if state == ABSENT:
        if messages == ABSENT:
            return whole if ids == ABSENT else orphan
        return mends_for_user
    if messages == ABSENT:
        return lost
    if messages != state:
        return other
    return whole if ids == state else mends


class Session:
    """A session of alice's whose keys are taken from this life, from the one before it, or from nobody."""

    def __init__(self, url: str, raw: redis.Redis, prefix: str) -> None:
        self.raw, self.keys, self.url, self.prefix = raw, session_keys(prefix, "s"), url, prefix
        self.dumps: dict[str, list[bytes]] = {}

    async def live_twice(self) -> None:
        """Begin, erase and begin again, and keep what lies there in both lives."""
        async with chatmem.connect(self.url, prefix=self.prefix, ttl=600) as memory:
            history = memory.history("s", user="alice")
            for name, texts in ((OTHER, OLD), (OWN, NEW)):
                await history.clear()
                await history.append(*(HumanMessage(text, id=f"m{n}") for n, text in enumerate(texts)))
                self.dumps[name] = [self.raw.dump(key) or b"" for key in self.keys]

    def put(self, *states: str) -> None:
        """Put each key into a state."""
        for index, (key, state) in enumerate(zip(self.keys, states, strict=True)):
            self.raw.delete(key)
            if state == WRONG:
                self.raw.set(key, "of somebody else", ex=600)
            elif state != ABSENT:
                self.raw.restore(key, 600_000, self.dumps[state][index])

    def there(self) -> list[str]:
        """Return which keys there are."""
        return [name for name, key in zip("mis", self.keys, strict=True) if self.raw.exists(key)]


@pytest.fixture
def raw(url: str, prefix: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client
        for key in client.scan_iter(f"{prefix}*"):
            client.delete(key)


@pytest.fixture
async def session(url: str, raw: redis.Redis, prefix: str) -> Session:
    session = Session(url, raw, prefix)
    await session.live_twice()
    return session


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
        yield memory


async def told(operation: Any) -> Any:
    """Return what an operation returns, or the error of chatmem's that it raises."""
    try:
        return await operation
    except chatmem.ChatMemError as error:
        return error


def texts_of(states: tuple[str, ...]) -> list[str]:
    return {OWN: NEW, OTHER: OLD}.get(states[0], [])


def is_torn(said: Any) -> bool:
    return isinstance(said, chatmem.TornSessionError) and said.session == "s" and bool(said.reason)


READS = {
    "messages": lambda history: history.messages(),
    "last": lambda history: history.messages(last=2),
    "window": lambda history: history.window(messages=10),
    "page": lambda history: history.page(),
    "search": lambda history: history.search("old new"),
    "count": lambda history: history.count(),
}
LISTED = ("messages", "last")
"""what reads the list alone, if there is a state"""


@pytest.mark.parametrize("read", READS)
async def test_reads(session: Session, read: str) -> None:
    """What is read is what the list holds, or an error; an empty answer is given for an absent session alone."""
    for states in STATES:
        session.put(*states)
        async with chatmem.connect(session.url, prefix=session.prefix) as memory:
            said, kind = await told(READS[read](memory.history("s"))), expected(*states)
        found = said if isinstance(said, int) else len(getattr(said, "entries", said)) if not is_torn(said) else None
        if kind == whole and states[0] == ABSENT:
            assert found == 0, states
        elif kind in (torn, lost, orphan) and not (
            read in LISTED and states[0] in (OWN, OTHER) and states[2] != ABSENT
        ):
            assert is_torn(said), (states, said)
        else:
            assert found == (2 if read == "last" else 4), (states, said)


@pytest.mark.parametrize("read", READS)
async def test_reads_of_a_user(memory: chatmem.ChatMemory, session: Session, read: str) -> None:
    """They go by the state, or by what the index says of the owner; nobody else reads anything."""
    for states in STATES:
        kind = expected(*states)
        session.put(*states)
        said = await told(READS[read](memory.history("s", user="bob")))
        if states != (ABSENT,) * 3:
            assert isinstance(said, chatmem.ChatMemError), (states, said)
        session.put(*states)
        said = await told(READS[read](memory.history("s", user="alice")))
        readable = kind in (whole, mends) or (kind == mends_for_user and states[1] in (OWN, OTHER))
        assert isinstance(said, chatmem.ChatMemError) != readable, (states, said)


async def test_get(memory: chatmem.ChatMemory, session: Session) -> None:
    """By id it is that message, whatever the index said, or an error."""
    for states in STATES:
        session.put(*states)
        said, kind = await told(memory.history("s").get("m1")), expected(*states)
        if kind in (torn, lost, orphan, other):
            assert is_torn(said), (states, said)
        elif states[0] == ABSENT:
            assert said is None
        else:
            assert isinstance(said, chatmem.Entry)
            assert (said.id, said.message and said.message.content) == ("m1", texts_of(states)[1])


@pytest.mark.parametrize("user", [None, "alice"])
async def test_appends(memory: chatmem.ChatMemory, session: Session, user: str | None) -> None:
    """A message is acknowledged only where it is stored, beside those that were there, and never as another's."""
    for states in STATES:
        session.put(*states)
        kind = expected(*states)
        history = memory.history("s", user=user)
        before = [session.raw.dump(key) for key in session.keys]
        said = await told(
            history.append(HumanMessage("one more", id="m9"), HumanMessage("and one"), idempotency_key=None)
        )
        if kind in (torn, lost, other) or (kind == mends_for_user and user and states[1] == ABSENT):
            assert is_torn(said), (states, said)
            assert [session.raw.dump(key) for key in session.keys] == before, states
            continue
        texts = texts_of(states)
        assert isinstance(said, chatmem.Appended), (states, said)
        assert said.duplicates == 0
        assert [one.content for one in await history.messages()] == [*texts, "one more", "and one"], states
        assert said.first == len(texts), states  # no position is given twice
        again = await history.append(*(HumanMessage(text, id=f"m{n}") for n, text in enumerate(texts)))
        assert again.duplicates == len(texts), states
        entry = await history.get("m9")
        assert entry is not None
        assert entry.seq == said.first
        assert session.there() == ["m", "i", "s"]
        assert len({session.raw.execute_command("PEXPIRETIME", key) for key in session.keys}) == 1


async def test_a_stale_id_is_no_duplicate(memory: chatmem.ChatMemory, session: Session) -> None:
    """A message with the id of an earlier life's is stored, found and removed as itself."""
    for states in STATES:
        session.put(*states)
        history = memory.history("s")
        said = await told(history.append(HumanMessage("anew", id="m1")))
        if isinstance(said, chatmem.Appended):
            assert said.duplicates == 0, states
            entry = await history.get("m1")
            assert entry is not None
            assert entry.message is not None
            assert entry.message.content == "anew", states
            assert (await history.delete("m1")).count == 1
            assert "anew" not in [one.content for one in await history.messages()]
        elif not is_torn(said):
            assert isinstance(said, chatmem.DuplicateIdError), (states, said)
            assert states[0] in (OWN, OTHER)


async def keep_two(memory: chatmem.ChatMemory, session_id: str) -> chatmem.Edited:
    """Keep the first two messages, and put another behind them."""
    writer = memory.core.writer(session_id)
    return await writer.keep(0, 1, await writer.encode([HumanMessage("new", id="new")]))


async def test_edits(memory: chatmem.ChatMemory, session: Session) -> None:
    """An edit changes the message that it names, or nothing."""
    edits: dict[str, Any] = {
        "delete": lambda history: history.delete("m1"),
        "replace": lambda history: history.replace("m1", "edited"),
        "truncate": lambda history: history.truncate(after="m1"),
        "compact": lambda history: history.compact(up_to="m1", replacement=["summary"]),
        "put": lambda history: history.put(HumanMessage("edited", id="m1")),
        "keep": lambda history: keep_two(memory, history.session_id),
    }
    wanted: dict[str, Any] = {
        "delete": lambda texts: [texts[0], *texts[2:]],
        "replace": lambda texts: [texts[0], "edited", *texts[2:]],
        "truncate": lambda texts: texts[:2],
        "compact": lambda texts: ["summary", *texts[2:]],
        "put": lambda texts: [texts[0], "edited", *texts[2:]],
        "keep": lambda texts: [*texts[:2], "new"],
    }
    for name, states in itertools.product(edits, STATES):
        session.put(*states)
        kind = expected(*states)
        said = await told(edits[name](memory.history("s")))
        if kind in (torn, lost, other) or (kind == orphan and name != "put"):
            assert is_torn(said), (name, states, said)
        elif states[0] != ABSENT:
            assert isinstance(said, chatmem.Edited), (name, states, said)
            found = [one.content for one in await memory.history("s").messages()]
            assert found == wanted[name](texts_of(states)), (name, states)


async def test_versions_go_on(memory: chatmem.ChatMemory, session: Session) -> None:
    """A version that was given to somebody matches nothing else, also where the state was lost."""
    for states in STATES:
        if states == (ABSENT,) * 3:
            continue
        session.put(*states)
        version = await told(memory.history("s").append("x"))
        if isinstance(version, chatmem.Appended) and states[2] == ABSENT and states[0] != ABSENT:
            assert version.version > 1000
            with pytest.raises(chatmem.ConflictError):
                await memory.history("s").append("y", expected_version=1)


async def test_nobody_becomes_the_owner(memory: chatmem.ChatMemory, session: Session) -> None:
    """Who writes for another user gets nothing of alice's, in no state."""
    for states in STATES:
        session.put(*states)
        bob = memory.history("s", user="bob")
        await told(bob.append("mine"))
        said = await told(bob.messages())
        if not isinstance(said, chatmem.ChatMemError):
            assert [one.content for one in said] == ["mine"], states
            assert not texts_of(states), states


async def test_clear_and_forget_erase_what_is_left(memory: chatmem.ChatMemory, session: Session) -> None:
    """Of every state, also of keys of a wrong type."""
    for states in STATES:
        await memory.history("s", user="alice").append("x")  # she has it on her list
        session.put(*states)
        await memory.forget("alice")
        assert session.there() == [], states
        session.put(*states)
        await memory.history("s").clear()
        assert session.there() == [], states


async def test_others_erase_nothing_of_an_owner_that_is_known(memory: chatmem.ChatMemory, session: Session) -> None:
    """The state says whose it is, and where that is lost, the index."""
    for states in STATES:
        if states[2] in (OWN, OTHER) or states[1] in (OWN, OTHER):
            session.put(*states)
            before = session.there()
            with pytest.raises(chatmem.NotYoursError):
                await memory.history("s", user="bob").clear()
            assert session.there() == before, states


async def test_a_users_list(memory: chatmem.ChatMemory, session: Session, caplog: pytest.LogCaptureFixture) -> None:
    """One torn session costs itself alone, and is said to be there."""
    await memory.history("t", user="alice").append("fine")
    for states in STATES:
        session.put(*states)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "chatmem"):
            listed = [info.session_id for info in (await memory.sessions("alice")).sessions]
            found = await memory.search("alice", "fine")
        assert "t" in listed, states
        assert len(found) == 1, states
        if expected(*states) in (torn, lost):
            assert "s" not in listed or states[1] == WRONG, states
        session.put(OWN, OWN, OWN)
        await memory.history("s", user="alice").append()


async def test_sessions_without_a_life(memory: chatmem.ChatMemory, session: Session) -> None:
    """Those that an earlier release wrote are read and written as they were, and get a life with the next write."""
    session.put(OWN, OWN, OWN)
    session.raw.hdel(session.keys.state, "life", "until", "edited", "recent")
    session.raw.hdel(session.keys.ids, "e")
    history = memory.history("s", user="alice")
    assert [one.content for one in await history.messages()] == NEW
    assert [one.content for one in await history.window(messages=10)] == NEW
    assert (await history.append(HumanMessage("new 1", id="m1"))).duplicates == 1
    done = await history.append(HumanMessage("more", id="m5"), expected_version=1)
    assert (done.version, done.first) == (2, 4)
    assert session.raw.hexists(session.keys.state, "life")
    assert session.raw.hexists(session.keys.ids, "e")


async def test_keys_of_an_index_that_was_lost(memory: chatmem.ChatMemory, session: Session) -> None:
    """Nobody knows whether an append was done under its key: it is not done again in silence; others are."""
    history = memory.history("k")
    await history.append("x", idempotency_key="first")
    keys = session_keys(session.prefix, "k")
    session.raw.delete(keys.ids)
    with pytest.raises(chatmem.TornSessionError, match="idempotency key") as caught:
        await history.append("x", idempotency_key="first")
    assert caught.value.reason == "keys"
    await history.append(HumanMessage("y", id="y"))
    with pytest.raises(chatmem.TornSessionError):
        await history.append("x", idempotency_key="first")
    await history.clear()
    assert (await history.append("x", idempotency_key="first")).version == 1


async def test_what_is_rebuilt_expires_with_the_rest(memory: chatmem.ChatMemory, session: Session, url: str) -> None:
    """Also where somebody writes who has no time to live."""
    async with chatmem.connect(url, prefix=session.prefix) as forever:
        for gone in itertools.chain(*(itertools.combinations(range(1, 3), count) for count in (1, 2))):
            history = memory.history("t")
            await history.clear()
            await history.append(*(HumanMessage(str(n), id=f"m{n}") for n in range(3)))
            session.raw.delete(*(session_keys(session.prefix, "t")[index] for index in gone))
            await forever.history("t").append(HumanMessage("more", id="m9"))
            deadlines = {session.raw.execute_command("PEXPIRETIME", key) for key in session_keys(session.prefix, "t")}
            assert len(deadlines) == 1
            assert -1 not in deadlines


async def test_several_messages_with_one_id_are_mended(memory: chatmem.ChatMemory, session: Session) -> None:
    """The first is found by it, and none of them is stored again."""
    history = memory.history("twins")
    said = [HumanMessage(text, id="item_0") for text in ("one", "two", "three")]
    for message in said:
        await history.append(message, on_known_id="add")
    session.raw.delete(session_keys(session.prefix, "twins").ids)
    for message in said:
        assert (await history.append(message, on_known_id="add")).duplicates == 1
    entry = await history.get("item_0")
    assert entry is not None
    assert entry.seq == 0


async def test_a_long_session_is_mended_in_slices(memory: chatmem.ChatMemory, session: Session) -> None:
    """An index of more ids than one slice holds is rebuilt whole, also after truncation and compaction."""
    history = memory.history("long")
    await history.append(*(HumanMessage(f"text {n}", id=f"m{n}") for n in range(1000)))
    await history.compact(up_to="m9", replacement=[HumanMessage("summary", id="sum")])
    await history.truncate(after="m900")
    keys = session_keys(session.prefix, "long")
    for gone in ((keys.ids,), (keys.state,), (keys.ids, keys.state)):
        count = await history.count()
        session.raw.delete(*gone)
        done = await history.append(HumanMessage("more"), HumanMessage("text 500", id="m500"))
        assert (done.duplicates, await history.count()) == (1, count + 1)
        assert keys.state not in gone or done.version > 1000
        entry = await history.get("sum")
        assert entry is not None
        assert entry.seq == 0
        assert await history.get("m950") is None
    assert done.last is not None
    assert done.last >= 1000 + 2
