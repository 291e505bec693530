"""What the doctor says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    UNKNOWN = "unknown"
    """it could not be looked at"""
    WARNING = "warning"
    ERROR = "error"


class Finding(NamedTuple):
    """One thing that was looked at."""

    check: str
    """which; the same words in every release"""
    level: Level
    text: str
    advice: str = ""
    """what to do"""
    session: str | None = None
    position: int | None = None
    """of the message in the session"""


def few(findings: Iterable[Finding], most: int = 20) -> Iterator[Finding]:
    """Yield the findings, but of each check only so many, and then how many more there are."""
    counts: dict[tuple[str, Level], int] = {}
    for finding in findings:
        kind = finding.check, finding.level
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= most:
            yield finding
    for (check, level), count in counts.items():
        if count > most:
            yield Finding(check, level, f"and {count - most:,} more")
