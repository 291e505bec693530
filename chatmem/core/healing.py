"""Torn sessions: what a script's refusal means, and rebuilding what can be rebuilt from the records."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from typing import Literal

from chatmem.codec import record
from chatmem.core.answering.settling import settle
from chatmem.core.decoder import BYTES_PER_CALL, Decoder
from chatmem.core.keys import field
from chatmem.core.session import Session
from chatmem.errors import NotYoursError, TornSessionError, UnavailableError
from chatmem.model import Entry
from chatmem.scripts import answers, calls
from chatmem.scripts.answers import Code, Refusal

RECORDS_PER_CALL = 256
"""How many records a rebuild reads at a time."""
MENDABLE = (b"index", b"state")
"""The parts of a session that can be rebuilt from its records."""

_WHY = {
    b"list": "its messages are gone (evicted, or deleted without the rest): clear() erases what is left",
    b"orphan": "only its index of ids or a damaged state is left: clear() erases that, and so does the next append",
    b"other": "its list of messages is not the one that its state describes (it was restored, or changed by hand): put "
    "the right list back, or erase the session with clear()",
    b"owner": "its state is gone, and nothing says which user it belongs to: open it with claim=True to give it to "
    "this user, or erase it with clear()",
    b"keys": "its index was lost, and with it the idempotency keys that were used: append without one, or start over "
    "after clear()",
}

_logger = logging.getLogger("chatmem")


async def mend(session: Session, refusal: Refusal) -> None:
    """Put in order what a script refused to work with, so that the same call can be repeated.

    That is a part of the session that is missing, or an answer whose producer is gone.

    Raises:
        NotYoursError: the script refused because the session is another user's, or nobody's.
        TornSessionError: the session is torn, and cannot be rebuilt.
        UnavailableError: the call arrived after its caller had given it up.
    """
    with session.named:
        if refusal.code == Code.OTHER_USER:
            raise NotYoursError(f"the session is another user's, or nobody's: it was opened for {session.user!r}")
        if refusal.code == Code.LATE:
            raise UnavailableError("the call arrived after its caller had given it up; nothing was done")
    if refusal.code == Code.RAN_OUT:
        await settle(session, *refusal.details)
        return
    with session.named:
        why, *more = refusal.details
        if why == b"type":
            key = dict(zip((b"m", b"i", b"s"), session.keys, strict=True))[more[0]]
            what = f"the key {key.decode()} holds data that chatmem did not write"
            raise TornSessionError(f"{what}: rename it, or erase the session with clear()", reason="type")
        if why not in MENDABLE:
            raise TornSessionError(f"the session is torn: {_WHY[why]}", reason=why.decode())
    await _rebuild(session, why, user=more[0] if more else b"")


def cannot_mend(session: Session) -> UnavailableError:
    """Return the error for a session that is torn again each time it is rebuilt."""
    what = "the session is torn again each time it is rebuilt: find out what deletes its keys, or clear() it"
    return UnavailableError(what, session=session.id, key=session.key)


async def _rebuild(session: Session, part: bytes, user: bytes) -> None:
    """Rebuild the id index, or the state, from the records, some at a time.

    If somebody else rebuilds the session too, the last to begin goes on and the others stop.
    """
    what = "index of ids (annotations are lost)"
    if part == b"state":
        what = "state (its title, metadata and summary are lost)"
    _logger.warning("rebuilding the %s of a torn session from its messages: key %s", what, session.key)
    attempt, after, more = secrets.token_hex(4).encode(), None, True
    times, seen = list[int](), set[str]()
    whole = session.of_anyone()
    decoder = Decoder(session)
    while more:
        (reply,) = await session.run(
            whole.reads.page(
                after, None, RECORDS_PER_CALL, newest=False, size=BYTES_PER_CALL, all_branches=True
            ).command
        )
        if answers.refusal(reply):
            return
        page = answers.Page(*reply[1:])
        entries, more = await decoder.entries(page.elements, page.first), bool(page.more)
        times += [record.from_datetime(entry.created_at) for entry in entries if entry.created_at is not None]
        times = [min(times), max(times)] if times else []
        command = calls.heal(
            session.keys,
            attempt,
            _step(first=after is None, last=not more),
            part,
            user=user,
            ttl=session.policy.ttl_argument,
            times=[b"%d" % time for time in times or [record.now()] * 2],
            ids=[name for pair in zip(entries, page.elements, strict=True) for name in _indexed(session, *pair, seen)],
        )
        (goes_on,) = await session.run(command)
        if not goes_on:
            return
        after = entries[-1].seq if entries else after


def _step(*, first: bool, last: bool) -> Literal["begin", "go on", "end", "only"]:
    if first:
        return "only" if last else "begin"
    return "end" if last else "go on"


def _indexed(session: Session, entry: Entry, element: bytes, seen: set[str]) -> Sequence[bytes]:
    """Return the field and the value that the index holds for a message; nothing for one without an id."""
    if not entry.id:
        return ()
    name, position = field(entry.id), b"%d" % entry.seq
    if entry.id not in seen:
        seen.add(entry.id)
        return b"m" + name, position
    digest = record.digest(record.Encoded(name, record.record_of(element)))  # a further message with the same id
    return b"d" + (digest if session.sealer is None else session.sealer.ring.digest(digest)), position
