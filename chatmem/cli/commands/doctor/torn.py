"""What is found of torn sessions: those of which a part is missing, or of another life; and mending them."""

from __future__ import annotations

from collections.abc import Iterator

from chatmem.cli.commands.doctor.finding import Finding, Level
from chatmem.cli.store import Store
from chatmem.core.healing import mend
from chatmem.core.keys import session_keys
from chatmem.errors import ChatMemError, UnavailableError
from chatmem.scripts.calls import Code, Reads, Refusal, refusal
from chatmem.transports.driving import drive

_REBUILDS = "--fix rebuilds it from the messages, and so does the next write; look at eviction above"
_KINDS = {
    b"index": (Level.WARNING, "its index of ids is lost", _REBUILDS),
    b"state": (Level.WARNING, "its state is lost: title, metadata, versions", _REBUILDS),
    b"orphan": (
        Level.WARNING,
        "nothing is left of it but its index of ids",
        "--fix erases that, and so does an append",
    ),
    b"list": (
        Level.ERROR,
        "its messages are gone: evicted, expired or deleted apart from the rest",
        "chatmem erase {}",
    ),
    b"other": (
        Level.ERROR,
        "its list of messages is not the one that its state speaks of: restored, or changed by hand",
        "put back the right one, or: chatmem erase {}",
    ),
}
"""Of each reason that `session.lua` gives: how bad it is, what it is, what to do."""
_MENDED = (b"index", b"state", b"orphan")


def check_torn(store: Store, sessions: list[str], *, fix: bool) -> Iterator[Finding]:
    """Yield those of the sessions that are torn, and mend what can be mended where that is asked for."""
    keys = [session_keys(store.policy.prefix, session) for session in sessions]
    replies = store.server.run(*(Reads(one, b"", b"").message(b"id", b"x").command for one in keys)) if keys else []
    for session, reply in zip(sessions, replies, strict=True):
        refused = refusal(reply)
        if refused and refused.code == Code.TORN and refused.details[0] in _KINDS:
            level, what, advice = _KINDS[refused.details[0]]
            found = Finding("torn", level, f"session {session!r}: {what}", advice.format(session), session)
            yield _mended(store, found, refused) if fix and refused.details[0] in _MENDED else found


def _mended(store: Store, found: Finding, refused: Refusal) -> Finding:
    session = found.session or ""
    try:
        with store.complaints.aside():
            if refused.details[0] == b"orphan":
                drive(store.core(session).clear())
            else:
                drive(mend(store.reader(session).session, refused))
    except UnavailableError:
        raise
    except ChatMemError as error:
        return found._replace(level=Level.ERROR, advice=f"it cannot be mended: {error}")
    return found._replace(level=Level.OK, text=f"mended: {found.text}", advice="")
