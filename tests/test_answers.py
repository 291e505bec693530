"""Running answers: written by one process, followed by any number of others, stored once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core import messages as lc

import chatmem
from chatmem import Chunk
from tests.conftest import Connect, client_of
from tests.servers import ANSWER_RIGHTS


async def parts_of(history: chatmem.History, answer: str, **options: Any) -> list[Chunk]:
    """Return all that a reader of an answer gets."""
    return [chunk async for chunk in history.follow(answer, **options)]


def text_of(parts: list[Chunk]) -> str:
    """Return the text that the parts before the last one add up to."""
    return "".join(message.text for part in parts[:-1] for message in part.messages)


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


@pytest.mark.usefixtures("rights")
class TestEveryServer:
    """In both facades; see `tests.conftest`."""

    async def test_an_answer(self, connect: Connect) -> None:
        """It is followed while it grows, from another memory too, and stored with its question."""
        memory, other = connect(), connect()
        history = memory.history("a")
        async with history.answer(lc.HumanMessage("Why?", id="q"), id="x") as draft:
            assert draft.id == "x"
            info = await other.history("a").info()
            assert [(one.id, one.stopping) for one in info.answers] == [("x", False)]
            for number in range(20):
                await draft.write(f"{number} ")
                await asyncio.sleep(0.01)
                if number == 10:
                    assert [m.text for m in await other.history("a").messages()] == ["Why?"]
        assert draft.status == "complete"
        assert draft.appended == chatmem.Appended(2, 1, 1, 0)
        text = "".join(f"{number} " for number in range(20))
        assert await other.history("a").messages() == [lc.HumanMessage("Why?", id="q"), lc.AIMessage(text, id="x")]
        assert (await history.info()).answers == ()
        (whole,) = await parts_of(other.history("a"), "x")
        assert (whole.messages, whole.status) == ([lc.AIMessage(text, id="x")], "complete")


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
        yield memory


async def test_started(memory: chatmem.ChatMemory) -> None:
    """A producer that runs as a task of the memory."""
    history = memory.history("a")

    async def produce() -> AsyncIterator[str]:
        for number in range(10):
            yield str(number)
            await asyncio.sleep(0.01)

    answer = await memory.answers.start(history, produce(), "Why?")
    with pytest.raises(chatmem.ConflictError, match=answer) as caught:
        await memory.answers.start(history, produce(), "Again?")
    assert caught.value.answer == answer
    parts = await parts_of(memory.history("a"), answer)
    assert "0123456789".startswith(text_of(parts))
    assert parts[-1] == Chunk(parts[-1].cursor, [lc.AIMessage("0123456789", id=answer)], "complete")


async def test_stopped(memory: chatmem.ChatMemory) -> None:
    """What there is stays, and says that it was stopped."""
    history = memory.history("a")
    assert await history.stop() is False
    async with history.answer("Why?", id="x") as draft:
        await draft.write("So")
        await asyncio.sleep(0.1)
        assert await memory.history("a").stop("x") is True
        await asyncio.sleep(10)
        raise AssertionError("it was not stopped")
    assert draft.status == "stopped"
    (part,) = await parts_of(history, "x")
    assert part.status == "stopped"
    assert part.messages == [lc.AIMessage("So", id="x", response_metadata={"answer": "stopped"})]
