"""The ids of answers: what somebody else stores under one is neither lost nor taken for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core import messages as lc

import chatmem
from tests.test_answers import QUESTION, die, parts_of, until_sent

MINE = "what another one said"
UUID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"


@pytest.fixture(params=[None, chatmem.KeyRing({"k": b"k" * 32})], ids=["plain", "encrypted"])
async def history(request: pytest.FixtureRequest, url: str, prefix: str) -> AsyncIterator[chatmem.History]:
    async with chatmem.connect(url, prefix=prefix, ttl=600, encryption=request.param) as memory:
        yield memory.history("a")


async def texts_of(history: chatmem.History) -> list[str]:
    """Return the texts of a conversation."""
    return [one.text for one in await history.messages()]


@pytest.mark.parametrize("answer", ["x", UUID])
async def test_a_question_with_the_id_of_its_answer(history: chatmem.History, answer: str) -> None:
    """It is refused: the answer would be stored in the question's place."""
    with pytest.raises(chatmem.DuplicateIdError, match="answer"):
        async with history.answer(lc.HumanMessage("Why?", id=answer), id=answer):
            raise AssertionError
    assert await history.messages() == []


@pytest.mark.parametrize("answer", ["x", UUID])
@pytest.mark.parametrize("on_known_id", ["error", "add", "replace"])
async def test_a_message_with_the_id_of_an_answer_that_runs(
    history: chatmem.History, answer: str, on_known_id: Any
) -> None:
    """It is refused, whatever is to happen with known ids: readers of the answer would get it."""
    mine = lc.HumanMessage(MINE, id=answer)
    async with history.answer(QUESTION, id=answer) as draft:
        await draft.write("Because")
        with pytest.raises(chatmem.DuplicateIdError, match="answer"):
            await history.append("before", mine, on_known_id=on_known_id)
        with pytest.raises(chatmem.DuplicateIdError, match="answer"):
            await history.put(mine)
        with pytest.raises(ValueError, match="another message"):
            await history.replace("q", mine)
    assert await texts_of(history) == ["Why?", "Because"]


@pytest.mark.parametrize("answer", ["x", UUID])
@pytest.mark.parametrize("ends", ["complete", "interrupted"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_message_with_the_id_of_an_answers_second(
    history: chatmem.History, answer: str, ends: str, when: str
) -> None:
    """Both are kept, and readers get the answer alone as far as its ids name it."""
    mine = lc.HumanMessage(MINE, id=f"{answer}.1")
    if when == "before":
        await history.append(mine)
    draft = history.answer(QUESTION, id=answer, lease=1 if ends == "interrupted" else 30)
    await draft.__aenter__()
    if when == "meanwhile":
        await history.append(mine)
    await draft.write("Because", lc.ToolMessage("sunny", tool_call_id="c"), lc.AIMessage("it is."))
    if ends == "complete":
        await draft.__aexit__(None, None, None)
    else:
        await until_sent(history, answer, "Becausesunnyit is.")
        await die(draft)
        await asyncio.sleep(1)
    expected = ["Because", "sunny", "it is."]
    stored = await texts_of(history)
    assert sorted(stored) == sorted([MINE, "Why?", *expected])
    assert [one for one in stored if one in expected] == expected
    assert (await history.get(f"{answer}.1")) is not None
    assert [one.text for one in (await parts_of(history, answer))[-1].messages] == expected[:1]


async def test_answers_whose_ids_look_like_parts_of_each_other(history: chatmem.History) -> None:
    """Each has its own readers."""
    for answer in ("x", "x.1", "x.1.1"):
        async with history.answer(lc.HumanMessage("Why?", id=f"q {answer}"), id=answer) as draft:
            await draft.write(answer)
    for answer in ("x", "x.1", "x.1.1"):
        (last,) = await parts_of(history, answer)
        assert [one.text for one in last.messages] == [answer]
