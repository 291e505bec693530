"""What the routes ask for: the memory, the model, the signed-in user, one of the user's chats."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, NamedTuple

from fastapi import Depends, HTTPException, Request
from langchain_core.language_models import BaseChatModel

import chatmem

from .limits import Streams


def _memory(request: Request) -> chatmem.ChatMemory:
    memory: chatmem.ChatMemory = request.app.state.memory
    return memory


def _model(request: Request) -> BaseChatModel:
    model: BaseChatModel = request.app.state.model
    return model


def _user(request: Request) -> str:
    user: str | None = request.session.get("user")
    if user is None:
        raise HTTPException(401, "Sign in first.")
    return user


Memory = Annotated[chatmem.ChatMemory, Depends(_memory)]
Model = Annotated[BaseChatModel, Depends(_model)]
User = Annotated[str, Depends(_user)]


class OpenChat(NamedTuple):
    """A chat that is the user's."""

    history: chatmem.History
    info: chatmem.SessionInfo


async def _chat(session_id: str, user: User, memory: Memory) -> OpenChat:
    """Open a chat. Another user's is as absent as one that never was, and so is one that nobody owns."""
    history = memory.history(session_id, user=user)
    with suppress(chatmem.NotFoundError):
        info = await history.info()
        if info.user == user:
            return OpenChat(history, info)
    raise HTTPException(404, "There is no such chat.")


async def _remains(session_id: str, user: User, memory: Memory) -> chatmem.History:
    """Open a chat that is there, or a part of one."""
    try:
        return (await _chat(session_id, user, memory)).history
    except chatmem.TornSessionError:
        return memory.history(session_id, user=user)


Chat = Annotated[OpenChat, Depends(_chat)]
Remains = Annotated[chatmem.History, Depends(_remains)]


async def counted(user: User, request: Request) -> AsyncIterator[None]:
    """Count an answer that is streamed until its response has ended, or refuse it."""
    streams: Streams = request.app.state.streams
    with streams.one(user):
        yield
