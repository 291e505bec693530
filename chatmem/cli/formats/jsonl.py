"""The default format of `chatmem export`: JSON lines that hold all of a session, exactly.

Each session begins with a line of its own; then comes one line per message, oldest first:

    {"chatmem": 1, "session": "a", "user": null, "title": null, "metadata": {}, "ttl": 3600.0, "created_at": "...",
     "updated_at": "...", "count": 2}
    {"session": "a", "seq": 0, "id": "m1", "created_at": "...", "type": "human", "text": "Hi", "record": "AQIA..."}

A session that is archived, pinned or tagged has `archived`, `pinned` or `tags` too.
`ttl` is in seconds from the export. `record` is the message as chatmem stores it (docs/format.md), in base64, but
neither compressed nor encrypted; `import` reads nothing else of the line. The other fields are for people and other
programs.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from chatmem import Entry, SessionInfo
from chatmem.codec import record
from chatmem.codec.record import Encoded
from chatmem.core.marks import change_of
from chatmem.search import text_of

FORMAT = 1


class LineError(Exception):
    """A line cannot be read; the message says why."""


class Head(NamedTuple):
    """The first line of a session."""

    user: str | None
    title: str | None
    metadata: dict[str, Any] | None
    ttl: float | None
    created: int | None
    updated: int | None
    """`created` and `updated` are in microseconds since 1970."""
    archived: bool | None = None
    pinned: bool | None = None
    tags: tuple[str, ...] | None = None


NO_HEAD = Head(None, None, None, None, None, None)


def head_line(info: SessionInfo) -> dict[str, Any]:
    """Return the first line of a session."""
    marks = {"archived": info.archived, "pinned": info.pinned, "tags": list(info.tags)}
    return {
        "chatmem": FORMAT,
        "session": info.session_id,
        "user": info.user,
        "title": info.title,
        "metadata": info.metadata,
        "ttl": info.ttl,
        "created_at": info.created_at and info.created_at.isoformat(),
        "updated_at": info.updated_at and info.updated_at.isoformat(),
        "count": info.count,
        **{name: value for name, value in marks.items() if value},
    }


def read_head(row: Mapping[str, Any]) -> Head:
    """Read the first line of a session.

    Raises:
        LineError: the line is not valid.
    """
    if row["chatmem"] != FORMAT:
        raise LineError(f"format {row['chatmem']!r} is not known; this chatmem reads format {FORMAT}")
    user, title = (_field(row, name, str) for name in ("user", "title"))
    ttl = _field(row, "ttl", (int, float))
    if ttl is not None and ttl <= 0:
        raise LineError('"ttl" must be above 0, or null')
    created, updated = (_time(_field(row, name, str)) for name in ("created_at", "updated_at"))
    return Head(user or None, title, _field(row, "metadata", dict), ttl, created, updated, *_marks(row))


def _marks(row: Mapping[str, Any]) -> tuple[bool | None, bool | None, tuple[str, ...] | None]:
    archived, pinned, tags = (row.get(name) for name in ("archived", "pinned", "tags"))
    try:
        change_of(archived, pinned, tags)
    except ValueError as error:
        raise LineError(str(error)) from None
    return archived, pinned, None if tags is None else tuple(tags)


def _field(row: Mapping[str, Any], name: str, kind: Any) -> Any:
    value = row.get(name)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise LineError(f'"{name}" has the wrong type')


def _time(text: str | None) -> int | None:
    try:
        return None if text is None else record.from_datetime(datetime.fromisoformat(text))
    except (ValueError, TypeError) as error:  # not a time, or one without a time zone
        raise LineError(f"{text!r} is not a time: {error}") from None


def message_line(session: str, entry: Entry, plain: bytes) -> dict[str, Any]:
    """Return the line of a message.

    Args:
        session: the session's id.
        entry: the message.
        plain: the message's record, as `record.plain_record` returns it.
    """
    message = entry.message
    return {
        "session": session,
        "seq": entry.seq,
        "id": entry.id,
        "created_at": entry.created_at and entry.created_at.isoformat(),
        "type": message and message.type,
        "text": message and text_of(message),
        "record": binascii.b2a_base64(plain, newline=False).decode(),
    }


def read_message(row: Mapping[str, Any]) -> Encoded:
    """Return the message of a line, ready to be appended.

    Raises:
        CorruptRecordError, LineError: the message cannot be read.
    """
    try:
        return record.encoded(binascii.a2b_base64(row["record"], strict_mode=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise LineError(f'"record" is not base64: {error}') from None
