"""Branches and the stored summary of a session, as fields of the session's first line in `jsonl`.

    {...,
     "branches": [{"id": 0, "active": false, "created_at": "...", "updated_at": "...", "shows": [[0, 3]]},
                  {"id": 1, "active": true, "created_at": "...", "updated_at": "...", "shows": [[0, 1], [4, 5]]}],
     "next_branch": 2,
     "summary": {"up_to": 3, "text": "...", "records": ["AQIA..."]}}

A session with one branch has no `branches` and no `next_branch`; one without a summary has no `summary`. `shows` are
the positions that a branch shows: for each range the `seq` of its first and of its last message. `next_branch` is the
id that the next new branch gets. `up_to` is the `seq` of the last message that the summary speaks of, null if those
messages are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from chatmem.cli.formats.fields import LineError, field, position, read_record, time_of, written_record
from chatmem.codec import record
from chatmem.core.branches import Shown, Tree


class FileSummary(NamedTuple):
    """A stored summary."""

    up_to: int | None
    """the position of the last message that it speaks of; None if those messages are gone"""
    text: str
    """for people"""
    records: list[bytes]


def branches_fields(branches: Tree | None) -> dict[str, Any]:
    """Return the fields that hold the branches."""
    if branches is None:
        return {}
    rows = [
        {
            "id": one.number,
            "active": one.number == branches.active,
            "created_at": record.to_datetime(one.created).isoformat(),
            "updated_at": record.to_datetime(one.updated).isoformat(),
            "shows": one.ranges,
        }
        for one in branches.branches
    ]
    return {"branches": rows, "next_branch": branches.following}


def summary_field(summary: FileSummary | None) -> dict[str, Any]:
    """Return the field that holds the summary."""
    if summary is None:
        return {}
    records = [written_record(one) for one in summary.records]
    return {"summary": {"up_to": summary.up_to, "text": summary.text, "records": records}}


def read_branches(row: Mapping[str, Any]) -> Tree | None:
    """Return the branches of a session; None if it has but one.

    Raises:
        LineError: they cannot be read.
    """
    rows = field(row, "branches", list)
    if not rows:
        return None
    if not all(isinstance(one, dict) for one in rows):
        raise LineError('"branches" must be a list of objects')
    branches = [_branch(one) for one in rows]
    active = [one.number for one, given in zip(branches, rows, strict=True) if given.get("active") is True]
    numbers = [one.number for one in branches]
    if len(active) != 1 or len(set(numbers)) != len(numbers):
        raise LineError('"branches" must have an "id" each, and one of them "active"')
    return Tree(active[0], max(position(row, "next_branch") or 0, *(number + 1 for number in numbers)), branches)


def _branch(row: Mapping[str, Any]) -> Shown:
    number, ranges = position(row, "id"), field(row, "shows", list)
    created, updated = (time_of(field(row, name, str)) for name in ("created_at", "updated_at"))
    if number is None or ranges is None or created is None or updated is None:
        raise LineError('a branch must have "id", "shows", "created_at" and "updated_at"')
    ends = [end for one in ranges if isinstance(one, list) for end in one]
    if len(ends) != 2 * len(ranges) or not all(type(end) is int for end in ends) or ends != sorted(ends):
        raise LineError('"shows" must be a list of ranges of positions, in order')
    return Shown(number, max(created, 0), max(updated, 0), [(first, last) for first, last in ranges])


def read_summary(row: Mapping[str, Any]) -> FileSummary | None:
    """Return the stored summary of a session, or None if it has none.

    Raises:
        CorruptRecordError, LineError: it cannot be read.
    """
    given = field(row, "summary", dict)
    if given is None:
        return None
    records = field(given, "records", list)
    if not records:
        raise LineError('"summary" must have "records"')
    up_to, text = position(given, "up_to"), field(given, "text", str)
    return FileSummary(up_to, text or "", [read_record(one).record for one in records])
