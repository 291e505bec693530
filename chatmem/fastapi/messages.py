"""The messages of a chat: pages, questions, answers anew, branches, annotations."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from langchain_core.messages import HumanMessage
from pydantic import BaseModel, ConfigDict

from chatmem.core.jsonable import Metadata
from chatmem.errors import NotFoundError
from chatmem.fastapi.answers import Begun, ask, ask_again, begin_chat
from chatmem.fastapi.bound import Here, HistoryOf, OpenChat, existing
from chatmem.fastapi.errors import RESPONSES, Route, arguments_checked, malformed
from chatmem.fastapi.limits import After, Limit, Position, Text, Title
from chatmem.model import Branch, Page, Switched

router = APIRouter(route_class=Route, responses=RESPONSES, tags=["chats"])


class NewChat(BaseModel):
    """The question that a chat begins with.

    Attributes:
        text: the question.
        title: the chat's title; by default the application makes one of the question.
        id: an id for the question, which the client chooses. A request that is sent again with it begins nothing twice.
    """

    model_config = ConfigDict(extra="forbid")

    text: Text
    title: Title | None = None
    id: uuid.UUID | None = None


class NewMessage(BaseModel):
    """A question.

    Attributes:
        text: the question.
        after: if it is an edited question: the position of the message before the old one, -1 if that was the first.
            A branch begins there, and the old question stays on its own.
        id: an id for the question, which the client chooses. A request that is sent again with it begins nothing twice.
    """

    model_config = ConfigDict(extra="forbid")

    text: Text
    after: After | None = None
    id: uuid.UUID | None = None


class Regenerate(BaseModel):
    """Which question to answer anew.

    Attributes:
        after: the question's position. A branch begins behind it, and the old answer stays on its own.
    """

    model_config = ConfigDict(extra="forbid")

    after: Position


class Shown(BaseModel):
    """The branch to show.

    Attributes:
        branch: its id, as `siblings` of a page and the list of branches say it.
    """

    model_config = ConfigDict(extra="forbid")

    branch: Position


def _question(new: NewChat | NewMessage) -> HumanMessage:
    return HumanMessage(new.text, id=str(new.id or uuid.uuid4()))


@router.post("/chats", status_code=201)
async def new_chat(new: NewChat, here: Here) -> Begun:
    """Begin a chat with a question, and begin to answer it. The server chooses the chat's id."""
    history = here.history(str(uuid.uuid4() if new.id is None else uuid.uuid5(new.id, here.user)))
    return await begin_chat(here, history, _question(new), title=new.title)


@router.get("/chats/{session_id}/messages")
async def read_messages(
    history: HistoryOf,
    before: Annotated[Position | None, Query()] = None,
    after: Annotated[After | None, Query()] = None,
    limit: Limit = 50,
) -> Page:
    """Return the newest messages, or those before a position, newest first; or those behind one, oldest first.

    `next` is the `before` or the `after` of the next page.
    """
    if before is not None and after is not None:
        raise malformed("before and after: give only one of them.")
    page = await history.page(before=before, after=after, limit=limit, newest_first=after is None)
    if not page.entries:
        await existing(history)
    return page


@router.post("/chats/{session_id}/messages", status_code=201)
async def send_message(chat: OpenChat, new: NewMessage, here: Here) -> Begun:
    """Store a question and begin to answer it."""
    return await ask(here, chat.history, _question(new), version=chat.info.version, after=new.after)


@router.post("/chats/{session_id}/regenerate", status_code=201)
async def regenerate(chat: OpenChat, what: Regenerate, here: Here) -> Begun:
    """Begin to answer a question anew."""
    return await ask_again(here, chat.history, what.after, version=chat.info.version)


@router.get("/chats/{session_id}/branches")
async def list_branches(history: HistoryOf) -> list[Branch]:
    """Return the chat's branches, oldest first."""
    branches = await history.branches()
    if not branches:
        await existing(history)
    return branches


@router.put("/chats/{session_id}/branch")
async def switch_branch(history: HistoryOf, shown: Shown) -> Switched:
    """Show another branch, for example another version of an edited question."""
    return await history.switch(shown.branch)


@router.put("/chats/{session_id}/messages/{seq}/annotations")
async def annotate(history: HistoryOf, seq: Annotated[Position, Path()], annotations: dict[str, Any]) -> Metadata:
    """Keep a rating or another note beside a message. Keys are merged, and null removes one. Returns all of them."""
    with arguments_checked():
        await history.annotate(seq, annotations)
    entry = await history.get(seq)
    if entry is None:
        raise NotFoundError("the message was removed meanwhile", session=history.session_id)
    return entry.annotations
