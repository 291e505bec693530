"""What happens, as server-sent events: an answer as it is written, changes of a chat, changes of the list of chats."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, TypeAdapter

from chatmem.errors import ChatMemError, NotFoundError
from chatmem.fastapi.bound import Here, HistoryOf, OpenChat, existing
from chatmem.fastapi.errors import (
    NOTHING,
    RESPONSES,
    STREAM_RESPONSES,
    NothingToStreamError,
    Responses,
    Route,
    arguments_checked,
    refused_for,
)
from chatmem.fastapi.limits import Position
from chatmem.model import Change, Chunk, SessionChange

router = APIRouter(route_class=Route, tags=["chats"])

QUIET = 30.0
"""Seconds without a change after which a stream of changes ends. Browsers come back; a server that stops may end."""
_SOON = 1000
"""Milliseconds after which an EventSource comes back."""
_END = "end"
"""The id of an answer's last event."""

T = TypeVar("T")
Events = AsyncIterator[ServerSentEvent]


class Stopped(BaseModel):
    """Whether an answer was stopped.

    Attributes:
        stopped: false if it had ended before.
    """

    stopped: bool


def _streaming(item: type, more: Responses | None = None) -> dict[str, Any]:
    """Return the options of a route whose events carry items of this type."""
    about = {"description": "Server-sent events: each `data` is one of these, as JSON", "model": item}
    return {"response_class": EventSourceResponse, "responses": STREAM_RESPONSES | {200: about} | (more or {})}


async def _events(items: AsyncIterator[T], kind: type[T], id_of: Callable[[T], str]) -> Events:
    """Yield items as events. An error in the middle is an event `problem`, since the status has been sent."""
    adapter = TypeAdapter(kind)
    yield ServerSentEvent(retry=_SOON)
    try:
        async for item in items:
            yield ServerSentEvent(raw_data=adapter.dump_json(item).decode(), id=id_of(item))
    except ChatMemError as error:
        yield ServerSentEvent(event="problem", raw_data=refused_for(error).problem.model_dump_json())


async def _chunks(
    chat: OpenChat,
    answer: str,
    after: str | None = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[AsyncIterator[Chunk]]:
    if last_event_id == _END:
        raise NothingToStreamError
    running = {one.id for one in chat.info.answers}
    if answer not in running and await chat.history.get(answer) is None:
        raise NotFoundError("there is no such answer", session=chat.history.session_id)
    with arguments_checked():
        chunks = chat.history.follow(answer, after=last_event_id or after)
    async with aclosing(chunks):  # this ends after the response, however that ends
        yield chunks


async def _changes(
    chat: OpenChat,
    after: Annotated[Position | None, Query()] = None,
    last_event_id: Annotated[Position | None, Header()] = None,
) -> AsyncIterator[AsyncIterator[Change]]:
    known = [one for one in (last_event_id, after, chat.info.version) if one is not None]
    async with aclosing(chat.history.changes(after=known[0], timeout=QUIET)) as changes:
        yield changes


async def _list_changes(
    here: Here, after: str | None = None, last_event_id: Annotated[str | None, Header()] = None
) -> AsyncIterator[AsyncIterator[SessionChange]]:
    with arguments_checked():
        changes = here.memory.changes(here.user, after=last_event_id or after, timeout=QUIET)
    async with aclosing(changes):
        yield changes


@router.get("/chats/{session_id}/answers/{answer}", **_streaming(Chunk, NOTHING))
async def follow_answer(chunks: Annotated[AsyncIterator[Chunk], Depends(_chunks)]) -> Events:
    """Follow an answer from its beginning, or from behind the cursor `after`, to its end.

    The last event has a `status`. Close the stream then: an EventSource would come back, and get a 204.
    """
    async for event in _events(chunks, Chunk, lambda chunk: chunk.cursor if chunk.status is None else _END):
        yield event


@router.post("/chats/{session_id}/answers/{answer}/stop", responses=RESPONSES)
async def stop_answer(history: HistoryOf, answer: str) -> Stopped:
    """End an answer that is being written, wherever, and keep what there is of it."""
    stopped = await history.stop(answer)
    if not stopped:
        await existing(history)
    return Stopped(stopped=stopped)


@router.get("/chats/{session_id}/changes", **_streaming(Change))
async def follow_chat(changes: Annotated[AsyncIterator[Change], Depends(_changes)]) -> Events:
    """Follow the changes of a chat behind the version `after`, by default from now on.

    The stream ends when nothing happens for 30 s.
    """
    async for event in _events(changes, Change, lambda change: str(change.version)):
        yield event


@router.get("/changes", **_streaming(SessionChange))
async def follow_chats(changes: Annotated[AsyncIterator[SessionChange], Depends(_list_changes)]) -> Events:
    """Follow the changes of the user's list of chats behind the cursor `after`, by default from now on.

    The stream ends when nothing happens for 30 s. Read the list again whenever the stream is opened without a cursor.
    """
    async for event in _events(changes, SessionChange, lambda change: change.cursor):
        yield event
