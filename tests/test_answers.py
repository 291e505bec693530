"""Running answers: written by one process, followed by any number of others, stored once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem import Chunk
from chatmem.core.keys import session_keys, stream_of
from tests.conftest import Connect, client_of
from tests.servers import ANSWER_RIGHTS, wait_until

QUESTION = lc.HumanMessage("Why?", id="q")


async def parts_of(
    history: chatmem.History, answer: str, found: list[Chunk] | None = None, **options: Any
) -> list[Chunk]:
    """Return all that a reader of an answer gets; what it has so far is in the list that is given."""
    found = [] if found is None else found
    async for chunk in history.follow(answer, **options):
        found.append(chunk)
    return found


def text_of(parts: list[Chunk]) -> str:
    """Return the text that the parts before the last one add up to."""
    return "".join(message.text for part in parts if part.status is None for message in part.messages)


async def until_read(found: list[Chunk], text: str) -> None:
    """Wait until a reader has got this much."""
    await asyncio.to_thread(wait_until, lambda: text_of([*found]) == text)


async def until_sent(history: chatmem.History, answer: str, text: str) -> str:
    """Wait until a reader of an answer has got this much of it; return the cursor behind that."""
    found: list[Chunk] = []
    async with aclosing(history.follow(answer, timeout=30)) as parts:
        async for part in parts:
            found.append(part)
            if part.status is None and text_of(found) == text:
                return part.cursor
    raise AssertionError(f"readers do not get {text!r}, but {found}")


def ended(text: str, status: str, answer: str = "x") -> lc.AIMessage:
    """Return the message of an answer that did not complete."""
    return lc.AIMessage(text, id=answer, response_metadata={"answer": status})


@pytest.fixture
def rights(server_url: str) -> Iterator[None]:
    """The user with the least rights gets what answers need besides, for one test."""
    if "least:" not in server_url:
        yield
        return
    with client_of(server_url) as admin:
        admin.execute_command("ACL", "SETUSER", "least", *ANSWER_RIGHTS.split())
        yield
        admin.execute_command("ACL", "SETUSER", "least", *ANSWER_RIGHTS.replace("+", "-").split())


Following = Callable[..., None]


@pytest.fixture
def follow(server_url: str, prefix: str) -> Iterator[Following]:
    """Return what follows an answer in a memory of its own, in its thread, and puts what it gets into a list."""
    with chatmem.sync.connect(server_url, prefix=prefix, ttl=600) as memory:

        def read(found: list[Chunk], *, delay: float = 0.0, after: str | None = None) -> None:
            time.sleep(delay)
            for chunk in memory.history("a").follow("x", after=after, timeout=30):
                found.append(chunk)  # noqa: PERF402 - others look at what is there so far

        yield read


@pytest.mark.usefixtures("rights")
class TestEveryServer:
    """In both facades; see `tests.conftest`."""

    async def test_an_answer(self, connect: Connect) -> None:
        """It is there while it grows, for other memories too, and then it is stored behind its question."""
        memory, other = connect(), connect()
        history = memory.history("a")
        async with history.answer(QUESTION, id="x") as draft:
            assert (draft.id, draft.begun) == ("x", chatmem.Appended(1, 0, 0, 0))
            (running,) = (await other.history("a").info()).answers
            assert (running.id, running.stopping) == ("x", False)
            for number in range(20):
                await draft.write(f"{number} ")
                assert await other.history("a").messages() == [QUESTION]
        assert (draft.status, draft.appended) == ("complete", chatmem.Appended(2, 1, 1, 0))
        text = "".join(f"{number} " for number in range(20))
        for reader in (memory, other):
            assert await reader.history("a").messages() == [QUESTION, lc.AIMessage(text, id="x")]
        assert (await history.info()).answers == ()
        assert await parts_of(other.history("a"), "x") == [Chunk("0-0", [lc.AIMessage(text, id="x")], "complete")]

    async def test_followed(self, connect: Connect, follow: Following) -> None:
        """Readers that come at any time get all of it, each part once, and the end; and go on from any part."""
        history, found, again = connect().history("a"), [list[Chunk]() for _ in range(3)], list[Chunk]()
        with ThreadPoolExecutor(8) as pool:
            async with history.answer(QUESTION, id="x") as draft:
                readers = [
                    pool.submit(follow, parts, delay=delay) for parts, delay in zip(found, (0.0, 0.2, 0.5), strict=True)
                ]
                for number in range(60):
                    await draft.write(f"{number} ")
                    await asyncio.sleep(0.01)
                text = "".join(f"{number} " for number in range(60))
                cursor = await until_sent(history, "x", text)
                (part,) = [part async for part in history.follow("x", timeout=0.01)]
                assert (text_of([part]), part.cursor) == (text, cursor)
                readers.append(pool.submit(follow, again, after=cursor))
                await draft.write("end")
                text += "end"
                for parts in found:
                    await until_read(parts, text)
                await until_read(again, "end")
            for reader in readers:
                reader.result()
        rest, last = again
        for parts in found:
            assert text_of(parts) == text
            assert (parts[-1].status, parts[-1].messages) == ("complete", [lc.AIMessage(text, id="x")])
            assert sorted(cursors := [part.cursor for part in parts[:-1]]) == cursors
        assert (text_of([rest]), last.status) == ("end", "complete")

    async def test_stopped(self, connect: Connect) -> None:
        """From another memory: what there is stays, and says so."""
        memory, other = connect(), connect()
        history = memory.history("a")
        assert await history.stop() is False
        async with history.answer(QUESTION, id="x") as draft:
            await draft.write("So")
            assert await other.history("a").stop("y") is False
            assert await other.history("a").stop("x") is True
            assert (await other.history("a").info()).answers[0].stopping
            for _ in range(1000):
                await asyncio.sleep(0.01)
                await draft.write("")
            raise AssertionError("it was not stopped")
        assert (draft.stopping, draft.status) == (True, "stopped")
        assert await history.stop() is False
        assert (await parts_of(other.history("a"), "x"))[-1].status == "stopped"
        assert await history.messages() == [QUESTION, ended("So", "stopped")]

    async def test_one_at_a_time(self, connect: Connect) -> None:
        """A second one is a conflict that names the first, unless it is asked for."""
        history = connect().history("a")
        async with history.answer(QUESTION, id="x") as first:
            with pytest.raises(chatmem.ConflictError, match="'x'") as caught:
                async with history.answer("And?"):
                    pass
            assert (caught.value.answer, await history.count()) == ("x", 1)
            with pytest.raises(chatmem.ConflictError, match="'x'"):
                async with history.answer(id="x", alone=False):
                    pass
            async with history.answer(id="y", alone=False) as second:
                await first.write("one")
                await second.write("two")
                assert [one.id for one in (await history.info()).answers] == ["x", "y"]
                await until_sent(history, "x", "one")
                await until_sent(history, "y", "two")
            await first.write(" more")
        assert await history.messages() == [QUESTION, lc.AIMessage("two", id="y"), lc.AIMessage("one more", id="x")]
        with pytest.raises(chatmem.DuplicateIdError):
            async with history.answer(id="x"):
                pass

    async def test_failed(self, connect: Connect) -> None:
        """An error is raised on; what there is is stored, and says so."""
        history = connect().history("a")
        with pytest.raises(LookupError, match="no model"):
            async with history.answer(QUESTION, id="x") as draft:
                await draft.write("Because ")
                raise LookupError("no model")
        assert draft.status == "failed"
        assert await history.messages() == [QUESTION, ended("Because ", "failed")]

    async def test_nothing_written(self, connect: Connect) -> None:
        """Then the answer is an empty message, in a session that had none too."""
        history = connect().history("a", user="alice")
        async with history.answer(id="x"):
            assert await history.messages() == []
            assert (await history.info()).version == 0
        assert await history.messages() == [lc.AIMessage("", id="x")]

    async def test_a_lease_that_ran_out(self, connect: Connect) -> None:
        """Whoever comes stores what there is as interrupted, once; the producer learns of it."""
        memory, other = connect(), connect()
        history, theirs = memory.history("a"), other.history("a")
        await theirs.append("before")  # so that this process reads without a script
        lost = history.answer(QUESTION, id="x", lease=2)
        await lost.__aenter__()
        await lost.write("Because ")
        await until_sent(history, "x", "Because ")
        await die(lost)
        assert len(await theirs.messages()) == 2
        await asyncio.sleep(2)
        assert (await theirs.messages())[1:] == [QUESTION, ended("Because ", "interrupted")]
        assert (await history.info()).answers == ()
        async with history.answer(id="y", lease=1.5):
            await asyncio.sleep(2)  # it is alone, and says nothing, and lives
            assert len((await theirs.info()).answers) == 1

    async def test_beside_edits(self, connect: Connect) -> None:
        """What would take away what it answers is a conflict; what would not is done."""
        history = connect().history("a")
        await history.append("0", "1")
        async with history.answer(QUESTION, id="x"):
            refused: list[Any] = [
                history.branch(after=0),
                history.switch(0),
                history.delete_branch(0),
                history.delete("q"),
                history.truncate(after=1),
                history.compact(up_to="q", replacement=["s"]),
            ]
            for call in refused:
                with pytest.raises(chatmem.ConflictError, match="'x'") as caught:
                    await call
                assert caught.value.answer == "x"
            await history.delete(0)
            await history.replace("q", "Why so?")
            await history.annotate("q", {"a": 1})
            await history.update(title="t")
            await history.summarize(up_to=1, summary=["s"])
            await history.append("beside")
            await history.truncate(after="q")
        assert [message.text for message in await history.messages()] == ["1", "Why so?", ""]

    async def test_cleared(self, connect: Connect) -> None:
        """The producer learns that there is nothing to answer any more, and nothing is stored."""
        memory, other = connect(), connect()
        history = memory.history("a", user="alice")
        with pytest.raises(chatmem.ConflictError, match="does not run any more"):
            async with history.answer(QUESTION, id="x") as draft:
                await draft.write("Because ")
                await until_sent(history, "x", "Because ")
                assert await other.forget("alice") == 1
                for _ in range(1000):
                    await draft.write("more")
                    await asyncio.sleep(0.01)
                raise AssertionError("it did not learn that")
        assert await history.count() == 0

    async def test_cleared_at_the_end(self, connect: Connect) -> None:
        """The same where nothing is written afterwards."""
        history = connect().history("a")
        with pytest.raises(chatmem.ConflictError, match="does not run any more"):
            async with history.answer(QUESTION, id="x"):
                await history.clear()
        assert await history.count() == 0

    async def test_in_lists(self, connect: Connect) -> None:
        """A list of chats shows which of them are answered, and settles those whose producer is gone."""
        memory = connect()
        for session in "abc":
            await memory.history(session, user="alice").append(session)
        lost = memory.history("c", user="alice").answer(id="z", lease=0.2)
        await lost.__aenter__()
        await die(lost)
        await asyncio.sleep(0.3)
        async with memory.history("b", user="alice").answer("Why?", id="x"):
            found = {one.session_id: one for one in (await memory.sessions("alice")).sessions}
            assert {name: [one.id for one in info.answers] for name, info in found.items()} == {
                "a": [],
                "b": ["x"],
                "c": [],
            }
            assert found["c"].count == 2
        assert all(not one.answers for one in (await memory.sessions("alice")).sessions)

    async def test_its_keys(self, connect: Connect, raw: redis.Redis, prefix: str) -> None:
        """The chunks expire with the session, live as long as the answer at least, and go with its end."""
        history = connect(ttl=1).history("a")
        keys = session_keys(prefix, "a")
        async with history.answer(QUESTION, id="x", lease=3) as draft:
            pipeline: Any = raw.pipeline()  # the server does all of it at one time
            of_messages, of_stream = pipeline.pttl(keys.messages).pttl(stream_of(keys)).execute()
            assert 55_000 < of_messages < 64_000
            assert abs(of_messages - of_stream) < 100
            await asyncio.sleep(1.2)
            await draft.write("late")
        assert await history.messages() == [QUESTION, lc.AIMessage("late", id="x")]
        assert raw.exists(stream_of(keys)) == 0
        assert 0 < raw.pttl(keys.state) <= 1000
        forever = connect(ttl=None).history("a")
        async with forever.answer(id="x"):
            assert raw.pttl(f"{prefix}-forever:{{a}}:s") == -1
            assert 86_000_000 < raw.pttl(f"{prefix}-forever:{{a}}:a") <= 86_400_000


async def die(draft: Any) -> None:
    """Let a producer fall silent, as if its process had been killed."""
    core = getattr(draft, "_wrapped", draft)
    core = getattr(core, "_core", core)
    await core._background.stop(None)


OPERATIONS: list[Callable[[Any], Any]] = [
    lambda history: history.messages(),
    lambda history: history.info(),
    lambda history: history.count(),
    lambda history: history.page(),
    lambda history: history.window(),
    lambda history: history.append("next"),
    lambda history: history.update(title="t"),
    lambda history: history.annotate("q", {"a": 1}),
    lambda history: history.touch(),
    lambda history: history.stop(),
    lambda history: history.branch(after=0),
    lambda history: history.fork("b"),
    lambda history: parts_of(history, "x"),
    lambda history: anext(history.changes(after=0)),
]


@pytest.mark.parametrize("call", OPERATIONS)
@pytest.mark.parametrize("user", [None, "alice"])
async def test_everybody_settles(memory: chatmem.ChatMemory, call: Any, user: str | None) -> None:
    """Each operation meets an answer whose producer is gone, ends it, and does what it is for."""
    history = memory.history("a", user=user)
    lost = history.answer(QUESTION, id="x", lease=1)
    await lost.__aenter__()
    await lost.write("Because ")
    await until_sent(history, "x", "Because ")
    await die(lost)
    await asyncio.sleep(1)
    await call(history)
    entries = [entry async for entry in history.entries(all_branches=True)]
    assert [entry.message for entry in entries][1] == ended("Because ", "interrupted")


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
        yield memory
