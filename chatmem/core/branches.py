"""Branches as scripts keep them: which messages each shows, where they fork, and which messages are siblings.

A branch is a list of ranges of positions, oldest first; `scripts/branches.lua` describes how they are stored. Each
range begins and ends with a message's position, except that the active branch's last range has no end.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from chatmem.codec import record
from chatmem.model import Branch, Entry, Siblings
from chatmem.scripts.answers import Branches

_NOTHING = -1
"""The position that branches share if they share none."""


class Shown(NamedTuple):
    """A branch, and what it shows."""

    number: int
    created: int
    updated: int
    """`created` and `updated` are in microseconds since 1970."""
    ranges: Sequence[tuple[int, float]]
    """the first and the last position of each range; the last one may be infinite"""


class Tree(NamedTuple):
    """The branches of a session."""

    active: int
    """the number of the active one"""
    following: int
    """the number of the next new one"""
    branches: list[Shown]


class _Fork(NamedTuple):
    """Where two branches part."""

    after: float
    """the last position that both show"""
    ours: float | None
    """the position at which the first goes on, if it does"""
    theirs: float | None
    """the position at which the second goes on, if it does"""


def parsed(text: bytes, last: float = math.inf) -> Tree:
    """Return the branches of a session that has several.

    Args:
        text: the branches, as scripts keep them.
        last: the position at which the range without an end is to end.

    Raises:
        ValueError: chatmem did not write the text.
    """
    head, *parts = text.decode().split("|")
    branches = []
    for part in parts:
        number, created, updated, *ranges = part.split(" ")
        pairs = [one.split("-") for one in ranges[0].split(",") if one] if ranges else []
        shown = [(int(first), int(end) if end else last) for first, end in pairs]
        shown = [(first, end) for first, end in shown if first <= end]
        branches.append(Shown(int(number), int(created), int(updated), shown))
    active, following = head.split(" ")
    return Tree(int(active), int(following), branches)


def written(tree: Tree) -> bytes:
    """Return branches as scripts keep them."""
    texts = [f"{tree.active} {tree.following}"]
    for one in tree.branches:
        ranges = (f"{first}-{last:.0f}" if last < math.inf else f"{first}-" for first, last in one.ranges)
        texts.append(f"{one.number} {one.created} {one.updated} {','.join(ranges)}")
    return "|".join(texts).encode()


def moved(tree: Tree, positions: Sequence[int]) -> Tree:
    """Return the branches of a copy that holds the messages of these positions, counted from 0 on.

    Args:
        tree: the branches.
        positions: those of all messages that are copied, in ascending order.
    """
    branches = []
    for one in tree.branches:
        ranges: list[tuple[int, float]] = []
        for first, last in one.ranges:
            low, high = bisect_left(positions, first), bisect_right(positions, last) - 1
            if low <= high and ranges and ranges[-1][1] == low - 1:
                ranges[-1] = (ranges[-1][0], high)
            elif low <= high:
                ranges.append((low, high))
        if one.number == tree.active:
            following = len(positions)
            begins = ranges.pop()[0] if ranges and ranges[-1][1] == following - 1 else following
            ranges.append((begins, math.inf))
        branches.append(one._replace(ranges=ranges))
    return tree._replace(branches=branches)


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
    active, _, branches = parsed(answer.branches)
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


Forks = tuple[int, tuple[tuple[int, _Fork], ...]]
"""The number of the active branch; the numbers of others, with where they fork from it."""


def with_siblings(entries: list[Entry], before: int, forks_of_active: Forks) -> list[Entry]:
    """Return neighbouring entries of the active branch, with the siblings of those that have any.

    Args:
        entries: oldest first.
        before: the position of the message before the first one; -1 for none.
        forks_of_active: where others fork from the active branch.
    """
    number, forks = forks_of_active
    place = bisect_left(forks, float(before), key=_after)
    found = []
    for entry in entries:
        at: dict[float, int] = {}
        while place < len(forks) and forks[place][1].after < entry.seq:
            branch, fork = forks[place]
            if fork.theirs is not None:
                at[fork.theirs] = branch
            place += 1
        if at:
            order = sorted([*at, entry.seq])
            branch_ids = tuple(number if seq == entry.seq else at[seq] for seq in order)
            entry = replace(entry, siblings=Siblings(order.index(entry.seq), branch_ids))  # noqa: PLW2901
        found.append(entry)
    return found


@lru_cache(maxsize=256)
def forks_in(text: bytes) -> Forks:
    """Return `forks_of` the branches as scripts keep them, which stay the same until somebody branches or switches."""
    return forks_of(parsed(text))


def forks_of(tree: Tree) -> Forks:
    """Return the number of the active branch, and where others fork from it, by position and last write."""
    number, _, branches = tree
    active = next(one for one in branches if one.number == number)
    others = sorted((one for one in branches if one is not active), key=lambda one: one.updated)
    forks = [(one.number, _fork(active.ranges, one.ranges)) for one in others]
    return number, tuple(sorted(forks, key=_after))


def _after(one: tuple[int, _Fork]) -> float:
    return one[1].after
