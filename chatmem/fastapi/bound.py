"""What a request has: the memory, the user, the router's options, and one of the user's chats."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request

from chatmem.errors import NotFoundError, TornSessionError
from chatmem.fastapi.options import Options
from chatmem.history import History
from chatmem.memory import ChatMemory
from chatmem.model import SessionInfo


@dataclass(frozen=True, slots=True)
class Bound:
    """A request's memory and user, and the options of its router."""

    memory: ChatMemory
    user: str
    options: Options

    def history(self, session_id: str) -> History:
        """Return one conversation of the user. No round trip."""
        return self.memory.history(session_id, user=self.user)


_KEY = "chatmem.fastapi"


def bind(request: Request, bound: Bound) -> None:
    """Keep it for the dependencies below."""
    request.scope[_KEY] = bound


def _bound(request: Request) -> Bound:
    bound: Bound = request.scope[_KEY]
    return bound


Here = Annotated[Bound, Depends(_bound)]


@dataclass(frozen=True, slots=True)
class Chat:
    """One of the user's chats, and what is known of it."""

    history: History
    info: SessionInfo


async def existing(history: History) -> SessionInfo:
    """Return what is known of a chat. One round trip.

    Raises:
        NotFoundError: there is no such chat, or it is not this user's.
    """
    info = await history.info()
    if info.user is None:
        raise NotFoundError("there is no such session", session=history.session_id)
    return info


async def _history(here: Here, session_id: Annotated[str, Path(min_length=1)]) -> History:
    return here.history(session_id)


HistoryOf = Annotated[History, Depends(_history)]
"""A chat that may not exist. What is done with it checks that it is the user's."""


async def _chat(history: HistoryOf) -> Chat:
    return Chat(history, await existing(history))


async def _remains(history: HistoryOf) -> History:
    with suppress(TornSessionError):
        await existing(history)
    return history


OpenChat = Annotated[Chat, Depends(_chat)]
"""A chat that exists."""
Remains = Annotated[History, Depends(_remains)]
"""A chat that exists, or a part of one."""
