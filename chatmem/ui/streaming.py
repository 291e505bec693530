"""What the chunks of an answer tell, one after the other, whatever the protocol that it is going to be told in.

A stream may begin anywhere: in the middle of a text or of a call's arguments, or with the finished messages, which tell
all that was not told before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.utils.json import parse_partial_json

from chatmem.model import Chunk
from chatmem.ui.calls import Ids
from chatmem.ui.events import Argued, Began, Called, Closed, Ended, Event, Grew, Opened, Ready, Returned, Showed
from chatmem.ui.pieces import File, Piece, Reasoning, Result, Text, call_id_of, pieces_of, shown_in
from chatmem.ui.told import Call, Told, rest_of, rest_of_arguments


class Teller:
    """Turns the chunks of one answer into events."""

    def __init__(self) -> None:
        self._told: dict[str, Told] = {}
        self._current: Told | None = None
        self._open: tuple[bool, Any] | None = None
        self._sources: list[dict[str, Any]] = []
        """those of the open text, which are told behind it"""
        self._ids = Ids()
        self._returned: set[str | None] = set()
        """the ids of the results that were told"""
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
                if not call.written.strip():  # front ends would read the arguments as JSON
                    yield from self._argue(call, "{}")
                yield from self._ready(call, *_arguments(call.written))
        yield Ended(told.id)

    def _begin(self, message: AIMessage) -> Iterator[Event]:
        message_id = message.id or (self._current.id if self._current is not None else "message-0")
        if self._current is not None and self._current.id == message_id:
            return
        yield from self.end()
        self._current = self._told.setdefault(message_id, Told(message_id))
        yield Began(message_id)

    def _go_on(self, chunk: AIMessageChunk) -> Iterator[Event]:
        yield from self._begin(chunk)
        told = self._told_now()
        for piece, block in _blocks(chunk):
            if isinstance(piece, Reasoning):
                piece = told.separated(piece, block)  # noqa: PLW2901
            yield from self._show(told, piece, block.get("index"))
        for part in chunk.tool_call_chunks:
            yield from self._call(told, part)

    def _told_now(self) -> Told:
        assert self._current is not None, "a message was begun"  # noqa: S101
        return self._current

    def _show(self, told: Told, piece: Piece, index: Any) -> Iterator[Event]:
        if isinstance(piece, File):
            told.files.append(piece.url)
            yield from self._close(told)
            yield Showed(told.id, piece)
            return
        is_text = isinstance(piece, Text)
        if piece.text:
            if self._open != (is_text, index):
                yield from self._close(told)
                self._open = (is_text, index)
                yield Opened(told.id, is_text)
            told.texts[is_text].append(piece.text)
            yield Grew(told.id, is_text, piece.text)
        if isinstance(piece, Text) and piece.sources:
            told.sources += piece.sources
            self._sources += piece.sources
            if self._open != (is_text, index):  # the text has ended
                yield from self._close(told)

    def _close(self, told: Told) -> Iterator[Event]:
        if self._open is not None:
            is_text, self._open = self._open[0], None
            yield Closed(told.id, is_text)
        if self._sources:
            sources, self._sources = tuple(self._sources), []
            yield Showed(told.id, Text("", sources))

    def _call(self, told: Told, part: Mapping[str, Any]) -> Iterator[Event]:
        index, call_id, name = part.get("index"), part.get("id"), part.get("name")
        call = told.call_at.get(index)
        if call is None or (call_id and call.of_model != call_id) or (index is None and name):
            if not name:  # it comes later, or the call's beginning was before the stream's
                told.unnamed[index] = call_id
                return
            yield from self._close(told)
            call_id = call_id or told.unnamed.get(index)
            call = Call(call_id or "", self._ids.called(call_id), name)
            told.call_at[index] = call
            yield from self._begin_call(told, call)
        if part.get("args"):
            yield from self._argue(call, part["args"])

    def _begin_call(self, told: Told, call: Call) -> Iterator[Event]:
        told.calls.append(call)
        yield Called(told.id, call.id, call.name)

    def _argue(self, call: Call, args: str) -> Iterator[Event]:
        call.written += args
        yield Argued(call.id, args)

    def _ready(self, call: Call, args: Any, error: str | None) -> Iterator[Event]:
        call.is_ready = True
        yield Ready(call.id, call.name, args, error)

    def _return(self, result: Result) -> Iterator[Event]:
        call_id = call_id_of(result)
        call = self._ids.returned(call_id)
        if call is not None:
            self._returned.add(result.id)
            yield Returned(call, result)
        elif not self._ids.knows(call_id):
            self._early.append(result)  # the call was before the stream's beginning; the finished messages have it

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
        yield from self._complete_calls(told, message)
        if self._current is told:
            yield from self.end()

    def _add_rest(self, told: Told, message: AIMessage) -> Iterator[Event]:
        """Yield what the message shows besides what was told of it."""
        for piece, goes_on in rest_of(message, told):
            yield from self._begin(message)
            is_open = goes_on and self._open is not None and self._open[0] == isinstance(piece, Text)
            yield from self._show(told, piece, self._open[1] if is_open and self._open else object())

    def _complete_calls(self, told: Told, message: AIMessage, wanted: Set[str] | None = None) -> Iterator[Event]:
        """Yield the calls, or those of them that are wanted, as far as they were not told."""
        before: Counter[str] = Counter()
        for whole in (*message.tool_calls, *message.invalid_tool_calls):
            of_model = whole["id"] or ""
            number, before[of_model] = before[of_model], before[of_model] + 1
            if wanted is None or of_model in wanted:
                known = [one for one in told.calls if one.of_model == of_model][number:]
                yield from self._complete_call(told, message, whole, known[0] if known else None)

    def _complete_call(
        self, told: Told, message: AIMessage, whole: Mapping[str, Any], call: Call | None
    ) -> Iterator[Event]:
        if call is not None and call.is_ready:
            return
        args = whole["args"] if whole["args"] is not None else ""
        if call is None:
            yield from self._begin(message)
            yield from self._close(told)
            call = Call(whole["id"] or "", self._ids.called(whole["id"]), whole["name"] or "")
            yield from self._begin_call(told, call)
        if rest := rest_of_arguments(args, call.written):
            yield from self._argue(call, rest)
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
                yield from self._complete_early(message, early)
            elif isinstance(message, Result) and message.id not in self._returned:
                yield from self.end()
                yield from self._return(message)
        yield from self.end()

    def _knows(self, message: BaseMessage) -> bool:
        told = self._told.get(message.id or "")
        return told is not None and not told.is_empty

    def _complete_early(self, message: AIMessage, early: Set[str]) -> Iterator[Event]:
        if early & {call["id"] for call in (*message.tool_calls, *message.invalid_tool_calls)}:
            yield from self._begin(message)
            yield from self._complete_calls(self._told_now(), message, early)


def _blocks(chunk: AIMessageChunk) -> Iterator[tuple[Piece, dict[str, Any]]]:
    """Yield what a chunk shows, each with its block."""
    if isinstance(chunk.content, str) or chunk.additional_kwargs.get("reasoning_content"):
        for piece in pieces_of(chunk):
            yield piece, {}
        return
    for block in chunk.content:
        for piece in shown_in(block):
            yield piece, block if isinstance(block, dict) else {}


def _arguments(text: str) -> tuple[Any, str | None]:
    """Return the arguments in a text as LangChain reads them, or the text and what is wrong with it."""
    try:
        value = parse_partial_json(text or "{}")
    except (ValueError, RecursionError):
        value = None
    return (value, None) if isinstance(value, dict) else (text, "The arguments of the call are not valid.")
