"""From what models and agents stream to messages: which chunks belong together, and what they add up to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    FunctionMessage,
    ToolMessage,
    message_chunk_to_message,
)
from langchain_core.messages.tool import invalid_tool_call

from chatmem.core.checks import from_json
from chatmem.errors import EncodingError
from chatmem.model import AnswerStatus

_OWN_IDS = ("lc_", "lc-", "run-")
"""how ids begin that LangChain makes: for chunks of providers that give none, and for the last chunk of an answer"""
_MODES = ("messages", "values", "updates", "custom", "checkpoints", "tasks", "debug")
"""what LangGraph streams"""
_PARTS = ("tool_call_chunk", "server_tool_call_chunk", "input_json_delta")
"""the types of content blocks that are parts of calls"""
_CUT_OFF = "the answer ended before this call was complete"
_MOST = 1000
"""Records of a batch. Lua's `unpack` stops at about 8,000 values, and each record is two."""


class _Growing:
    """A message that grows, or came as a whole."""

    def __init__(self, number: int, original: str | None) -> None:
        self.number = number
        self.original = original
        self.parts: list[BaseMessage] = []
        self.is_over = False
        self.half: BaseMessage | None = None
        """a chunk that ends within a character, which is sent with the next one, or at the end"""

    def takes(self, chunk: AIMessageChunk) -> bool:
        """Return whether a chunk that comes next belongs to this message."""
        if not self.parts or not isinstance(self.parts[-1], AIMessageChunk):
            return False
        if chunk.id == self.original:
            return True
        unknown = chunk.id is None or self.original is None
        return not self.is_over and (unknown or _is_own(chunk.id) != _is_own(self.original))

    def add(self, part: BaseMessage) -> None:
        self.parts.append(part)
        self.is_over = getattr(part, "chunk_position", None) == "last"
        if part.id is not None and (self.original is None or _is_own(self.original)):
            self.original = part.id


def _is_own(message_id: str | None) -> bool:
    return message_id is not None and message_id.startswith(_OWN_IDS)


class Collector:
    """Takes what a producer writes, in any of the forms in which models and agents stream.

    Chunks that follow each other are added up, so that many short ones are one long one. You may add in one thread and
    take in another.
    """

    def __init__(self, answer: str) -> None:
        self._answer = answer
        self._messages: list[_Growing] = []
        self._unsent: deque[tuple[_Growing, BaseMessage]] = deque()

    def add(self, value: Any) -> None:
        """Take text, a message, or what LangGraph streams.

        Raises:
            ValueError: it is none of these.
        """
        message = _message_in(value)
        if message is None:
            return
        known = next((one for one in self._messages if message.id is not None and one.original == message.id), None)
        if isinstance(message, AIMessageChunk):
            growing = known or self._last_for(message) or self._begin(message.id)
        elif known is not None:  # the whole of what was streamed
            known.parts = [message]
            return
        else:
            growing = self._begin(message.id)
        growing.add(message)
        if growing.half is not None:
            message = _sum([growing.half, message])
        growing.half = message if isinstance(message, AIMessageChunk) and _is_cut(message) else None
        if growing.half is None:
            self._unsent.append((growing, message))

    def _last_for(self, chunk: AIMessageChunk) -> _Growing | None:
        last = self._messages[-1] if self._messages else None
        return last if last is not None and last.takes(chunk) else None

    def _begin(self, original: str | None) -> _Growing:
        growing = _Growing(len(self._messages), original)
        self._messages.append(growing)
        return growing

    @property
    def has_news(self) -> bool:
        """Whether there is something that `take` has not returned yet."""
        return bool(self._unsent)

    def take(self) -> list[BaseMessage]:
        """Return what came since the last call, under the ids that the messages are going to have.

        If that is more than a batch may hold, the next call returns the rest.
        """
        runs: list[tuple[_Growing, list[BaseMessage]]] = []
        while self._unsent:
            growing = self._unsent[0][0]
            if not runs or runs[-1][0] is not growing:
                if len(runs) == _MOST:
                    break
                runs.append((growing, []))
            runs[-1][1].append(self._unsent.popleft()[1])
        return [_with_id(_sum(parts), id_of(self._answer, growing.number)) for growing, parts in runs]

    def finished(self, status: AnswerStatus) -> list[BaseMessage]:
        """Return the messages as they are to be stored."""
        return finished(self._answer, [one.parts for one in self._messages], status)


def summed(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Return messages with the chunks of one message that follow each other added up."""
    return [_sum(list(run)) for _, run in groupby(messages, lambda message: message.id)]


def id_of(answer: str, number: int) -> str:
    """Return the id of an answer's message, counted from 0."""
    return f"{answer}.{number}" if number else answer


def is_of(answer: str, message_id: str | None) -> bool:
    """Return whether a message with this id is one of the answer's."""
    return message_id is not None and f"{message_id}.".startswith(f"{answer}.")


def joined(messages: Iterable[BaseMessage]) -> list[list[BaseMessage]]:
    """Return the parts of messages, by id, in the order in which they began."""
    groups: dict[str | None, list[BaseMessage]] = {}
    for message in messages:
        groups.setdefault(message.id, []).append(message)
    return list(groups.values())


def finished(answer: str, groups: Sequence[list[BaseMessage]], status: AnswerStatus) -> list[BaseMessage]:
    """Return an answer's messages as they are stored, given the parts of each. There is at least one.

    Unless the answer is complete, the last AI message says how it ended, and calls that were cut off are not calls.
    """
    messages = [_whole(_sum(parts), cut_off=status != "complete") for parts in groups]
    if not any(isinstance(message, AIMessage) for message in messages):
        messages.append(AIMessage(""))
    if status != "complete":
        last = max(at for at, message in enumerate(messages) if isinstance(message, AIMessage))
        metadata = {**messages[last].response_metadata, "answer": status}
        messages[last] = messages[last].model_copy(update={"response_metadata": metadata})
    return [_with_id(message, id_of(answer, number)) for number, message in enumerate(messages)]


def status_of(messages: Iterable[BaseMessage]) -> AnswerStatus:
    """Return how an answer ended, given its messages as they are stored."""
    ends = [message.response_metadata.get("answer") for message in messages if isinstance(message, AIMessage)]
    known: dict[Any, AnswerStatus] = {"stopped": "stopped", "interrupted": "interrupted", "failed": "failed"}
    return known.get(ends[-1] if ends else None, "complete")


def _message_in(value: Any) -> BaseMessage | None:
    """Return the message in what a producer writes; None for what LangGraph streams besides."""
    streamed, mode = value, "messages"
    if isinstance(value, dict) and {"type", "data"} <= value.keys():  # LangGraph's parts
        mode, streamed = value["type"], value["data"]
    elif isinstance(value, tuple) and len(value) > 1 and value[-2] in _MODES:  # its mode comes first
        mode, streamed = value[-2:]
    elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], tuple):  # its namespace comes first
        streamed = value[1]
    if mode in _MODES and mode != "messages":
        return None
    if isinstance(streamed, tuple) and len(streamed) == 2 and isinstance(streamed[0], BaseMessage):
        message = streamed[0]
        return message if isinstance(message, _STORED) else None
    if isinstance(streamed, str):
        return AIMessageChunk(content=streamed) if streamed else None
    if isinstance(streamed, _STORED):
        return streamed
    raise ValueError(
        "chunks must be text, AI messages, results of tools, or what LangGraph streams with "
        f'stream_mode="messages", not {type(value).__name__}'
    )


def _is_cut(chunk: AIMessageChunk) -> bool:
    return any(map(_ends_in_half, (chunk.content, chunk.tool_call_chunks, chunk.additional_kwargs)))


def _ends_in_half(value: Any) -> bool:
    """Return whether a text, or the last one in there, ends with half a character, as JavaScript counts them."""
    if isinstance(value, str):
        return "\ud800" <= value[-1:] <= "\udbff"
    if isinstance(value, list):
        return bool(value) and _ends_in_half(value[-1])
    return isinstance(value, dict) and any(map(_ends_in_half, value.values()))


_STORED = (AIMessage, ToolMessage, FunctionMessage)


def _with_id(message: BaseMessage, message_id: str) -> BaseMessage:
    return message if message.id == message_id else message.model_copy(update={"id": message_id})


def _sum(parts: Sequence[BaseMessage]) -> BaseMessage:
    first, *others = parts
    if not others:
        return first
    try:
        return first + others  # type: ignore[return-value]  # chunks, of which LangChain adds many at once
    except (TypeError, ValueError) as error:
        raise EncodingError(f"the chunks of a message cannot be added up: {error}") from error


def _whole(message: BaseMessage, *, cut_off: bool) -> BaseMessage:
    if not isinstance(message, AIMessageChunk):
        return message
    if not cut_off:
        return message_chunk_to_message(message)
    broken = [one for one in message.tool_call_chunks if not _is_call(one)]
    kept = [one for one in message.tool_call_chunks if _is_call(one)]
    end = AIMessageChunk(content="" if isinstance(message.content, str) else [], chunk_position="last")
    whole = message_chunk_to_message(_sum([message.model_copy(update={"tool_call_chunks": kept}), end]))
    invalid = [invalid_tool_call(name=one["name"], args=one["args"], id=one["id"], error=_CUT_OFF) for one in broken]
    calls = [*getattr(whole, "invalid_tool_calls", ()), *invalid]
    gone = {one["id"] for one in broken}
    return whole.model_copy(update={"content": _without(whole.content, gone), "invalid_tool_calls": calls})


def _without(content: Any, calls: set[str | None]) -> Any:
    """Return content without the calls of these ids, and without parts of calls."""
    if isinstance(content, str):
        return content
    return [
        one
        for one in content
        if isinstance(one, str)
        or not (one.get("type") in _PARTS or {one.get("id"), one.get("call_id")} & (calls - {None}))
    ]


def _is_call(chunk: Any) -> bool:
    """Return whether a call is complete: it names its tool, and its arguments are a JSON object."""
    try:
        return bool(chunk["name"]) and isinstance(from_json(chunk["args"] or "{}"), dict)
    except ValueError:
        return False
