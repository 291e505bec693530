"""What the page is shown of a chat, a message and a match."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel

import chatmem

from .answers import is_finished

_BEFORE, _SNIPPET = 60, 240
"""Characters of a match that are shown: before the first word found, and in all."""


class ChatView(BaseModel):
    """A chat in the list."""

    session_id: str
    title: str
    version: int
    updated_at: datetime | None
    archived: bool
    pinned: bool

    @classmethod
    def of(cls, info: chatmem.SessionInfo) -> ChatView:
        """Return what is shown of a session."""
        title = _sendable(info.title or "Untitled")
        updated = info.updated_at or info.created_at
        return cls(
            session_id=info.session_id,
            title=title,
            version=info.version,
            updated_at=updated,
            archived=info.archived,
            pinned=info.pinned,
        )


class ChatList(BaseModel):
    """A part of the user's chats, and the cursor of the next one."""

    chats: list[ChatView]
    next: str | None


class MessageView(BaseModel):
    """A message. `kind` is LangChain's type, or "error" for a record that cannot be read.

    `siblings` are the versions of an edited question, by the branches that show them.
    """

    seq: int
    kind: str
    text: str
    created_at: datetime | None
    finished: bool
    rating: Any = None
    siblings: chatmem.Siblings | None = None

    @classmethod
    def of(cls, entry: chatmem.Entry) -> MessageView:
        """Return what is shown of an entry."""
        message = entry.message
        return cls(
            seq=entry.seq,
            kind=message.type if message else "error",
            text=_sendable(message.text) if message else "This message cannot be read.",
            created_at=entry.created_at,
            finished=message is None or is_finished(message),
            rating=entry.annotations.get("rating"),
            siblings=entry.siblings,
        )


class MessagePage(BaseModel):
    """A part of a chat, oldest first, and the cursor of the part before it."""

    messages: list[MessageView]
    next: int | None
    chat: ChatView


class Part(BaseModel):
    """A piece of a match's text."""

    text: str
    found: bool


class Hit(BaseModel):
    """A message that was found, and the part of its text around the first of the words."""

    session_id: str
    seq: int
    kind: str
    parts: list[Part]

    @classmethod
    def of(cls, match: chatmem.Match) -> Hit:
        """Return what is shown of a match: pieces, since JavaScript counts characters in another way."""
        first = max(match.spans[0][0] - _BEFORE, 0)
        end = min(first + _SNIPPET, len(match.text))
        parts, at = [], first
        for start, stop in match.spans:
            if start >= end:
                break
            parts += [(match.text[at:start], False), (match.text[start : min(stop, end)], True)]
            at = min(stop, end)
        parts.append((match.text[at:end], False))
        parts = [("…" if first else "", False), *parts, ("…" if end < len(match.text) else "", False)]
        message = match.entry.message
        return cls(
            session_id=match.session_id,
            seq=match.entry.seq,
            kind=message.type if message else "error",
            parts=[Part(text=_sendable(text), found=found) for text, found in parts if text],
        )


def _sendable(text: str) -> str:
    """Return the text without lone surrogates, which chatmem keeps and UTF-8 cannot carry."""
    return text.encode(errors="replace").decode()
