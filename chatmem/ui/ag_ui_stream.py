"""An answer as AG-UI events, which an `HttpAgent` reads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from typing import Any

from langchain_core.messages import BaseMessage

from chatmem.model import Chunk
from chatmem.ui import sse
from chatmem.ui.events import Argued, Called, Closed, Event, Grew, Opened, Ready, Returned
from chatmem.ui.pieces import DATA_URL, File, Text, pieces_of, text_of
from chatmem.ui.streaming import Teller
from chatmem.ui.values import shown, shown_text

HEADERS = sse.HEADERS
"""The headers of a response whose body is `stream(...)`."""
_ERRORS = {**sse.ERRORS, "incomplete": "The stream ended before the answer did."}
_Sent = dict[str, Any]


async def stream(
    chunks: AsyncIterable[Chunk] | None, thread_id: str, run_id: str, *, snapshot: _Sent | None = None
) -> AsyncIterator[str]:
    """Yield what `events` yields as server-sent events."""
    async for event in events(chunks, thread_id, run_id, snapshot=snapshot):
        yield sse.event(event)


async def events(
    chunks: AsyncIterable[Chunk] | None, thread_id: str, run_id: str, *, snapshot: _Sent | None = None
) -> AsyncIterator[_Sent]:
    """Yield the AG-UI events of a run, from RUN_STARTED to RUN_FINISHED or RUN_ERROR.

    A complete answer ends with RUN_FINISHED, a stopped one with RUN_FINISHED and the outcome "cancelled". An
    interrupted or failed one ends with RUN_ERROR, whose `code` is the status. If the chunks end before the answer does,
    the code is "incomplete".

    Args:
        chunks: what `History.follow` yields, from the beginning, from a cursor, or after the end; None if no answer
            runs.
        thread_id: the `threadId` of the run's input, which is the session's id.
        run_id: the `runId` of the run's input.
        snapshot: what `ag_ui.snapshot` returned, to be sent first. It takes the place of what the client shows, so an
            answer that the client has read a part of is shown once.

    Raises:
        ChatMemError: what `follow` raises.
    """
    run = {"threadId": thread_id, "runId": run_id}
    yield {"type": "RUN_STARTED", "protocolVersion": "1.0"} | run
    if snapshot is not None:
        yield snapshot
    status: str | None = "complete" if chunks is None else None
    teller, writer = Teller(), _Writer()
    if chunks is not None:
        async for chunk in chunks:
            status = chunk.status
            for event in teller.tell(chunk):
                for sent in writer.sent(event):
                    yield sent
    for event in teller.end():
        for sent in writer.sent(event):
            yield sent
    yield _end(status, run)


def _end(status: str | None, run: _Sent) -> _Sent:
    code = status or "incomplete"
    if code in _ERRORS:
        return {"type": "RUN_ERROR", "message": _ERRORS[code], "code": code}
    return {"type": "RUN_FINISHED", **run, "outcome": {"type": "success" if status == "complete" else "cancelled"}}


class _Writer:
    """Writes the events of one answer."""

    def __init__(self) -> None:
        self._thoughts: dict[str, int] = {}

    def sent(self, event: Event) -> Iterator[_Sent]:
        match event:
            case Opened(message=message, is_text=True):
                yield _of("TEXT_MESSAGE_START", message) | {"role": "assistant"}
            case Grew(message=message, is_text=True, delta=delta):
                yield _of("TEXT_MESSAGE_CONTENT", message) | {"delta": shown_text(delta)}
            case Closed(message=message, is_text=True):
                yield _of("TEXT_MESSAGE_END", message)
            case Opened(message=message):
                self._thoughts[message] = self._thoughts.get(message, 0) + 1
                yield _of("REASONING_START", self._thought(message))
                yield _of("REASONING_MESSAGE_START", self._thought(message)) | {"role": "reasoning"}
            case Grew(message=message, delta=delta):
                yield _of("REASONING_MESSAGE_CONTENT", self._thought(message)) | {"delta": shown_text(delta)}
            case Closed(message=message):
                yield _of("REASONING_MESSAGE_END", self._thought(message))
                yield _of("REASONING_END", self._thought(message))
            case Called(message=message, call=call, name=name):
                parent = {"toolCallName": shown_text(name), "parentMessageId": shown_text(message)}
                yield _call("TOOL_CALL_START", call) | parent
            case Argued(call=call, delta=delta):
                yield _call("TOOL_CALL_ARGS", call) | {"delta": shown_text(delta)}
            case Ready(call=call):
                yield _call("TOOL_CALL_END", call)
            case Returned(call=call, result=result):
                told = {"messageId": shown_text(result.id or f"{call}-result"), "content": content_of_result(result)}
                yield _call("TOOL_CALL_RESULT", call) | told | {"role": "tool"}

    def _thought(self, message: str) -> str:
        return f"{message}-reasoning-{self._thoughts[message]}"


def _of(kind: str, message: str) -> _Sent:
    return {"type": kind, "messageId": shown_text(message)}


def _call(kind: str, call: str) -> _Sent:
    return {"type": kind, "toolCallId": shown_text(call)}


def content_of_result(message: BaseMessage) -> str | list[_Sent]:
    """Return the content of a user's or a tool's message: its text, parts if it has files, JSON if it has neither."""
    pieces = pieces_of(message)
    if not pieces and message.content:
        return json.dumps(shown(message.content), ensure_ascii=False)
    if not any(isinstance(piece, File) for piece in pieces):
        return shown_text(text_of(message))
    return [_part(piece) for piece in pieces if isinstance(piece, Text | File)]


def _part(piece: Text | File) -> _Sent:
    if isinstance(piece, Text):
        return {"type": "text", "text": shown_text(piece.text)}
    kind = piece.mime_type.partition("/")[0]
    url, mime_type = shown_text(piece.url), shown_text(piece.mime_type)
    if match := DATA_URL.fullmatch(url):
        source = {"type": "data", "value": match[2], "mimeType": match[1] or mime_type}
    else:
        known = {} if mime_type.endswith("/*") else {"mimeType": mime_type}
        source = {"type": "url", "value": url} | known
    return {"type": kind if kind in ("image", "audio", "video") else "document", "source": source}
