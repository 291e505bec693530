"""What is measured, at three sizes: `smoke` proves that it runs, `quick` shows the shape, `full` is for publishing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.systems import Row


@dataclass(frozen=True)
class Scenario:
    """One question to the worker of each system, asked again each round."""

    name: str
    request: dict[str, Any]
    do: str = "round"
    asynchronous_only: bool = False
    tail_only: bool = False
    """Only systems that read a tail on the server; for the others it would be a read of all."""

    def fits(self, row: Row) -> bool:
        """Return whether this is asked of a system."""
        if self.asynchronous_only and not row.asynchronous:
            return False
        return not (self.tail_only and not row.reads_tail) and not (self.do == "application" and row.needs_search)


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    rounds: int
    sessions: int
    """At least so many turns a round."""
    histories: tuple[int, ...]
    at_once: tuple[int, ...]
    long: int
    """The long history, of which the last 20 are read."""
    large: int
    """Messages of the session that is read again and again beside small appends: 5 MB in `quick` and `full`."""
    starts: int
    long_rounds: int
    """Rounds of turns in a chat server's process."""
    passes: int
    """How often 50 turns at once are taken in each of them. A full garbage collection comes by once in some 4,000
    turns."""


HISTORIES = (10, 50, 200, 1000)
MOST_THREADS = 200
AT_ONCE = (10, 50, 200, 1000)
LONG = 100_000
LARGE = 8200
USUAL = Size(
    rounds=4,
    sessions=30,
    histories=HISTORIES,
    at_once=AT_ONCE,
    long=LONG,
    large=LARGE,
    starts=1,
    long_rounds=1,
    passes=100,
)
SIZES = {
    "smoke": replace(USUAL, rounds=1, sessions=2, histories=(10, 50), at_once=(10, 50), long=200, large=200, passes=1),
    "quick": USUAL,
    "full": replace(USUAL, rounds=10, sessions=100, starts=7, long_rounds=3),
}


def scenarios(size: Size) -> Iterator[Scenario]:
    """Yield all scenarios."""
    for history in size.histories:
        few = max(size.sessions // (5 if history > 200 else 1), 2)
        yield Scenario(f"turn/{history}", {"action": "turn", "history": history, "sessions": few})
    for at_once in size.at_once:
        request = {"action": "turn", "history": 50, "sessions": max(size.sessions, at_once), "at_once": at_once}
        yield Scenario(f"at_once/{at_once}", request, asynchronous_only=at_once > MOST_THREADS)
        if at_once == 50:
            yield Scenario(f"at_once_seen/{at_once}", {**request, "seen": True})
    for history in sorted({50, max(size.histories)}):
        few = max(size.sessions // (10 if history > 200 else 1), 2)
        yield Scenario(f"read/{history}", {"action": "read", "history": history, "sessions": few})
    yield Scenario("append/50", {"action": "append", "history": 50, "sessions": size.sessions})
    yield from _tails(size)
    for reading in (False, True):
        name = "appends_beside_reads" if reading else "appends_alone"
        request = {"history": size.large, "appends": size.sessions, "reading": reading}
        yield Scenario(name, request, "beside", asynchronous_only=True)
    yield Scenario("memory", {"history": max(size.histories)}, "memory")
    request = {"action": "turn", "history": 50, "sessions": 50, "at_once": 50, "passes": size.passes}
    yield Scenario("application/50", request, "application")  # the last, for what it imports


def _tails(size: Size) -> Iterator[Scenario]:
    for history in (100, size.long):
        request = {"action": "read", "history": history, "last": 20, "sessions": 1, "passes": size.sessions}
        yield Scenario(f"last20/{history}", request, asynchronous_only=True, tail_only=True)
