"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

_SHOWN = 20
"""How many findings of one check and level are shown."""


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    UNKNOWN = "unknown"
    """The check was not possible."""
    WARNING = "warning"
    ERROR = "error"


class Finding(NamedTuple):
    """One result of a check."""

    check: str
    """The name of the check; it stays the same in later releases."""
    level: Level
    text: str
    advice: str = ""
    """What to do about it."""
    session: str | None = None
    position: int | None = None
    """The position of the message in its session."""


def few(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the first findings of each check and level, then how many more there are."""
    counts: dict[tuple[str, Level], int] = {}
    for finding in findings:
        kind = finding.check, finding.level
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= _SHOWN:
            yield finding
    for (check, level), count in counts.items():
        if count > _SHOWN:
            yield Finding(check, level, f"and {count - _SHOWN:,} more")
