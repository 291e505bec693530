"""What models and agents stream becomes the messages that they would have returned, and can be sent, cut off or not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core import messages as lc
from langchain_core.language_models import GenericFakeChatModel

import chatmem
from chatmem.core.answering.collecting import Collector, finished, joined
from chatmem.core.jsonable import jsonable
from tests.providers import check
from tests.scripted import Scripted, asking, weather


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
        yield memory


def part(content: Any = "", *calls: Any, **fields: Any) -> lc.AIMessageChunk:
    """Return a chunk; each call is its index, id, name, and a part of its arguments."""
    chunks: list[Any] = [{"type": "tool_call_chunk", "index": i, "id": d, "name": n, "args": a} for i, d, n, a in calls]
    return lc.AIMessageChunk(content=content, tool_call_chunks=chunks, **fields)


OPENAI = [
    part("", id="chatcmpl-1"),
    part("Let me ", id="chatcmpl-1"),
    part("look.", id="chatcmpl-1"),
    part("", (0, "c1", "weather", ""), id="chatcmpl-1"),
    part("", (0, None, None, '{"city":'), id="chatcmpl-1"),
    part("", (0, None, None, ' "Lima"}'), id="chatcmpl-1"),
    part("", (1, "c2", "weather", ""), id="chatcmpl-1"),
    part("", (1, None, None, '{"city": "Ro'), id="chatcmpl-1"),
    part("", (1, None, None, 'me"}'), id="chatcmpl-1"),
    part("", id="chatcmpl-1", usage_metadata={"input_tokens": 9, "output_tokens": 8, "total_tokens": 17}),
    part("", id="lc_run--1", chunk_position="last"),
    lc.ToolMessage("fine", tool_call_id="c1", id="t1"),
    lc.ToolMessage("rain", tool_call_id="c2", id="t2"),
    part("Fine, ", id="chatcmpl-2"),
    part("and rain.", id="chatcmpl-2"),
    part("", id="lc_run--2", chunk_position="last"),
]
ANTHROPIC = [
    part([{"type": "thinking", "thinking": "Lima ", "index": 0}], id="msg_1"),
    part([{"type": "thinking", "thinking": "and Rome", "index": 0}], id="msg_1"),
    part([{"type": "text", "text": "Let me ", "index": 1}], id="msg_1"),
    part([{"type": "text", "text": "look.", "index": 1}], id="msg_1"),
    part(
        [{"type": "tool_use", "id": "c1", "name": "weather", "input": {}, "index": 2}],
        (2, "c1", "weather", ""),
        id="msg_1",
    ),
    part([{"type": "input_json_delta", "partial_json": '{"ci', "index": 2}], (2, None, None, '{"ci'), id="msg_1"),
    part(
        [{"type": "input_json_delta", "partial_json": 'ty": "Lima"}', "index": 2}],
        (2, None, None, 'ty": "Lima"}'),
        id="msg_1",
    ),
    part([], id="msg_1", chunk_position="last"),
    lc.ToolMessage("fine", tool_call_id="c1", id="t1"),
    part([{"type": "text", "text": "Fine.", "index": 0}], id="msg_2", chunk_position="last"),
]
STREAMS = {"OpenAI": OPENAI, "Anthropic": ANTHROPIC}


def whole(answer: str, stream: list[Any], status: Any = "complete") -> list[lc.BaseMessage]:
    """Return the messages of an answer that streamed this."""
    collector = Collector(answer)
    for one in stream:
        collector.add(one)
    return collector.finished(status)


@pytest.mark.parametrize("name", STREAMS)
def test_they_are_what_the_model_meant(name: str) -> None:
    """Calls with their arguments, text, usage; one message for each answer of the model and each result."""
    messages: list[Any] = whole("x", STREAMS[name])
    assert [one.id for one in messages] == ["x", *(f"x.{number}" for number in range(1, len(messages)))]
    first, *results, last = messages
    assert [call["args"] for call in first.tool_calls] == [{"city": "Lima"}, {"city": "Rome"}][: len(results)]
    assert [one.tool_call_id for one in results] == ["c1", "c2"][: len(results)]
    assert "Let me look." in first.text
    assert last.text == ("Fine, and rain." if name == "OpenAI" else "Fine.")
    assert type(first) is type(last) is lc.AIMessage
    if name == "OpenAI":
        assert first.usage_metadata == {"input_tokens": 9, "output_tokens": 8, "total_tokens": 17}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_batches_add_up_to_the_same(name: str, size: int) -> None:
    """What readers merge, and what is stored for a producer that died, is what its producer would have stored."""
    stream, collector, sent = STREAMS[name], Collector("x"), list[lc.BaseMessage]()
    for number, one in enumerate(stream, 1):
        collector.add(one)
        if number % size == 0:
            sent += collector.take()
    sent += collector.take()
    assert finished("x", joined(sent), "complete") == whole("x", stream)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("status", ["stopped", "interrupted", "failed"])
async def test_cut_off_anywhere(memory: chatmem.ChatMemory, name: str, status: str) -> None:
    """Every window of such a conversation can be sent, also with the next question behind it."""
    for length in range(len(STREAMS[name]) + 1):
        history = memory.history(f"s{length}")
        cut = whole("x", STREAMS[name][:length], status)
        ends = [one.response_metadata.get("answer") for one in cut if isinstance(one, lc.AIMessage)]
        assert ends == [*[None] * (len(ends) - 1), status]
        await history.append("Lima? Rome?", *cut)
        check(await history.window())
        await history.append("And now?")
        window = await history.window()
        check(window)
        assert "input_json_delta" not in str(window)
        assert window[-1] == lc.HumanMessage("And now?")
        assert not any(one.tool_calls for one in window if isinstance(one, lc.AIMessage)) or length > 5


MODES: dict[str, dict[str, Any]] = {
    "messages": {"stream_mode": "messages"},
    "several modes": {"stream_mode": ["messages", "updates", "values"]},
    "with subgraphs": {"stream_mode": ["messages"], "subgraphs": True},
    "version 2": {"stream_mode": ["messages", "updates"], "version": "v2"},
}


@pytest.mark.parametrize("mode", MODES)
async def test_an_agent(memory: chatmem.ChatMemory, mode: str) -> None:
    """Whatever LangGraph streams: the run's messages are stored as the agent returns them, but for their ids."""
    history, question = memory.history("a"), lc.HumanMessage("Lima? Rome?", id="q")

    def made() -> Any:
        return create_agent(Scripted(script=[asking("Lima", "Rome"), lc.AIMessage("Fine in both.")]), [weather])

    returned = (await made().ainvoke({"messages": [question]}))["messages"]
    async with history.answer(question, id="x") as draft:
        async for part in made().astream({"messages": [question]}, **MODES[mode]):
            await draft.write(part)
    stored = await history.messages()
    assert [one.id for one in stored] == ["q", "x", "x.1", "x.2", "x.3"]
    assert [one.model_copy(update={"id": None}) for one in stored] == [
        one.model_copy(update={"id": None}) for one in returned
    ]


HALVES = "\ud83d", "\ude00"
"""of one emoji, as JavaScript counts characters"""


@pytest.mark.parametrize(
    "pieces",
    [
        [part(f"so {HALVES[0]}", id="m"), part(f"{HALVES[1]} it is", id="m")],
        [part([{"type": "text", "text": half, "index": 0}], id="m") for half in HALVES],
        [part([{"type": "reasoning", "reasoning": half, "index": 0}], id="m") for half in HALVES],
        [part("", (0, "c", "f", f'{{"a": "{HALVES[0]}'), id="m"), part("", (0, None, None, f'{HALVES[1]}"}}'), id="m")],
        [part(HALVES[0], id="m"), part("alone", id="n")],
        [part(HALVES[0], id="m"), lc.ToolMessage("x", tool_call_id="c", id="t"), part("alone", id="n")],
    ],
)
def test_a_character_is_not_sent_in_halves(pieces: list[Any]) -> None:
    """Readers show each batch as it comes: half a character would be shown as a question mark, for good."""
    collector, sent = Collector("x"), list[Any]()
    for one in pieces:
        collector.add(one)
        batch = collector.take() if collector.has_news else []
        assert all(not str(message.content).endswith("\ud83d") for message in batch)
        sent.append(batch)
    total = [message for batch in sent for message in batch]
    if len({one.id for one in pieces}) == 1:
        assert finished("x", joined(total), "complete") == collector.finished("complete")
        assert "\N{GRINNING FACE}" in json.dumps(jsonable(total[0]), ensure_ascii=False)
    assert not collector.has_news


async def test_many_messages_that_grow_at_once(memory: chatmem.ChatMemory) -> None:
    """Agents at work side by side stream by turns, however much comes before it can be sent."""
    history = memory.history("a")
    async with history.answer("Who?", id="x") as draft:
        for number in range(10_000):
            await draft.write(part(f"{number} ", id=f"agent-{number % 2}"))
        await asyncio.sleep(0.3)
    texts = ["".join(f"{number} " for number in range(first, 10_000, 2)) for first in (0, 1)]
    assert [one.text for one in await history.messages()] == ["Who?", *texts]


async def test_a_model(memory: chatmem.ChatMemory) -> None:
    """A model's own stream, by a task of the memory."""
    model = GenericFakeChatModel(messages=iter([lc.AIMessage("Hello there, all of you.")]))
    history = memory.history("a")
    answer = await memory.answers.start(history, model.astream("Hi"), "Hi")
    parts = [part async for part in history.follow(answer)]
    assert parts[-1].messages == [lc.AIMessage("Hello there, all of you.", id=answer)]
    assert await history.messages() == [lc.HumanMessage("Hi"), *parts[-1].messages]


@pytest.mark.parametrize("wrong", [7, b"x", None, lc.HumanMessage("x"), {"messages": []}, ["x"], ("ai", "x")])
async def test_what_is_no_answer(memory: chatmem.ChatMemory, wrong: Any) -> None:
    """The error says what to write; what was written before is stored."""
    history = memory.history("a")
    with pytest.raises(ValueError, match='stream_mode="messages"'):
        async with history.answer("Why?", id="x") as draft:
            await draft.write("Because", wrong)
    assert [one.text for one in await history.messages()] == ["Why?", "Because"]


async def test_what_cannot_be_stored(memory: chatmem.ChatMemory) -> None:
    """A value that cannot be stored is an error, whenever it comes; the session goes on."""
    history = memory.history("a")
    for pause in (0.0, 0.2):
        with pytest.raises(chatmem.EncodingError):
            async with history.answer("Why?") as draft:
                await draft.write("Because", lc.AIMessageChunk(content="", additional_kwargs={"lock": asyncio.Lock()}))
                await asyncio.sleep(pause)
    texts = [one.text for one in await history.messages()]
    assert texts[::2] == ["Why?", "Why?"]
    assert (await history.info()).answers == ()
