"""The answers that run, as the state holds them; see `scripts/answers.lua`."""

from __future__ import annotations

import re

from chatmem.codec import record
from chatmem.core.keys import name_of
from chatmem.model import Answer

_STORED = re.compile(rb"[0-9a-f]+ \d+ \d+ (\d+) ([01]) -?\d+ \d+-\d+ (\d+):")


def answers_in(stored: bytes) -> tuple[Answer, ...]:
    """Return the answers in a state's field `answers`.

    Raises:
        ValueError: chatmem did not write it.
    """
    answers, at = [], 0
    while at < len(stored):
        found = _STORED.match(stored, at)
        if found is None:
            raise ValueError(f"{stored[at : at + 40]!r} is not what chatmem writes")
        started, stop, size = map(int, found.groups())
        at = found.end() + size
        name = name_of(stored[found.end() : at])
        answers.append(Answer(name, record.to_datetime(started), bool(stop)))
    return tuple(answers)
