"""The user's chats: list, search, look at one, change it, delete it. How one begins is in `messages`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from chatmem.errors import NotFoundError
from chatmem.fastapi.bound import Here, HistoryOf, OpenChat, Remains, existing
from chatmem.fastapi.errors import RESPONSES, Route, arguments_checked
from chatmem.fastapi.limits import Limit, Title
from chatmem.model import Match, SessionInfo, SessionPage
from chatmem.scripts.calls import Order

router = APIRouter(route_class=Route, responses=RESPONSES, tags=["chats"])


class ChatChanges(BaseModel):
    """What changes of a chat; what is left out, or null, stays.

    Attributes:
        title: the new title.
        archived: whether lists leave it out.
        pinned: whether it is pinned.
        tags: its tags, in place of the old ones.
        metadata: keys to set, and null for those to remove.
        expected_revision: the revision of the chat that the client has seen; if it has another one, a 409.
    """

    model_config = ConfigDict(extra="forbid")

    title: Title | None = None
    archived: bool | None = None
    pinned: bool | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    expected_revision: NonNegativeInt | None = None


@router.get("/chats")
async def list_chats(
    here: Here,
    before: str | None = None,
    limit: Limit = 50,
    *,
    archived: bool = False,
    pinned: bool | None = None,
    tag: str | None = None,
    title: str | None = None,
    order: Order = "newest",
) -> SessionPage:
    """Return a page of the user's chats, the last written first. `next` is the `before` of the next page."""
    with arguments_checked():
        return await here.memory.sessions(
            here.user, limit=limit, before=before, archived=archived, pinned=pinned, tag=tag, title=title, order=order
        )


@router.get("/search")
async def search_chats(here: Here, q: str, limit: Limit = 20) -> list[Match]:
    """Search all chats of the user, the best matches first."""
    with arguments_checked():
        return await here.memory.search(here.user, q, limit=limit)


@router.get("/chats/{session_id}")
async def read_chat(chat: OpenChat) -> SessionInfo:
    """Return what is known of a chat; `answers` are those that are being written."""
    return chat.info


@router.get("/chats/{session_id}/search")
async def search_chat(history: HistoryOf, q: str, limit: Limit = 20) -> list[Match]:
    """Search one chat, the best matches first."""
    with arguments_checked():
        found = await history.search(q, limit=limit)
    if not found:
        await existing(history)
    return found


@router.patch("/chats/{session_id}")
async def change_chat(chat: OpenChat, changes: ChatChanges) -> SessionInfo:
    """Give a chat a title, archive it, pin it, tag it, or keep metadata with it."""
    with arguments_checked():
        await chat.history.update(**changes.model_dump(), merge=changes.metadata is not None)
    info = await chat.history.info()
    if chat.info.count and not info.count:  # it was deleted meanwhile, and this has begun it anew
        await chat.history.clear()
        raise NotFoundError("the session was deleted meanwhile", session=info.session_id)
    return info


@router.delete("/chats/{session_id}", status_code=204)
async def delete_chat(history: Remains) -> None:
    """Delete a chat, or what is left of it. It ends an answer that is being written."""
    await history.clear()
