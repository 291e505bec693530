"""Finds and repairs torn sessions, of which a part is missing or another's, and answers that nobody has ended."""

from __future__ import annotations

from collections.abc import Iterator

from chatmem.cli.commands.doctor.finding import Finding, Level
from chatmem.cli.store import Store
from chatmem.core.healing import mend
from chatmem.core.keys import name_of, session_keys
from chatmem.errors import ChatMemError, UnavailableError
from chatmem.scripts.answers import Code, Refusal, refusal
from chatmem.scripts.calls import Reads
from chatmem.transports.driving import drive

_REBUILDS = "--fix rebuilds it from the messages, as the next write does; see eviction above"
_KINDS = {
    b"index": (Level.WARNING, "its id index is lost", _REBUILDS),
    b"state": (Level.WARNING, "its state is lost: title, metadata, versions", _REBUILDS),
    b"orphan": (
        Level.WARNING,
        "only its id index is left",
        "--fix erases it, as an append does",
    ),
    b"list": (
        Level.ERROR,
        "its messages are gone: they were evicted, expired or deleted without the rest",
        "run: chatmem erase {}",
    ),
    b"other": (
        Level.ERROR,
        "its list of messages does not belong to its state: it was restored, or changed by hand",
        "restore the right list, or run: chatmem erase {}",
    ),
}
"""For each reason that `session.lua` gives: level, text and advice."""
_ENDED = "--fix stores what there is of it, as the next read does"
_REPAIRABLE = (b"index", b"state", b"orphan")


def check_torn(store: Store, sessions: list[str], *, fix: bool) -> Iterator[Finding]:
    """Yield such sessions, and repair those that can be repaired if `fix` is set."""
    keys = [session_keys(store.policy.prefix, session) for session in sessions]
    replies = store.server.run(*(Reads(one, b"", b"").message(b"id", b"x").command for one in keys)) if keys else []
    for session, reply in zip(sessions, replies, strict=True):
        refused = refusal(reply)
        if refused and refused.code == Code.TORN and refused.details[0] in _KINDS:
            level, what, advice = _KINDS[refused.details[0]]
            found = Finding("torn", level, f"session {session!r}: {what}", advice.format(session), session)
            yield _repaired(store, found, refused) if fix and refused.details[0] in _REPAIRABLE else found
        elif refused and refused.code == Code.RAN_OUT:
            text = f"session {session!r}: the producer of the answer {name_of(refused.details[0])!r} is gone"
            found = Finding("answers", Level.WARNING, text, _ENDED, session)
            yield _repaired(store, found, refused) if fix else found


def _repaired(store: Store, found: Finding, refused: Refusal) -> Finding:
    session = found.session or ""
    try:
        with store.problems.collect():
            if refused.details[0] == b"orphan":
                drive(store.core(session).clear())
            else:
                drive(mend(store.reader(session).session, refused))
    except UnavailableError:
        raise
    except ChatMemError as error:
        return found._replace(level=Level.ERROR, advice=f"it cannot be repaired: {error}")
    return found._replace(level=Level.OK, text=f"repaired: {found.text}", advice="")
