"""What `chatmem stats` counts."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from chatmem import SessionInfo
from chatmem.cli.store import SLICE, slices

_HOUR, _DAY, _KIB = 3600, 86_400, 1024
_TIMES = (_HOUR, _DAY, 7 * _DAY, 30 * _DAY, 365 * _DAY)


class Sized(NamedTuple):
    """A session and the memory that it takes."""

    info: SessionInfo
    size: int | None
    """Bytes, an estimate; None if the server does not tell."""


class Distribution:
    """How many sessions lie between given bounds."""

    def __init__(self, bounds: Sequence[int]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.without = 0
        """How many sessions have no value, or one that is not known."""

    def add(self, value: float | None) -> None:
        """Count a session."""
        if value is None:
            self.without += 1
        else:
            self.counts[bisect_right(self.bounds, value)] += 1

    def ranges(self) -> Iterator[tuple[int, int | None, int]]:
        """Yield lower bound, upper bound (exclusive; None for no bound) and number of sessions of each range."""
        ends: tuple[int | None, ...] = (*self.bounds, None)
        yield from zip((0, *self.bounds), ends, self.counts, strict=True)


class Stats:
    """The counts. Their size depends on the number of users, not of sessions."""

    def __init__(self, largest: int) -> None:
        """Begin with zero.

        Args:
            largest: how many of the largest sessions to keep.
        """
        self._largest = largest
        self.sessions = self.messages = self.size = 0
        self.by_messages = Distribution((1, 2, 10, 100, 1000, 10_000))
        self.by_size = Distribution((_KIB, 10 * _KIB, 100 * _KIB, _KIB**2, 10 * _KIB**2, 100 * _KIB**2))
        self.by_age = Distribution(_TIMES)
        self.by_ttl = Distribution(_TIMES)
        self.users = Counter[str]()
        """User -> number of messages."""
        self.largest: list[Sized] = []

    def add(self, sessions: Iterable[Sized]) -> None:
        """Count sessions."""
        now = datetime.now(UTC)
        for part in slices(sessions, SLICE):
            for one in part:
                self._add(one, now)
            self.largest = heapq.nlargest(self._largest, self.largest + part, key=_weight)

    def _add(self, one: Sized, now: datetime) -> None:
        info = one.info
        self.sessions += 1
        self.messages += info.count
        self.size += one.size or 0
        self.by_messages.add(info.count)
        self.by_size.add(one.size)
        self.by_age.add(None if info.updated_at is None else max((now - info.updated_at).total_seconds(), 0))
        self.by_ttl.add(info.ttl)
        if info.user is not None:
            self.users[info.user] += info.count

    @property
    def is_sized(self) -> bool:
        """Whether the server told how much memory the sessions take."""
        return self.by_size.without < self.sessions


def _weight(one: Sized) -> tuple[int, int]:
    return one.size or 0, one.info.count
