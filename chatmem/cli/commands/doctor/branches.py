"""Whether the branches of a session fit its messages."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from chatmem.cli.commands.doctor.finding import Finding, Level
from chatmem.cli.store import Store
from chatmem.core.branches import Shown, parsed
from chatmem.core.keys import session_keys
from chatmem.transports.driving import drive

_CHANGED = "its state was restored, or changed by hand: restore both together"


def check_branches(store: Store, session: str, positions: Sequence[int]) -> Iterator[Finding]:
    """Yield what is wrong with the branches of a session.

    Args:
        store: the store that holds it.
        session: the session's id.
        positions: those of all its messages, in ascending order.
    """
    name = f"session {session!r}"
    reader = store.reader(session)
    answer, _ = drive(reader.ask(reader.session.reads.branches()))
    if not answer.branches:
        if _had_branches(store, session):
            text = f"{name}: which branches it has is lost, so it shows the messages of all of them"
            yield Finding("branches", Level.ERROR, text, _CHANGED, session)
        return
    try:
        branches = parsed(answer.branches).branches
    except ValueError:
        text = f"{name}: its branches are not readable"
        yield Finding("branches", Level.ERROR, text, _CHANGED, session)
        return
    for branch in branches:
        missing = _missing(branch, positions)
        if missing:
            text = f"{name}: branch {branch.number} shows {missing}, where there is no message"
            advice = f"if that branch is of no use: history.delete_branch({branch.number})"
            yield Finding("branches", Level.ERROR, text, advice, session)


def _had_branches(store: Store, session: str) -> bool:
    """Return whether the index holds branches. The list's last element is no evidence: answers mark it too."""
    (branches,) = store.server.run(("HGET", session_keys(store.policy.prefix, session).ids, b"b"))
    return branches is not None


def _missing(branch: Shown, positions: Sequence[int]) -> str:
    """Return the ranges that hold no message; empty if there are none. The open range may be empty."""
    return ", ".join(
        f"position {first}" if first == last else f"positions {first} to {last:.0f}"
        for first, last in branch.ranges
        if last < math.inf and bisect_left(positions, first) == bisect_right(positions, last)
    )
