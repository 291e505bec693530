"""The chats of the signed-in user: list, open, send, edit, regenerate, rate, rename, delete, search.

Whatever may fail with a status of its own is done in dependencies: once an answer is streamed, its status is sent.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from langchain_core.messages import BaseMessage, HumanMessage
from pydantic import BaseModel, Field, NonNegativeInt, StringConstraints

import chatmem

from .answers import Events, already_stored, answer, empty_answer, is_finished
from .dependencies import Chat, Memory, Model, Remains, User, counted
from .errors import arguments_checked
from .views import ChatList, ChatView, Hit, MessagePage, MessageView

router = APIRouter(prefix="/chats", tags=["chats"])

TITLE, TOKENS = 60, 4000
QUIET = 30.0
"""Seconds after which a stream of changes ends; the browser opens another one."""

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]


class NewChat(BaseModel):
    """What a new chat is about: its first words are its title."""

    text: Text


class Change(BaseModel):
    """What changes of a chat in the list; what is left out stays."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = None
    archived: bool | None = None
    pinned: bool | None = None


class Question(BaseModel):
    """A message of the user's. The browser makes its id, so that one that is sent again is stored once."""

    id: uuid.UUID
    text: Text
    after: Annotated[int | None, Field(ge=-1)] = None
    """for an edited question, the position of the message before the old one, -1 for none; the old one is kept"""


class Again(BaseModel):
    """Which question to answer anew, by its position, and the version of the chat that the user has seen."""

    question: int
    version: int


class Rating(BaseModel):
    """What the user thinks of an answer."""

    rating: Literal["up", "down"] | None


class Shown(BaseModel):
    """The branch that the user wants to see, one of a message's siblings."""

    branch: NonNegativeInt


@router.get("")
async def chats(user: User, memory: Memory, before: str | None = None, *, archived: bool = False) -> ChatList:
    """Return the user's chats, or those that are archived, the one written last first."""
    with arguments_checked():
        page = await memory.sessions(user, before=before, limit=30, archived=archived)
    return ChatList(chats=[ChatView.of(info) for info in page.sessions], next=page.next)


@router.post("", status_code=201)
async def new(chat: NewChat, user: User, memory: Memory) -> ChatView:
    """Make a chat. Its id is nobody's choice, so nobody can take another's."""
    history = memory.history(str(uuid.uuid4()), user=user)
    await history.update(title=" ".join(chat.text.split())[:TITLE])
    return ChatView.of(await history.info())


@router.get("/search")
async def search(user: User, memory: Memory, query: str) -> list[Hit]:
    """Return the messages that hold a query's words, from all chats of the user."""
    with arguments_checked():
        return [Hit.of(match) for match in await memory.search(user, query, limit=20)]


@router.get("/{session_id}")
async def look(chat: Chat) -> ChatView:
    """Return what is known of a chat; a new version says that there is something new to read."""
    return ChatView.of(chat.info)


@router.get("/{session_id}/messages")
async def read(chat: Chat, before: Annotated[int | None, Query(ge=0)] = None) -> MessagePage:
    """Return the newest messages, or those before a position."""
    page = await chat.history.page(before=before, limit=50)
    messages = [MessageView.of(entry) for entry in reversed(page.entries)]
    return MessagePage(messages=messages, next=page.next, chat=ChatView.of(chat.info))


@router.get("/{session_id}/changes", response_class=EventSourceResponse, dependencies=[Depends(counted)])
async def follow(chat: Chat, after: NonNegativeInt) -> AsyncIterator[ServerSentEvent]:
    """Stream what happens to a chat behind a version, in whatever tab or process, until nothing does for a while."""
    async with aclosing(chat.history.changes(after=after, timeout=QUIET)) as changes:
        async for change in changes:
            yield ServerSentEvent(data={"version": change.version}, event=change.kind, id=str(change.version))


@router.put("/{session_id}/branch", status_code=204)
async def switch(chat: Chat, shown: Shown) -> None:
    """Show another version of an edited question, and what follows it."""
    await chat.history.switch(shown.branch)


@router.put("/{session_id}/messages/{seq}/rating", status_code=204)
async def rate(chat: Chat, seq: NonNegativeInt, rating: Rating) -> None:
    """Rate an answer, or take the rating back."""
    await chat.history.annotate(seq, rating.model_dump())


@router.patch("/{session_id}", status_code=204)
async def change(chat: Chat, new: Change) -> None:
    """Give a chat a title, archive it or pin it."""
    await chat.history.update(title=new.title, archived=new.archived, pinned=new.pinned)


@router.delete("/{session_id}", status_code=204)
async def delete(history: Remains) -> None:
    """Remove a chat, whole, or what is left of it."""
    await history.clear()


async def _asked(question: Question, chat: Chat, model: Model) -> AsyncIterator[Events]:
    """Store a question and the place of its answer, in one step and once; an edited one begins a branch."""
    if question.after is not None and await chat.history.get(str(question.id)) is None:
        await chat.history.branch(after=question.after)
    asked, place = HumanMessage(question.text, id=str(question.id)), empty_answer()
    prompt = [*await _prompt(chat.history), asked]
    done = await chat.history.append(asked, place, idempotency_key=f"question {asked.id}")
    again = done.duplicates > 0
    events = already_stored(done.version) if again else answer(chat.history, model, prompt, place)
    async with aclosing(events):  # this ends after the response, however that ends
        yield events


async def _asked_again(again: Again, chat: Chat, model: Model) -> AsyncIterator[Events]:
    """Remove what follows a question, unless the chat has changed since the user saw it, and make place anew."""
    entry = await chat.history.get(again.question)
    if entry is None or not isinstance(entry.message, HumanMessage):
        raise HTTPException(404, "There is no such question.")
    left = await chat.history.truncate(after=again.question, expected_version=again.version)
    prompt, place = await _prompt(chat.history), empty_answer()
    await chat.history.append(place, expected_version=left.version)
    async with aclosing(answer(chat.history, model, prompt, place)) as events:
        yield events


async def _prompt(history: chatmem.History) -> list[BaseMessage]:
    """Return what the model is told of a chat: its end, without the places of answers that were never begun."""
    window = await history.window(tokens=TOKENS)
    return [message for message in window if message.content or is_finished(message)]


@router.post("/{session_id}/messages", response_class=EventSourceResponse, dependencies=[Depends(counted)])
async def send(events: Annotated[Events, Depends(_asked)]) -> AsyncIterator[ServerSentEvent]:
    """Store a question and stream its answer; sent again, it is stored once and answered once."""
    async for event in events:
        yield event


@router.post("/{session_id}/regenerate", response_class=EventSourceResponse, dependencies=[Depends(counted)])
async def regenerate(events: Annotated[Events, Depends(_asked_again)]) -> AsyncIterator[ServerSentEvent]:
    """Remove an answer and all behind it, and stream another."""
    async for event in events:
        yield event
