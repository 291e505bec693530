"""What the chunks of an answer tell, one after the other, whatever the protocol that it is going to be told in.

A stream may begin anywhere: in the middle of a text or of a call's arguments, or with the finished messages, which tell
all that was not told before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.utils.json import parse_partial_json

from chatmem.model import Chunk
from chatmem.ui.pieces import File, Piece, Result, Text, call_id_of, pieces_of, shown_in
from chatmem.ui.values import shown


class Began(NamedTuple):
    """A message of the model begins, or goes on after another one."""

    message: str


class Ended(NamedTuple):
    """The message is whole, or another one goes on."""

    message: str


class Opened(NamedTuple):
    """A text, or a thought, begins."""

    message: str
    is_text: bool


class Grew(NamedTuple):
    """The open text or thought goes on."""

    message: str
    is_text: bool
    delta: str


class Closed(NamedTuple):
    """The open text or thought is whole."""

    message: str
    is_text: bool


class Showed(NamedTuple):
    """The message has a file, or text with sources."""

    message: str
    piece: Piece


class Called(NamedTuple):
    """A call of a tool begins."""

    message: str
    call: str
    name: str


class Argued(NamedTuple):
    """The text of a call's arguments goes on."""

    call: str
    delta: str


class Ready(NamedTuple):
    """A call is whole."""

    call: str
    name: str
    args: Any
    """a dict, or the text that is no JSON"""
    error: str | None
    """what is wrong with the text"""


class Returned(NamedTuple):
    """A tool has returned."""

    result: Result


Event = Began | Ended | Opened | Grew | Closed | Showed | Called | Argued | Ready | Returned


class _Call:
    def __init__(self, call_id: str, name: str) -> None:
        self.id = call_id
        self.name = name
        self.args: list[str] = []
        self.is_ready = False


class _Told:
    """What was told of one message."""

    def __init__(self, message_id: str) -> None:
        self.id = message_id
        self.texts: dict[bool, list[str]] = {True: [], False: []}
        self.calls: list[_Call] = []
        self.call_at: dict[Any, _Call] = {}
        """the call to which the next part with an index belongs"""
        self.has_more = False

    @property
    def is_empty(self) -> bool:
        return not (self.texts[True] or self.texts[False] or self.calls or self.has_more)


class Teller:
    """Turns the chunks of one answer into events."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}
        self._current: _Told | None = None
        self._open: tuple[bool, Any] | None = None
        self._calls: set[str] = set()
        self._returned: set[str] = set()
        self._early: list[Result] = []

    def tell(self, chunk: Chunk) -> Iterator[Event]:
        """Yield what a chunk tells. The last chunk of an answer ends what is open."""
        if chunk.status is not None:
            yield from self._finish(chunk.messages)
            return
        for message in chunk.messages:
            if isinstance(message, AIMessageChunk):
                yield from self._go_on(message)
            elif isinstance(message, AIMessage):
                yield from self._complete(message)
            elif isinstance(message, Result):
                yield from self.end()
                yield from self._return(message)

    def end(self) -> Iterator[Event]:
        """Yield the end of what is open, such as before a result, or where the chunks broke off."""
        told, self._current = self._current, None
        if told is None:
            return
        yield from self._close(told)
        for call in told.calls:
            if not call.is_ready:
                yield from self._ready(call, *_arguments("".join(call.args)))
        yield Ended(told.id)

    def _begin(self, message: AIMessage) -> Iterator[Event]:
        message_id = message.id or (self._current.id if self._current is not None else "message-0")
        if self._current is not None and self._current.id == message_id:
            return
        yield from self.end()
        self._current = self._told.setdefault(message_id, _Told(message_id))
        yield Began(message_id)

    def _go_on(self, chunk: AIMessageChunk) -> Iterator[Event]:
        yield from self._begin(chunk)
        told = self._told_now()
        for piece, index in _indexed(chunk):
            yield from self._show(told, piece, index)
        for part in chunk.tool_call_chunks:
            yield from self._call(told, part)

    def _told_now(self) -> _Told:
        assert self._current is not None, "a message was begun"  # noqa: S101
        return self._current

    def _show(self, told: _Told, piece: Piece, index: Any) -> Iterator[Event]:
        if isinstance(piece, File):
            told.has_more = True
            yield Showed(told.id, piece)
            return
        if not piece.text:
            return
        is_text = isinstance(piece, Text)
        if self._open != (is_text, index):
            yield from self._close(told)
            self._open = (is_text, index)
            yield Opened(told.id, is_text)
        told.texts[is_text].append(piece.text)
        yield Grew(told.id, is_text, piece.text)
        if isinstance(piece, Text) and piece.sources:
            yield from self._close(told)
            yield Showed(told.id, piece)

    def _close(self, told: _Told) -> Iterator[Event]:
        if self._open is not None:
            is_text, self._open = self._open[0], None
            yield Closed(told.id, is_text)

    def _call(self, told: _Told, part: Mapping[str, Any]) -> Iterator[Event]:
        call = told.call_at.get(part.get("index"))
        if part.get("id") and (call is None or call.id != part["id"]):
            if not part.get("name"):
                return  # the finished message has the call
            yield from self._close(told)
            call = _Call(part["id"], part["name"])
            told.call_at[part.get("index")] = call
            yield from self._begin_call(told, call)
        if call is not None and part.get("args"):  # without a call, its beginning was before the stream's
            call.args.append(part["args"])
            yield Argued(call.id, part["args"])

    def _begin_call(self, told: _Told, call: _Call) -> Iterator[Event]:
        told.calls.append(call)
        self._calls.add(call.id)
        yield Called(told.id, call.id, call.name)

    def _ready(self, call: _Call, args: Any, error: str | None) -> Iterator[Event]:
        call.is_ready = True
        yield Ready(call.id, call.name, args, error)

    def _return(self, result: Result) -> Iterator[Event]:
        call_id = call_id_of(result)
        if call_id not in self._calls:
            self._early.append(result)  # the call was before the stream's beginning; the finished messages have it
        elif call_id not in self._returned:
            self._returned.add(call_id)
            yield Returned(result)

    def _complete(self, message: AIMessage) -> Iterator[Event]:
        """Yield what a whole message has beyond what was told of it."""
        told = self._told.get(message.id or "")
        if told is None or told.is_empty:
            yield from self._begin(message)
            told = self._told_now()
            for piece in pieces_of(message):
                yield from self._show(told, piece, object())
            yield from self._close(told)
        else:
            yield from self._add_rest(told, message)
        for call in (*message.tool_calls, *message.invalid_tool_calls):
            yield from self._complete_call(told, message, call)
        if self._current is told:
            yield from self.end()

    def _add_rest(self, told: _Told, message: AIMessage) -> Iterator[Event]:
        """Yield the end of the text, if more of it is stored than was told."""
        whole = "".join(piece.text for piece in pieces_of(message) if isinstance(piece, Text))
        so_far = "".join(told.texts[True])
        if so_far and whole != so_far and whole.startswith(so_far):
            yield from self._begin(message)
            index = self._open[1] if self._open is not None and self._open[0] else None
            yield from self._show(told, Text(whole[len(so_far) :]), index)

    def _complete_call(self, told: _Told, message: AIMessage, whole: Mapping[str, Any]) -> Iterator[Event]:
        call_id = whole["id"] or ""
        call = next((one for one in told.calls if one.id == call_id), None)
        if call is not None and call.is_ready:
            return
        args = whole["args"] if whole["args"] is not None else ""
        if call is None:
            yield from self._begin(message)
            yield from self._close(told)
            call = _Call(call_id, whole["name"] or "")
            yield from self._begin_call(told, call)
            yield Argued(call_id, args if isinstance(args, str) else json.dumps(shown(args), ensure_ascii=False))
        is_valid = isinstance(args, dict)
        yield from self._ready(call, args, None if is_valid else whole.get("error") or _arguments(args)[1])

    def _finish(self, messages: list[BaseMessage]) -> Iterator[Event]:
        early = {call_id_of(result) for result in self._early}
        known = [at for at, message in enumerate(messages) if self._knows(message)]
        saw_some = bool(early) or not all(told.is_empty for told in self._told.values())
        first = min(known, default=len(messages) if saw_some else 0)
        # the message that is open goes on first, so that its text stays in one piece
        here = [at for at in known if self._current is not None and messages[at].id == self._current.id]
        for at in (*here, *range(len(messages))):
            message = messages[at]
            if isinstance(message, AIMessage) and at >= first:
                yield from self._complete(message)
            elif isinstance(message, AIMessage):
                # it was before the stream's beginning, but the results of its calls were not
                yield from self._complete_calls(message, early)
            elif isinstance(message, Result) and call_id_of(message) in self._calls - self._returned:
                yield from self.end()
                yield from self._return(message)
        yield from self.end()

    def _knows(self, message: BaseMessage) -> bool:
        told = self._told.get(message.id or "")
        return told is not None and not told.is_empty

    def _complete_calls(self, message: AIMessage, wanted: set[str]) -> Iterator[Event]:
        for call in (*message.tool_calls, *message.invalid_tool_calls):
            if call["id"] in wanted:
                yield from self._begin(message)
                yield from self._complete_call(self._told_now(), message, call)


def _indexed(chunk: AIMessageChunk) -> Iterator[tuple[Piece, Any]]:
    """Yield what a chunk shows, each with the index of its block."""
    if isinstance(chunk.content, str) or chunk.additional_kwargs.get("reasoning_content"):
        for piece in pieces_of(chunk):
            yield piece, None
        return
    for block in chunk.content:
        for piece in shown_in(block):
            yield piece, block.get("index") if isinstance(block, dict) else None


def _arguments(text: str) -> tuple[Any, str | None]:
    """Return the arguments in a text as LangChain reads them, or the text and what is wrong with it."""
    try:
        value = parse_partial_json(text or "{}")
    except (ValueError, RecursionError):
        value = None
    return (value, None) if isinstance(value, dict) else (text, "The arguments of the call are not valid.")
