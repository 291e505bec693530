"""What callers get back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from langchain_core.messages import BaseMessage

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
        created_at: when it was appended, by the writer's clock, in UTC; None where the record does not say.
        message: the message; None where the record cannot be read.
        error: why it cannot be read, or None.
    """

    seq: int
    id: str | None
    created_at: datetime | None
    message: BaseMessage | None
    error: CorruptRecordError | None = None


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What is known of a session without reading its messages.

    Attributes:
        session_id: its id.
        count: how many messages it holds; 0 where the session does not exist.
        version: a number that grows with every write; 0 where the session does not exist.
        created_at: when its first message was appended, in UTC, or None.
        updated_at: when its last message was appended, in UTC, or None.
        ttl: seconds until it expires, or None where it does not.
    """

    session_id: str
    count: int
    version: int
    created_at: datetime | None
    updated_at: datetime | None
    ttl: float | None
