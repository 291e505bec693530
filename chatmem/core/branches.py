"""Branches as scripts keep them: which messages each shows, where they fork, and which messages are siblings.

A branch is a list of ranges of positions, oldest first; `scripts/branches.lua` describes how they are stored. Each
range begins and ends with a message's position, except that the active branch's last range has no end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from chatmem.codec import record
from chatmem.model import Branch, Entry, Siblings
from chatmem.scripts.answers import Branches

_NOTHING = -1
"""The position that branches share if they share none."""


class _Branch(NamedTuple):
    number: int
    created: int
    updated: int
    ranges: Sequence[tuple[int, float]]


class _Fork(NamedTuple):
    """Where two branches part."""

    after: float
    """the last position that both show"""
    ours: float | None
    """the position at which the first goes on, if it does"""
    theirs: float | None
    """the position at which the second goes on, if it does"""


def _parsed(text: bytes) -> tuple[int, list[_Branch]]:
    """Return the number of the active branch, and all branches."""
    head, *parts = text.decode().split("|")
    branches = []
    for part in parts:
        number, created, updated, *ranges = part.split(" ")
        pairs = [one.split("-") for one in ranges[0].split(",") if one] if ranges else []
        shown = [(int(first), float(last) if last else math.inf) for first, last in pairs]
        branches.append(_Branch(int(number), int(created), int(updated), shown))
    return int(head.split(" ")[0]), branches


def _fork(ours: Sequence[tuple[int, float]], theirs: Sequence[tuple[int, float]]) -> _Fork:
    """Return where two lists of ranges part."""
    after: float = _NOTHING
    for index in range(max(len(ours), len(theirs))):
        mine = ours[index] if index < len(ours) else None
        other = theirs[index] if index < len(theirs) else None
        if mine is None or other is None or mine[0] != other[0]:
            return _Fork(after, mine[0] if mine else None, other[0] if other else None)
        after = min(mine[1], other[1])
        if mine[1] < other[1]:
            return _Fork(after, _start(ours, index + 1), after + 1)
        if mine[1] > other[1]:
            return _Fork(after, after + 1, _start(theirs, index + 1))
    return _Fork(after, None, None)


def _start(ranges: Sequence[tuple[int, float]], index: int) -> float | None:
    return ranges[index][0] if index < len(ranges) else None


def listed(answer: Branches) -> list[Branch]:
    """Return the branches of a session, in the order in which they were made."""
    created, updated = record.to_datetime(int(answer.created)), record.to_datetime(int(answer.updated))
    if not answer.branches:
        only = Branch(0, True, None, answer.last, created, updated)
        return [only] if answer.last >= 0 else []
    active, branches = _parsed(answer.branches)
    found = []
    for one in branches:
        forks = [_fork(one.ranges, other.ranges) for other in branches if other.number < one.number]
        found.append(
            Branch(
                id=one.number,
                active=one.number == active,
                after=int(max(fork.after for fork in forks)) if forks else None,
                head=_head(one.ranges, answer.last),
                created_at=record.to_datetime(one.created),
                updated_at=updated if one.number == active else record.to_datetime(one.updated),
            )
        )
    return found


def _head(ranges: Sequence[tuple[int, float]], last: int) -> int | None:
    ends = [int(min(end, last)) for first, end in ranges if first <= last]
    return ends[-1] if ends else None


def with_siblings(entries: list[Entry], before: int, text: bytes) -> list[Entry]:
    """Return neighbouring entries of the active branch, with the siblings of those that have any.

    Args:
        entries: oldest first.
        before: the position of the message before the first one; -1 for none.
        text: the branches, as scripts keep them.
    """
    number, branches = _parsed(text)
    active = next(one for one in branches if one.number == number)
    others = sorted((one for one in branches if one is not active), key=lambda one: one.updated)
    forks = [(one, _fork(active.ranges, one.ranges)) for one in others]
    found = []
    for entry in entries:
        at = {
            fork.theirs: one.number
            for one, fork in forks
            if before <= fork.after < entry.seq and fork.theirs is not None
        }
        if at:
            order = sorted([*at, entry.seq])
            branch_ids = tuple(number if seq == entry.seq else at[seq] for seq in order)
            entry = replace(entry, siblings=Siblings(order.index(entry.seq), branch_ids))  # noqa: PLW2901
        found.append(entry)
        before = entry.seq
    return found
