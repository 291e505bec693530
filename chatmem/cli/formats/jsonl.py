"""The lines that `chatmem export` writes by default, and `import` reads: they hold all of a session, exactly.

Of each session there is a line that says what is known of it, then a line a message, oldest first:

    {"chatmem": 1, "session": "a", "user": null, "title": null, "metadata": {}, "ttl": 3600.0, "created_at": "...",
     "updated_at": "...", "count": 2}
    {"session": "a", "seq": 0, "id": "m1", "created_at": "...", "type": "human", "text": "Hi", "record": "AQIA..."}

`ttl` is in seconds, from the export on. `record` is the message as chatmem stores it (docs/format.md), not compressed
and not encrypted, in base64; what stands beside it is for people and other programs.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from chatmem import Entry, SessionInfo
from chatmem.codec import record
from chatmem.codec.record import Encoded
from chatmem.search import text_of

FORMAT = 1


class LineError(Exception):
    """A line that cannot be read, and why."""


class Head(NamedTuple):
    """What a session's first line says of it."""

    user: str | None
    title: str | None
    metadata: dict[str, Any] | None
    ttl: float | None
    created: int | None
    updated: int | None
    """microseconds since 1970"""


NO_HEAD = Head(None, None, None, None, None, None)


def head_line(info: SessionInfo) -> dict[str, Any]:
    """Return the line of a session."""
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
    }


def read_head(row: Mapping[str, Any]) -> Head:
    """Return what the line of a session says.

    Raises:
        LineError: it is none.
    """
    if row["chatmem"] != FORMAT:
        raise LineError(f"it is of format {row['chatmem']!r}; this chatmem reads format {FORMAT}")
    user, title = (_field(row, name, str) for name in ("user", "title"))
    ttl = _field(row, "ttl", (int, float))
    if ttl is not None and ttl <= 0:
        raise LineError('"ttl" must be more than 0, or null')
    created, updated = (_time(_field(row, name, str)) for name in ("created_at", "updated_at"))
    return Head(user or None, title, _field(row, "metadata", dict), ttl, created, updated)


def _field(row: Mapping[str, Any], name: str, kind: Any) -> Any:
    value = row.get(name)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise LineError(f'"{name}" is of a wrong type')


def _time(text: str | None) -> int | None:
    try:
        return None if text is None else record.from_datetime(datetime.fromisoformat(text))
    except (ValueError, TypeError) as error:  # no time, or one without its zone
        raise LineError(f"{text!r} is no time: {error}") from None


def message_line(session: str, entry: Entry, plain: bytes) -> dict[str, Any]:
    """Return the line of a message.

    Args:
        session: whose it is.
        entry: the message.
        plain: its record, as `record.plain_record` returns it.
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
        CorruptRecordError, LineError: it cannot be read.
    """
    try:
        return record.encoded(binascii.a2b_base64(row["record"], strict_mode=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise LineError(f'"record" is no base64: {error}') from None
