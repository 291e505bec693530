"""`chatmem stats`: how many sessions there are, how large, how old, and when they expire."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from chatmem import SessionInfo
from chatmem.cli.charts import print_stats
from chatmem.cli.progress import track
from chatmem.cli.store import SLICE, Store, slices
from chatmem.cli.terminal import print_json
from chatmem.core.keys import session_keys
from chatmem.errors import ChatMemError

HOUR, DAY, KIB = 3600, 86_400, 1024
_TIMES = (HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY)


class Sized(NamedTuple):
    """A session and the memory that it takes."""

    info: SessionInfo
    size: int | None
    """bytes, about; None where the server does not say"""


class Distribution:
    """How many sessions lie between some bounds."""

    def __init__(self, bounds: Sequence[int]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.none = 0
        """of how many the value is not known, or there is none"""

    def add(self, value: float | None) -> None:
        """Count a session."""
        if value is None:
            self.none += 1
        else:
            self.counts[bisect_right(self.bounds, value)] += 1

    def ranges(self) -> Iterator[tuple[int, int | None, int]]:
        """Yield lower bound, upper bound (not included; None for none), and how many sessions are between them."""
        ends: tuple[int | None, ...] = (*self.bounds, None)
        yield from zip((0, *self.bounds), ends, self.counts, strict=True)


class Stats:
    """What is counted; it does not grow with the number of sessions, but for the users."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self.sessions = self.messages = self.size = 0
        self.by_messages = Distribution((1, 2, 10, 100, 1000, 10_000))
        self.by_size = Distribution((KIB, 10 * KIB, 100 * KIB, KIB**2, 10 * KIB**2, 100 * KIB**2))
        self.by_age = Distribution(_TIMES)
        self.by_ttl = Distribution(_TIMES)
        self.users = Counter[str]()
        """messages of each user"""
        self.largest: list[Sized] = []

    def take(self, all_of_them: Iterable[Sized]) -> None:
        """Count sessions."""
        now = datetime.now(UTC)
        for part in slices(all_of_them, SLICE):
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
        """Whether the server said how much memory the sessions take."""
        return self.by_size.none < self.sessions


def _weight(one: Sized) -> tuple[int, int]:
    return one.size or 0, one.info.count


def stats(store: Store, *, match: str | None, largest: int, plot: Path | None, as_json: bool) -> None:
    """Print the numbers, and draw them into a file where one is given.

    Raises:
        UnsupportedError: a plot is wanted, and matplotlib is not installed.
    """
    if plot is not None:
        from chatmem.cli.plotting import draw  # noqa: PLC0415 - an extra
    found = Stats(largest)
    found.take(track(_sized(store, store.chosen(None, match)), "counting", store.err))
    if as_json:
        print_json(_as_dict(found))
    else:
        print_stats(found)
    if plot is not None:
        draw(found, plot)


def _sized(store: Store, infos: Iterable[SessionInfo]) -> Iterator[Sized]:
    allowed = True
    for part in slices(infos, SLICE):
        sizes: list[int | None] = [None] * len(part)
        if allowed:
            try:
                sizes = list(_sizes(store, part))
            except ChatMemError as error:
                allowed = False
                store.err.print(f"sizes are not known: MEMORY USAGE: {error}", style="yellow", soft_wrap=True)
        yield from map(Sized, part, sizes)


def _sizes(store: Store, infos: Sequence[SessionInfo]) -> Iterator[int]:
    keys = [key for info in infos for key in session_keys(store.policy.prefix, info.session_id)]
    replies = store.server.run(*(("MEMORY", "USAGE", key) for key in keys))
    for part in slices(replies, 3):
        yield sum(size or 0 for size in part)


def _as_dict(found: Stats) -> dict[str, Any]:
    return {
        "sessions": found.sessions,
        "messages": found.messages,
        "bytes": found.size if found.is_sized else None,
        "without_ttl": found.by_ttl.none,
        "users": len(found.users),
        "by_messages": _ranges(found.by_messages),
        "by_bytes": _ranges(found.by_size),
        "by_age": _ranges(found.by_age),
        "by_ttl": _ranges(found.by_ttl),
        "largest": [
            {"session": one.info.session_id, "messages": one.info.count, "bytes": one.size} for one in found.largest
        ],
        "busiest_users": [{"user": user, "messages": count} for user, count in found.users.most_common(10)],
    }


def _ranges(of: Distribution) -> list[dict[str, int | None]]:
    return [{"from": low, "below": high, "sessions": count} for low, high, count in of.ranges()]
