"""Answers as chunks, and what they add up to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage, message_chunk_to_message

from chatmem.model import AnswerStatus, Chunk


def piece(message_id: str, content: Any = "", **call: Any) -> AIMessageChunk:
    """Return a chunk with content, or with a part of a call."""
    chunks: list[Any] = [{"type": "tool_call_chunk", "name": None, "id": None, "args": None, **call}] if call else []
    return AIMessageChunk(content=content, id=message_id, tool_call_chunks=chunks)


def finished(parts: Iterable[BaseMessage], status: AnswerStatus = "complete") -> list[BaseMessage]:
    """Return the messages that the parts add up to, as LangChain adds them."""
    groups: dict[str | None, list[Any]] = {}
    for part in parts:
        groups.setdefault(part.id, []).append(part)
    messages: list[BaseMessage] = []
    for first, *others in groups.values():
        whole = first + others if others else first
        messages.append(message_chunk_to_message(whole) if isinstance(whole, AIMessageChunk) else whole)
    last = next((one for one in reversed(messages) if isinstance(one, AIMessage)), None)
    if status != "complete" and last is not None:
        last.response_metadata["answer"] = status
    return messages


def chunked(
    parts: Sequence[BaseMessage],
    size: int = 1,
    start: int = 0,
    status: AnswerStatus | None = "complete",
    stop: int | None = None,
) -> list[Chunk]:
    """Return what `follow` yields for an answer.

    Args:
        parts: the answer.
        size: how many parts come at once.
        start: how many parts a reader has read before; all of them for one that comes after the end.
        status: how the answer ends; None if the reader is cut off before.
        stop: how many parts were sent before the end; by default all. In life the last ones never are.
    """
    sent = parts[:stop]
    batches = [list(sent[at : at + size]) for at in range(start, len(sent), size)]
    chunks = [Chunk(str(at), batch) for at, batch in enumerate(batches)]
    return chunks if status is None else [*chunks, Chunk("end", finished(parts, status), status)]


async def following(chunks: Iterable[Chunk]) -> AsyncIterator[Chunk]:
    """Yield chunks as `follow` does."""
    for chunk in chunks:
        yield chunk


AGENT: list[BaseMessage] = [
    piece("a", [{"type": "reasoning", "reasoning": "I must ", "index": 0}]),
    piece("a", [{"type": "reasoning", "reasoning": "look.", "index": 0}]),
    piece("a", [{"type": "text", "text": "Let me ", "index": 1}]),
    piece("a", [{"type": "text", "text": "look.", "index": 1}]),
    piece("a", name="weather", id="c1", args='{"city": ', index=0),
    piece("a", args='"Rome"}', index=0),
    piece("a", name="weather", id="c2", args="", index=1),
    piece("a", args='{"city": "Oslo"}', index=1),
    ToolMessage("sun", tool_call_id="c1", name="weather", id="a.1"),
    ToolMessage("no such city", tool_call_id="c2", name="weather", id="a.2", status="error"),
    piece("a.3", "Sunny "),
    piece("a.3", "in Rome."),
]
"""an agent's answer: it thinks, speaks, calls two tools and speaks again"""

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@st.composite
def _said(draw: st.DrawFn, message_id: str, kind: str, index: int) -> list[BaseMessage]:
    texts = draw(st.lists(words, min_size=1, max_size=4))
    if index < 0:
        return [piece(message_id, text) for text in texts]
    field = "text" if kind == "text" else "reasoning"
    return [piece(message_id, [{"type": kind, field: text, "index": index}]) for text in texts]


@st.composite
def _sourced(draw: st.DrawFn, message_id: str) -> list[BaseMessage]:
    """Draw a text with its sources as OpenAI and Anthropic stream them: behind the text, without one."""
    parts = draw(_said(message_id, "text", 1))
    for name in draw(st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True)):
        cited = {"type": "citation", "url": f"https://e.com/{name}", "title": name}
        beside: Any = draw(st.sampled_from([{}, {"text": ""}]))
        parts.append(piece(message_id, [{"type": "text", "annotations": [cited], "index": 1, **beside}]))
    if draw(st.booleans()):
        image = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png", "index": 2}
        parts.append(piece(message_id, [image]))
    return parts


@st.composite
def _summarized(draw: st.DrawFn, message_id: str) -> list[BaseMessage]:
    """Draw thoughts as OpenAI streams them: parts of a summary."""
    return [
        piece(message_id, [{"type": "reasoning", "summary": [{"text": text, "index": number}], "index": 0}])
        for number in range(draw(st.integers(1, 3)))
        for text in draw(st.lists(words, min_size=1, max_size=3))
    ]


@st.composite
def _called(draw: st.DrawFn, message_id: str, call_id: str, index: int) -> list[BaseMessage]:
    given = draw(st.dictionaries(words, st.integers(0, 9) | words, max_size=3))
    separators = draw(st.sampled_from([(", ", ": "), (",", ":")]))
    empty = draw(st.sampled_from(["", "{}"]))
    args = json.dumps(given, ensure_ascii=False, separators=separators) if given else empty
    cuts = sorted(draw(st.lists(st.integers(0, len(args)), max_size=4)))
    texts = [args[start:end] for start, end in zip([0, *cuts], [*cuts, len(args)], strict=True)]
    begin = piece(message_id, name=draw(st.sampled_from(["f", "look_up"])), id=call_id, args=texts[0], index=index)
    return [begin, *(piece(message_id, args=text, index=index) for text in texts[1:])]


@st.composite
def answers(draw: st.DrawFn) -> list[BaseMessage]:
    """Draw the parts of an answer: up to three messages of a model, with calls and results between."""
    parts: list[BaseMessage] = []
    number = 0
    for turn in range(draw(st.integers(1, 3))):
        message_id = f"a.{number}" if number else "a"
        number += 1
        thinks = draw(st.booleans())
        if thinks:
            parts += draw(_said(message_id, "reasoning", 0) | _summarized(message_id))
        if draw(st.booleans()):
            parts += draw(_said(message_id, "text", 1 if thinks else -1) | _sourced(message_id))
        calls = [f"c{turn}{at}" for at in range(draw(st.integers(1, 2)))]
        if draw(st.booleans()):  # some providers only number them, in each message or in none
            calls = [draw(st.sampled_from(["call", f"call-{at + 1}", "0"])) for at in range(len(calls))]
        for at, call_id in enumerate(calls):
            parts += draw(_called(message_id, call_id, at))
        for call_id in calls:
            status: Any = draw(st.sampled_from(["success", "error"]))
            parts.append(ToolMessage(draw(words), tool_call_id=call_id, id=f"a.{number}", status=status))
            number += 1
    if draw(st.booleans()):
        parts += draw(_said(f"a.{number}", "text", -1))
    return parts
