"""How answers end otherwise than they should: cancelled, killed, evicted, dropped; and who reads them encrypted."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem import producers
from chatmem.core.answering import following
from chatmem.core.keys import session_keys, stream_of
from tests.servers import LEAST_RIGHTS, debian_binary, run_server, wait_until
from tests.test_answers import QUESTION, die, ended, parts_of, text_of, until_read, until_sent
from tests.test_kill import talking


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
        yield memory


@pytest.fixture
def raw(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


async def some(history: chatmem.History) -> None:
    """Write an answer."""
    async with history.answer(QUESTION, id="x") as draft:
        for number in range(5):
            await draft.write(f"{number} ")
            await asyncio.sleep(0.03)


async def test_cancelled_anywhere(memory: chatmem.ChatMemory) -> None:
    """The answer is over when its task is; question and answer are there once, or both are not."""
    await memory.ping()
    whole, ends = "0 1 2 3 4 ", set[str | None]()
    for step in range(120):
        history = memory.history(f"s{step}")
        task = asyncio.create_task(some(history))
        for _ in range(step):
            await asyncio.sleep(0.0 if step < 40 else 0.002)
        task.cancel()
        await asyncio.wait([task])
        messages = await history.messages()
        assert (await history.info()).answers == ()
        if messages:
            assert [one.id for one in messages] == ["q", "x"]
            assert whole.startswith(messages[1].text)
            end = messages[1].response_metadata.get("answer")
            assert end == ("interrupted" if task.cancelled() and messages[1].text != whole else end)
            ends.add(end)
        else:
            assert task.cancelled()
            ends.add("nothing")
    assert {"nothing", "interrupted"} <= ends <= {"nothing", "interrupted", None}


@pytest.mark.parametrize("pushes", [True, False])
async def test_a_reader_that_never_waits_for_long(
    memory: chatmem.ChatMemory, monkeypatch: pytest.MonkeyPatch, *, pushes: bool
) -> None:
    """It sends a sign of life each moment, say, and hears of the end nevertheless, though nobody tells it."""
    monkeypatch.setattr(following, "CHECKING", 1.0 if pushes else 600.0)
    history = memory.history("a")
    draft = history.answer(QUESTION, id="x", lease=1)
    await draft.__aenter__()
    await draft.write("Because")
    await until_sent(history, "x", "Because")
    reading, last = history.follow("x"), None
    if not pushes:
        monkeypatch.setattr(reading, "_published", False)
    await die(draft)
    async with asyncio.timeout(15):
        while last is None or last.status is None:
            with suppress(TimeoutError):
                last = await asyncio.wait_for(anext(reading), 0.1)
    assert (last.status, last.messages) == ("interrupted", [ended("Because", "interrupted")])


async def test_a_reader_that_is_cancelled_anywhere(memory: chatmem.ChatMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may iterate on, and gets the end, however long that takes to decode: each pause in there is cancelled once."""
    history = memory.history("a")
    said = [lc.AIMessage(f"{number}" * 300_000) for number in range(6)]
    async with history.answer(QUESTION, id="x") as draft:
        await draft.write(*said)
    pauses, cancelled = 0, 0

    async def checkpoint() -> None:
        nonlocal pauses
        pauses += 1
        task = asyncio.current_task()
        if pauses > cancelled and task is not None:
            task.cancel()
        await asyncio.sleep(0)

    monkeypatch.setattr(history._session.transport, "checkpoint", checkpoint)
    reading, last = history.follow("x", timeout=30), None
    while last is None:
        pauses = 0
        try:
            last = await asyncio.create_task(anext(reading))
        except asyncio.CancelledError:
            cancelled += 1
    assert cancelled >= 5
    assert last.status == "complete"
    assert [one.text for one in last.messages] == [one.text for one in said]


async def test_cancelled_by_its_caller_while_it_is_stopped(memory: chatmem.ChatMemory) -> None:
    """A cancellation from outside is raised on, whatever else happens."""
    history, begun = memory.history("a"), asyncio.Event()

    async def produce() -> None:
        async with history.answer(id="x") as draft:
            await draft.write("So")
            begun.set()
            await asyncio.sleep(10)

    task = asyncio.create_task(produce())
    await begun.wait()
    await history.stop()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (await history.messages())[0].text == "So"


async def test_stopped_while_a_library_swallows_it(memory: chatmem.ChatMemory) -> None:
    """The next word ends it, in the task of the block and in others, and later cancellations are the caller's own."""
    history = memory.history("a")
    draft = history.answer(QUESTION, id="x")
    words: list[int] = []

    async def talk() -> None:
        for number in range(1000):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.02)
            words.append(number)
            await draft.write(f"{number} ")

    async def talk_in_groups() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(talk())
            tasks.create_task(talk())

    for say in (talk, talk_in_groups):
        draft, words = history.answer(id=say.__name__), []
        async with draft:
            asyncio.get_running_loop().call_later(0.2, lambda: asyncio.ensure_future(history.stop()))
            await say()
        assert draft.status == "stopped"
        assert len(words) < 500
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        stored = (await history.messages(last=1))[0]
        assert stored.text == "".join(f"{number} " for number in words)


async def test_a_generator_that_is_dropped(memory: chatmem.ChatMemory) -> None:
    """A block within a generator ends in another task, when the generator is collected: what there is is stored."""
    history = memory.history("a")

    async def stream() -> AsyncIterator[str]:
        async with history.answer(QUESTION, id="x") as draft:
            for number in range(100):
                await draft.write(str(number))
                yield str(number)

    async def request() -> None:
        async for _ in stream():
            return

    await asyncio.create_task(request())
    gc.collect()
    parts = await parts_of(history, "x", timeout=10)
    assert parts[-1].status == "interrupted"
    assert parts[-1].messages[0].text == "0"


async def test_closing_the_memory(url: str, prefix: str) -> None:
    """Answers that it runs are interrupted, with what there is; those that are over stay as they are."""
    memory, begun = chatmem.connect(url, prefix=prefix, ttl=600), asyncio.Event()

    async def produce(draft: chatmem.Draft) -> None:
        await draft.write("Because ")
        begun.set()
        await asyncio.sleep(100)

    async def fail(draft: chatmem.Draft) -> None:
        await draft.write("Because ")
        raise LookupError("no model")

    await memory.answers.start(memory.history("a"), produce, QUESTION, id="x")
    await memory.answers.start(memory.history("b"), fail, QUESTION, id="x")
    await begun.wait()
    assert (await parts_of(memory.history("b"), "x", timeout=30))[-1].status == "failed"
    await memory.aclose()
    async with chatmem.connect(url, prefix=prefix) as other:
        assert (await other.history("a").messages())[1:] == [ended("Because ", "interrupted")]
        assert (await other.history("b").messages())[1:] == [ended("Because ", "failed")]


async def test_closing_the_memory_while_a_producer_swallows_it(
    url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cancelled again, so closing does not wait until it ends by itself."""
    monkeypatch.setattr(producers, "LAST_CALL", 0.2)
    memory, begun = chatmem.connect(url, prefix=prefix, ttl=600), asyncio.Event()

    async def produce(draft: chatmem.Draft) -> None:
        await draft.write("Because ")
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(100)
        await draft.write("of ")
        await asyncio.sleep(100)

    await memory.answers.start(memory.history("a"), produce, QUESTION, id="x")
    await begun.wait()
    async with asyncio.timeout(30):
        await memory.aclose()
    async with chatmem.connect(url, prefix=prefix) as other:
        assert (await other.history("a").messages())[1:] == [ended("Because of ", "interrupted")]


async def test_closing_the_memory_before_a_producer_began(memory: chatmem.ChatMemory) -> None:
    """Who starts it then is told, and does not wait for ever."""
    history = memory.history("a")

    async def produce(draft: chatmem.Draft) -> None:
        raise AssertionError("it never began")

    starting = asyncio.create_task(memory.answers.start(history, produce, QUESTION))
    closing = asyncio.create_task(memory.answers.aclose())  # its first step comes before the producer's
    await asyncio.wait([starting, closing], timeout=10)
    assert closing.done()
    assert starting.cancelled()
    assert await history.count() == 0


async def test_a_producer_that_is_started_wrong(memory: chatmem.ChatMemory) -> None:
    """What cannot begin is an error for who starts it."""
    history = memory.history("a")
    with pytest.raises(ValueError, match="produce must be"):
        await memory.answers.start(history, ["x"], "Why?")  # type: ignore[arg-type]
    await history.append(lc.HumanMessage("x", id="x"))
    with pytest.raises(chatmem.DuplicateIdError):
        await memory.answers.start(history, parts_of, "Why?", id="x")  # type: ignore[arg-type]
    with pytest.raises(chatmem.ConflictError, match="version 1"):
        await memory.answers.start(history, parts_of, "Why?", expected_version=7)  # type: ignore[arg-type]
    assert await history.count() == 1


async def test_a_producer_that_is_killed(memory: chatmem.ChatMemory, url: str, prefix: str) -> None:
    """kill -9: its readers get what it sent, and the end once the lease is over; so does the conversation."""
    with talking(url, prefix, "3", module="tests.answering") as talk:
        assert await asyncio.to_thread(talk.say, "Because") == "sent"
        reader = asyncio.create_task(parts_of(memory.history("s"), "x", timeout=20))
        assert await asyncio.to_thread(talk.say, "it") == "sent"
    assert len((await memory.history("s").info()).answers) == 1
    parts = await reader
    assert text_of(parts) == "Because it "
    assert (parts[-1].status, parts[-1].messages) == ("interrupted", [ended("Because it ", "interrupted")])
    assert [one.text for one in await memory.history("s").messages()] == ["Why?", "Because it "]
    await memory.history("s").append("Again?")
    async with memory.history("s").answer(id="y") as draft:
        await draft.write("Yes.")
    assert await memory.history("s").count() == 4


@pytest.mark.parametrize("lost", ["i", "s", "is"])
async def test_evicted_beside_it(memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str, lost: str) -> None:
    """An index or a state that is lost is rebuilt, and the answer goes on, for its readers too."""
    history = memory.history("a")
    async with history.answer(QUESTION, id="x") as draft:
        await draft.write("Because ")
        found: list[chatmem.Chunk] = []
        reader = asyncio.create_task(parts_of(history, "x", found, timeout=30))
        await until_read(found, "Because ")
        raw.unlink(*(f"{prefix}:{{a}}:{name}" for name in lost))
        if lost != "i":
            assert await history.get("q") is not None
            assert [one.id for one in (await history.info()).answers] == ["x"]
        await draft.write("it is.")
        await until_read(found, "Because it is.")
    assert await history.messages() == [QUESTION, lc.AIMessage("Because it is.", id="x")]
    parts = await reader
    assert (text_of(parts), parts[-1].status) == ("Because it is.", "complete")


async def test_evicted_chunks(memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str) -> None:
    """Without the stream the answer goes on and is stored: its producer has all of it."""
    history = memory.history("a")
    async with history.answer(QUESTION, id="x") as draft:
        await draft.write("Because ")
        await until_sent(history, "x", "Because ")
        stream = stream_of(session_keys(prefix, "a"))
        raw.unlink(stream)
        await draft.write("it is.")
        await asyncio.to_thread(wait_until, lambda: raw.exists(stream))
        assert 0 < raw.pttl(stream) <= 600_000
    assert await history.messages() == [QUESTION, lc.AIMessage("Because it is.", id="x")]


@pytest.mark.parametrize("dies", [False, True])
async def test_somebody_elses_chunks(memory: chatmem.ChatMemory, raw: redis.Redis, prefix: str, *, dies: bool) -> None:
    """What is written under the stream's name ends the answer, not the conversation, and what was said is kept."""
    history = memory.history("a")
    draft = history.answer(QUESTION, id="x", lease=1)
    await draft.__aenter__()
    await draft.write("Because ")
    await until_sent(history, "x", "Because ")
    if dies:
        await die(draft)
    raw.set(stream_of(session_keys(prefix, "a")), "mine", keepttl=True)
    if dies:
        await asyncio.sleep(1)
        assert await history.messages() == [QUESTION, ended("", "interrupted")]
    else:
        await draft.write("it is.")
        with suppress(asyncio.CancelledError):  # as the block would end
            await asyncio.sleep(5)
        with pytest.raises(chatmem.CorruptRecordError):
            await draft.__aexit__(None, None, None)
        assert await history.messages() == [QUESTION, ended("Because it is.", "failed")]
        assert draft.status == "failed"
    assert not raw.exists(stream_of(session_keys(prefix, "a")))


async def test_encrypted(url: str, prefix: str, raw: redis.Redis) -> None:
    """Chunks are readable with the keys only, in their own places; what there is is stored encrypted, too."""
    keys = chatmem.KeyRing({"k": b"k" * 32})
    stream = stream_of(session_keys(prefix, "a"))
    async with (
        chatmem.connect(url, prefix=prefix, ttl=600, encryption=keys) as memory,
        chatmem.connect(url, prefix=prefix, ttl=600) as plain,
    ):
        history = memory.history("a")
        lost = history.answer(QUESTION, id="x", lease=2)
        await lost.__aenter__()
        for word, text in (("a secret ", "a secret "), ("of mine", "a secret of mine")):
            await lost.write(word)
            await until_sent(history, "x", text)
        await die(lost)
        entries: Any = raw.xrange(stream)
        assert len(entries) == 3
        assert b"secret" not in str(entries).encode()
        parts = [part async for part in history.follow("x", timeout=0.05)]
        assert text_of(parts) == "a secret of mine"
        assert text_of([part async for part in plain.history("a").follow("x", timeout=0.05)]) == ""
        for (entry, fields), (_, other) in zip(entries[1:], entries[:0:-1], strict=True):  # each has the other's record
            raw.xdel(stream, entry)
            raw.xadd(stream, {**fields, b"r": other[b"r"]})
        assert text_of([part async for part in history.follow("x", timeout=0.05)]) == ""
        await asyncio.sleep(2)
        assert (await history.messages())[1:] == [ended("", "interrupted")]
        assert await plain.history("a").messages() == []


async def test_a_user_without_the_right(prefix: str) -> None:
    """The error says which right is missing, and nothing is stored."""
    with run_server(debian_binary()) as url, redis.Redis.from_url(url) as admin:
        admin.execute_command("ACL", "SETUSER", "least", "on", ">s3cret", "~*", *LEAST_RIGHTS.split())
        async with chatmem.connect(url.replace("redis://", "redis://least:s3cret@"), prefix=prefix) as memory:
            with pytest.raises(chatmem.UnavailableError, match="right") as caught:
                async with memory.history("a").answer(QUESTION):
                    pass
            assert caught.value.lacks_right
            assert await memory.history("a").count() == 0


async def test_in_threads(url: str, prefix: str) -> None:
    """Over a blocking client, which cannot be told: a stop is heard within a second."""
    with redis.Redis.from_url(url) as client:
        async with chatmem.connect(client=client, prefix=prefix, ttl=600) as memory:
            history, found = memory.history("a"), list[chatmem.Chunk]()
            async with asyncio.TaskGroup() as group, history.answer(QUESTION, id="x") as draft:
                reader = group.create_task(parts_of(history, "x", found))
                await draft.write("So")
                await until_read(found, "So")
                await history.stop("x")
                await asyncio.sleep(10)
            parts = reader.result()
            assert (text_of(parts), parts[-1].status) == ("So", "stopped")


def test_under_trio(url: str, prefix: str) -> None:
    """The block is cancelled by a stop there too, and by whoever cancels it."""
    trio = pytest.importorskip("trio")

    async def main() -> None:
        async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
            history = memory.history("a")

            async def stop() -> None:
                assert await history.stop()

            async with trio.open_nursery() as nursery, history.answer(QUESTION, id="x") as draft:
                await draft.write("So")
                nursery.start_soon(stop)
                await trio.sleep(10)
            assert draft.status == "stopped"
            with trio.CancelScope() as scope:
                async with history.answer(id="y") as draft:
                    await draft.write("Because")
                    scope.cancel()
                    await trio.sleep(10)
            assert draft.status == "interrupted"
            with pytest.raises(LookupError):
                async with history.answer(id="z"):
                    raise LookupError
            assert [one.text for one in await history.messages()] == ["Why?", "So", "Because", ""]

    trio.run(main)


def test_interrupted_by_the_keyboard(url: str, prefix: str) -> None:
    """Synchronous code that is interrupted stores what there is."""
    with closing(chatmem.sync.connect(url, prefix=prefix, ttl=600)) as memory:
        history = memory.history("a")
        with pytest.raises(KeyboardInterrupt), history.answer(QUESTION, id="x") as draft:
            draft.write("So")
            raise KeyboardInterrupt
        assert (draft.status, history.messages()[1:]) == ("interrupted", [ended("So", "interrupted")])


@pytest.mark.parametrize(
    ("options", "wrong"),
    [({"id": ""}, "id"), ({"id": 7}, "id"), ({"lease": 0}, "lease"), ({"expected_version": -1}, "expected_version")],
)
def test_wrong_arguments(url: str, options: Any, wrong: str) -> None:
    """Each is an error that names it."""
    history = chatmem.connect(url).history("a")
    with pytest.raises(ValueError, match=wrong):
        history.answer("Why?", **options)
    with pytest.raises(ValueError, match="after must be"):
        history.follow("x", after="7")
    with pytest.raises(ValueError, match="answer_id must be"):
        history.follow("")


async def test_what_is_not_there(memory: chatmem.ChatMemory) -> None:
    """An answer that never was; a draft that is not begun, or over; a message that is no answer is one of itself."""
    history = memory.history("a")
    with pytest.raises(chatmem.NotFoundError, match="'x'"):
        await parts_of(history, "x")
    draft = history.answer(QUESTION, id="x")
    with pytest.raises(ValueError, match="async with"):
        await draft.write("x")
    async with draft:
        pass
    with pytest.raises(ValueError, match="async with"):
        await draft.write("x")
    with pytest.raises(ValueError, match="has begun already"):
        await draft.__aenter__()


async def test_another_user(memory: chatmem.ChatMemory) -> None:
    """Nobody else may write, follow or stop it."""
    async with memory.history("a", user="alice").answer(QUESTION, id="x"):
        theirs = memory.history("a", user="bob")
        for call in (parts_of(theirs, "x"), theirs.stop("x"), theirs.answer().__aenter__()):
            with pytest.raises(chatmem.NotYoursError):
                await call


async def test_listeners_are_told(url: str, prefix: str) -> None:
    """Where the memory publishes, whoever listens to the session hears that an answer began, and what came of it."""
    async with chatmem.connect(url, prefix=prefix, ttl=600, publish=True) as memory:
        history = memory.history("a")
        async with history.answer(QUESTION, id="x"):
            pass
        async with history.answer(id="y"):
            pass
        told = [(one.kind, one.version, one.last) async for one in history.changes(after=0, timeout=0.1)]
    assert told == [
        ("appended", 1, 0),
        ("answer", 1, None),
        ("appended", 2, 1),
        ("answer", 2, None),
        ("appended", 3, 2),
    ]
