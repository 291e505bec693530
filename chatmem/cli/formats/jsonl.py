"""The default format of `chatmem export`: JSON lines that hold all of a session, exactly.

Each session begins with a line of its own; then comes one line per message, oldest first:

    {"chatmem": 1, "session": "a", "user": null, "title": null, "metadata": {}, "ttl": 3600.0, "created_at": "...",
     "updated_at": "...", "count": 2}
    {"session": "a", "seq": 0, "id": "m1", "created_at": "...", "type": "human", "text": "Hi", "record": "AQIA..."}

A session that is archived, pinned or tagged has `archived`, `pinned` or `tags` too.
`ttl` is in seconds from the export. `record` is the message as chatmem stores it (docs/format.md), in base64, but
neither compressed nor encrypted. A message's line ends with `"annotations": {...}` if it has any. `import` reads
nothing else of it but `seq` where there are branches or a summary. The other fields are for people and other programs.

The first line of a session with branches or a summary has more fields; see `beside.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from chatmem import Entry, SessionInfo
from chatmem.cli.formats.beside import FileSummary, branches_fields, read_branches, read_summary, summary_field
from chatmem.cli.formats.fields import LineError, field, position, read_record, time_of, written_record
from chatmem.codec.record import Encoded
from chatmem.core.branches import Tree
from chatmem.core.marks import change_of
from chatmem.search import text_of

FORMAT = 1


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
    branches: Tree | None = None
    """The positions are those of the lines; None if there is one branch."""
    summary: FileSummary | None = None


NO_HEAD = Head(None, None, None, None, None, None)


def head_line(info: SessionInfo, branches: Tree | None, summary: FileSummary | None) -> dict[str, Any]:
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
        **branches_fields(branches),
        **summary_field(summary),
    }


def read_head(row: Mapping[str, Any]) -> Head:
    """Read the first line of a session.

    Raises:
        LineError: the line is not valid.
    """
    if row["chatmem"] != FORMAT:
        raise LineError(f"format {row['chatmem']!r} is not known; this chatmem reads format {FORMAT}")
    user, title = (field(row, name, str) for name in ("user", "title"))
    ttl = field(row, "ttl", (int, float))
    if ttl is not None and ttl <= 0:
        raise LineError('"ttl" must be above 0, or null')
    created, updated = (time_of(field(row, name, str)) for name in ("created_at", "updated_at"))
    branches, summary = read_branches(row), read_summary(row)
    metadata = field(row, "metadata", dict)
    return Head(user or None, title, metadata, ttl, created, updated, *_marks(row), branches, summary)


def _marks(row: Mapping[str, Any]) -> tuple[bool | None, bool | None, tuple[str, ...] | None]:
    archived, pinned, tags = (row.get(name) for name in ("archived", "pinned", "tags"))
    try:
        change_of(archived, pinned, tags)
    except ValueError as error:
        raise LineError(str(error)) from None
    return archived, pinned, None if tags is None else tuple(tags)


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
        "record": written_record(plain),
        **({"annotations": entry.annotations} if entry.annotations else {}),
    }


class Line(NamedTuple):
    """The line of a message."""

    message: Encoded
    """the message, ready to be appended"""
    position: int | None
    annotations: dict[str, Any]


def read_message(row: Mapping[str, Any]) -> Line:
    """Read the line of a message.

    Raises:
        CorruptRecordError, LineError: the line cannot be read.
    """
    annotations = field(row, "annotations", dict) or {}
    if "" in annotations or None in annotations.values():
        raise LineError('"annotations" must have non-empty keys, and values other than null')
    return Line(read_record(row["record"]), position(row, "seq"), annotations)
