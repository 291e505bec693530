"""What the AI SDK's `useChat` asks for, as its `DefaultChatTransport` sends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.sse import EventSourceResponse
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, Field

from chatmem.errors import NotFoundError
from chatmem.fastapi import front_ends
from chatmem.fastapi.answers import Begun, ask, ask_again, begin_chat
from chatmem.fastapi.bound import Bound, Here, HistoryOf, existing
from chatmem.fastapi.errors import NOTHING, RESPONSES, STREAM_RESPONSES, ChatProblem, NothingToStreamError, Route
from chatmem.fastapi.limits import Limit, Position, SessionId
from chatmem.fastapi.streams import Events
from chatmem.history import History
from chatmem.ui import ai_sdk

router = APIRouter(route_class=Route, prefix="/ai-sdk/chat", tags=["AI SDK"])


class UIRequest(BaseModel):
    """The body of `DefaultChatTransport`.

    Attributes:
        id: the chat.
        messages: `UIMessage`s. Only the last one is read, which must be the user's.
        trigger: whether a question is asked, or an answer asked for anew.
        message_id: the question that is edited, or the answer that is asked for anew.
    """

    id: SessionId
    messages: list[dict[str, Any]]
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    message_id: Annotated[str | None, Field(alias="messageId", min_length=1)] = None


async def _begin(here: Bound, history: History, body: UIRequest) -> Begun:
    info = await history.info()
    message = None if body.message_id is None else await history.get(body.message_id)
    if body.trigger == "regenerate-message":
        if info.user is None:
            raise NotFoundError("there is no such session", session=history.session_id)
        seq = await front_ends.question_at(here, history, message)
        return await ask_again(here, history, seq, version=info.version)
    question = front_ends.asked(body.messages, ai_sdk.to_messages)
    if info.user is None:
        return await begin_chat(here, history, question)
    if message is None:
        return await ask(here, history, question, version=info.version)
    return await front_ends.ask_edited(here, history, message, question, version=info.version)


@asynccontextmanager
async def _streamed(history: History, answer: str, response: Response) -> AsyncIterator[AsyncIterator[str]]:
    response.headers["x-vercel-ai-ui-message-stream"] = ai_sdk.HEADERS["x-vercel-ai-ui-message-stream"]
    async with aclosing(history.follow(answer)) as chunks:
        yield ai_sdk.stream(chunks, answer_id=answer)


async def _sent(body: UIRequest, here: Here, response: Response) -> AsyncIterator[AsyncIterator[str]]:
    history = here.history(body.id)
    begun = await _begin(here, history, body)
    async with _streamed(history, begun.answer, response) as stream:
        yield stream


async def _resumed(history: HistoryOf, response: Response) -> AsyncIterator[AsyncIterator[str]]:
    try:
        info = await existing(history)
    except NotFoundError:
        raise NothingToStreamError from None
    if not info.answers:
        raise NothingToStreamError
    async with _streamed(history, info.answers[-1].id, response) as stream:
        yield stream


def _error(problem: ChatProblem) -> dict[str, Any]:
    return {"type": "error", "errorText": problem.detail}


@router.post("", response_class=EventSourceResponse, responses=STREAM_RESPONSES)
async def ai_sdk_send(stream: Annotated[AsyncIterator[str], Depends(_sent)]) -> Events:
    """Answer what `useChat` sends: a question, an edited one (`messageId`), or an answer anew. Edits begin branches."""
    async for event in front_ends.events(stream, _error):
        yield event


@router.get("/{session_id}/stream", response_class=EventSourceResponse, responses=STREAM_RESPONSES | NOTHING)
async def ai_sdk_resume(stream: Annotated[AsyncIterator[str], Depends(_resumed)]) -> Events:
    """Stream the answer that is being written, from its beginning; 204 if there is none."""
    async for event in front_ends.events(stream, _error):
        yield event


@router.get("/{session_id}/messages", responses=RESPONSES)
async def ai_sdk_messages(
    history: HistoryOf,
    before: Annotated[Position | None, Query()] = None,
    limit: Limit = 100,
) -> list[dict[str, Any]]:
    """Return the newest messages as `UIMessage`s, oldest first, or those before a position.

    A page does not begin in the middle of an answer. `metadata.chatmem.messages[0].seq` of its first message is the
    `before` of the page before it.
    """
    page = await history.page(before=before, limit=limit)
    if not page.entries:
        await existing(history)
    entries = page.entries[::-1]
    if page.next is not None:
        whole = [index for index, entry in enumerate(entries) if isinstance(entry.message, HumanMessage)]
        entries = entries[whole[0] :] if whole else entries
    return ai_sdk.from_messages(entries)
