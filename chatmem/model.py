"""What callers get back. All of it is also a response model for FastAPI: see `core.jsonable`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from chatmem.core.jsonable import Message, Metadata, Text
from chatmem.errors import CorruptRecordError


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did.

    Attributes:
        version: the session's version after it.
        first: the position of the first message it stored, or None where it stored none.
        last: the position of the last message it stored, or None.
        duplicates: how many of the given messages were left out, because their ids were stored already.
    """

    version: int
    first: int | None
    last: int | None
    duplicates: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored message and what is known of it.

    Attributes:
        seq: its position, counted from 0; it never changes.
        id: the message's own id, or None.
        created_at: when it was appended, or put in the place of another, by the writer's clock, in UTC; None where
            the record does not say.
        message: the message; None where the record cannot be read.
        error: why it cannot be read, or None.
    """

    seq: int
    id: Text | None
    created_at: datetime | None
    message: Message | None
    error: CorruptRecordError | None = None


@dataclass(frozen=True, slots=True)
class Edited:
    """What a change of stored messages did.

    Attributes:
        version: the session's version after it.
        seq: the position it was about, or None where nothing was found to change.
        count: how many messages were replaced or removed.
    """

    version: int
    seq: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a conversation.

    Attributes:
        entries: the messages of this page.
        next: the cursor for the page after this one, or None where this is the last.
    """

    entries: list[Entry]
    next: int | None


@dataclass(frozen=True, slots=True)
class Match:
    """A message that a search found.

    Attributes:
        session_id: the session it is in.
        entry: the message, with position, id and time.
        text: what was searched: the message's content, or the text blocks of it, a line break between them.
        spans: where in `text` the words and phrases stand: start and end of each.
        score: by which matches are ranked; comparable within one search.
    """

    session_id: Text
    entry: Entry
    text: Text
    spans: tuple[tuple[int, int], ...]
    score: float


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What is known of a session without reading its messages.

    Attributes:
        session_id: its id.
        count: how many messages it holds; 0 where the session does not exist.
        version: a number that grows with every change of the messages; 0 where there was none yet.
        created_at: when its first message was appended, in UTC, or None.
        updated_at: when its last message was appended, in UTC, or None.
        ttl: seconds until it expires, or None where it does not.
        user: whose session it is, or None.
        title: as `update` set it, or None.
        metadata: as `update` set it.
    """

    session_id: Text
    count: int
    version: int
    created_at: datetime | None
    updated_at: datetime | None
    ttl: float | None
    user: Text | None = None
    title: Text | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionPage:
    """A part of a user's sessions.

    Attributes:
        sessions: what is known of each, the one written last first.
        next: the cursor for the page after this one, or None where this is the last.
    """

    sessions: list[SessionInfo]
    next: str | None
