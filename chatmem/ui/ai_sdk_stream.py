"""An answer as the AI SDK's UI message stream, which `useChat` reads."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from chatmem.model import Chunk
from chatmem.ui import sse
from chatmem.ui.ai_sdk_parts import outcome, shown_piece
from chatmem.ui.events import (
    Argued,
    Began,
    Called,
    Closed,
    Ended,
    Event,
    Grew,
    Opened,
    Ready,
    Returned,
    Showed,
)
from chatmem.ui.kept import items_of, metadata_of
from chatmem.ui.streaming import Teller
from chatmem.ui.values import shown, shown_text

HEADERS = {**sse.HEADERS, "x-vercel-ai-ui-message-stream": "v1"}
"""The headers of a response whose body is `stream(...)`."""
_Sent = dict[str, Any]


async def stream(chunks: AsyncIterable[Chunk], *, answer_id: str | None = None) -> AsyncIterator[str]:
    """Yield the server-sent events of an answer, as the AI SDK's `DefaultChatTransport` reads them.

    A complete answer ends with `finish`, a stopped one with `abort`. An interrupted or failed one ends with `error`. If
    the chunks end before the answer does, no such event is sent.

    Args:
        chunks: what `History.follow` yields, from the beginning, from a cursor, or after the end.
        answer_id: the answer's id, which becomes the id of the `UIMessage`. By default it is that of the first message,
            which is the same unless `follow` got a cursor.

    Raises:
        ChatMemError: what `follow` raises.
    """
    writer = _Writer(answer_id)
    if answer_id is not None:
        yield sse.event(writer.start())
    async for chunk in chunks:
        for sent in writer.take(chunk):
            yield sse.event(sent)
    for sent in writer.close():
        yield sse.event(sent)
    yield "data: [DONE]\n\n"


class _Writer:
    """Writes the events of one answer."""

    def __init__(self, answer_id: str | None) -> None:
        self._answer_id = answer_id
        self._teller = Teller()
        self._started = False
        self._in_step = False
        self._parts = 0

    def start(self) -> _Sent:
        self._started = True
        return {"type": "start"} | ({"messageId": shown_text(self._answer_id)} if self._answer_id else {})

    def take(self, chunk: Chunk) -> Iterator[_Sent]:
        if not self._started and (chunk.messages or chunk.status):
            self._answer_id = next((one.id for one in chunk.messages if one.id), None)
            yield self.start()
        for event in self._teller.tell(chunk):
            yield from self._sent(event)
        if chunk.status is not None:
            yield from self.close()
            yield from _end(chunk.status, chunk.messages)

    def close(self) -> Iterator[_Sent]:
        """Yield the end of whatever is open."""
        for event in self._teller.end():
            yield from self._sent(event)
        if self._in_step:
            self._in_step = False
            yield {"type": "finish-step"}

    def _sent(self, event: Event) -> Iterator[_Sent]:
        match event:
            case Began():
                if self._in_step:
                    yield {"type": "finish-step"}
                self._in_step = True
                yield {"type": "start-step"}
            case Opened(is_text=is_text):
                self._parts += 1
                yield self._part("start", is_text)
            case Grew(is_text=is_text, delta=delta):
                yield self._part("delta", is_text) | {"delta": shown_text(delta)}
            case Closed(is_text=is_text):
                yield self._part("end", is_text)
            case Showed(piece=piece):
                yield from (part for part in shown_piece(piece, {}) if part["type"] != "text")
            case Called(call=call, name=name):
                yield _tool("tool-input-start", call) | {"toolName": shown_text(name)}
            case Argued(call=call, delta=delta):
                yield _tool("tool-input-delta", call) | {"inputTextDelta": shown_text(delta)}
            case Ready(call=call, name=name, args=args, error=error):
                kind = "available" if error is None else "error"
                yield (
                    _tool(f"tool-input-{kind}", call)
                    | {"toolName": shown_text(name), "input": shown(args)}
                    | ({} if error is None else {"errorText": shown_text(error)})
                )
            case Returned(call=call, result=result):
                told = outcome(result)
                yield _tool(f"tool-{told.pop('state')}", call) | told
            case Ended():
                pass

    def _part(self, what: str, is_text: bool) -> _Sent:
        return {"type": f"{'text' if is_text else 'reasoning'}-{what}", "id": f"part-{self._parts}"}


def _tool(kind: str, call: str) -> _Sent:
    return {"type": kind, "toolCallId": shown_text(call)}


def _end(status: str, messages: list[BaseMessage]) -> Iterator[_Sent]:
    metadata = metadata_of(items_of(one for one in messages if isinstance(one, AIMessage)), None).get("metadata")
    told = {} if metadata is None else {"messageMetadata": metadata}
    if status == "complete":
        yield {"type": "finish", "finishReason": "stop"} | told
        return
    if told:
        yield {"type": "message-metadata"} | told
    yield {"type": "abort"} if status == "stopped" else {"type": "error", "errorText": sse.ERRORS[status]}
