"""Forks: a copy of a session, built aside in slices and put in place in one step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import NamedTuple

from chatmem.codec.record import Encoded
from chatmem.core.healing import mend
from chatmem.core.keys import field, unescape
from chatmem.core.reader import ENTRIES_PER_CALL, Reader
from chatmem.core.session import Session
from chatmem.core.staging import Beside, Staged, Staging
from chatmem.errors import ConflictError, NotFoundError, UnavailableError
from chatmem.model import Entry
from chatmem.scripts.answers import Code, Refusal

Copy = Callable[[Entry, bytes], Encoded]
"""Returns a stored message, from its entry and its element, as it is stored in the fork."""


class _Summary(NamedTuple):
    """The stored summary of what is copied."""

    last: int
    """the position up to which it speaks, -1 if those messages are gone"""
    messages: list[tuple[Entry, bytes]]
    """the entries, and what they were decoded from"""


class Slice(NamedTuple):
    """A part of what is copied."""

    entries: list[Entry]
    elements: list[bytes]
    more: bool
    user: str | None
    edited: int
    """the version of the session's last change that was not an append"""
    pinned: int
    """the position before which the messages stand that a compaction put at the head"""
    summary: _Summary | None


async def slices(reader: Reader, up_to: str | int | None, expected_version: int | None) -> AsyncIterator[Slice]:
    """Iterate over the messages to copy, oldest first.

    Raises:
        ConflictError: the session is not at `expected_version`.
        NotFoundError: there is no message `up_to`.
    """
    session, after, more, summary = reader.session, -1, True, None
    while more:
        part = await reader.slice(after, None, ENTRIES_PER_CALL, newest=False)
        page, entries, more = part.page, part.entries, part.more
        if after < 0 and expected_version is not None and page.version != expected_version:
            with session.named:
                what = f"the session is at version {page.version}, not at {expected_version}: read it again, then fork"
                raise ConflictError(what, expected=expected_version, actual=page.version)
        if after < 0 and page.summarized:
            summary = await _summary(reader)
        ends = [index for index, entry in enumerate(entries) if up_to is not None and up_to in (entry.seq, entry.id)]
        if ends:
            entries, more = entries[: ends[0] + 1], False
        elif up_to is not None and not more:
            with session.named:
                raise NotFoundError(f"the session holds no message {up_to!r}")
        user = unescape(page.user) if page.user else session.user
        yield Slice(entries, page.elements, more, user, page.edited, page.pinned, summary)
        if entries:
            after = entries[-1].seq


async def _summary(reader: Reader) -> _Summary | None:
    """Return the summary of the active branch, if there is one that can be read."""
    answer, _ = await reader.ask(reader.session.reads.summary())
    if answer.last is None:
        return None
    entries = await reader.decoder.entries(answer.elements)
    if any(entry.message is None for entry in entries):
        return None
    return _Summary(answer.last, list(zip(entries, answer.elements, strict=True)))


async def build(source: AsyncIterator[Slice], session: Session, new_id: str, copy: Copy) -> Session | None:
    """Build a fork aside, a slice in each round trip, and put it in place with the last one.

    Returns:
        The fork; None if its source was edited meanwhile.

    Raises:
        ConflictError: there is a session with the new id.
        UnavailableError: what was built aside has disappeared.
    """
    staging, edited, pinned, summarized = None, None, 0, 0
    async for part in source:
        if edited not in (None, part.edited):
            return None
        edited = part.edited
        pinned = pinned or sum(entry.seq < part.pinned for entry in part.entries)
        summarized += sum(part.summary is not None and entry.seq <= part.summary.last for entry in part.entries)
        staging = staging or Staging(Session(session.transport, session.policy, new_id, part.user))
        commands = staging.add(_copies(part, copy), pinned)
        if part.more:
            await staging.session.send(*commands)
            continue
        key, beside = _idempotency_key(session, part), _beside(part, summarized, copy)
        refusal = await staging.commit(commands, idempotency_key=key, pinned=pinned, beside=beside)
        if refusal is None:
            return staging.session
        await _refused(staging.session, refusal)
    return None


def _copies(part: Slice, copy: Copy) -> Iterator[Staged]:
    for entry, element in zip(part.entries, part.elements, strict=False):
        one = copy(entry, element)
        yield Staged(one.id, one.record, entry.annotations, is_readable=entry.message is not None)


def _beside(end: Slice, summarized: int, copy: Copy) -> Beside:
    """Return what the fork has beside messages: the summary, if it speaks of nothing that is not copied.

    Args:
        end: the last part.
        summarized: of how many of the copied messages the summary speaks.
        copy: returns a message as it is stored in the fork.
    """
    if end.summary is None or not end.entries or end.summary.last > end.entries[-1].seq:
        return Beside()
    return Beside(summarized=summarized - 1, summary=[copy(*one).record for one in end.summary.messages])


def _idempotency_key(session: Session, end: Slice) -> bytes:
    """Return the same key for as long as the same messages would be copied."""
    last = end.entries[-1].seq if end.entries else -1
    return field(f"fork of {session.id!r}, edited at {end.edited}, up to {last}")


async def _refused(fork: Session, refusal: Refusal) -> None:
    """Raise what a refusal to put the fork in its place means, or mend what is there so that it can be built again."""
    with fork.named:
        if refusal.code == Code.CONFLICT:
            version = refusal.details[0]
            what = f"there is a session with this id, at version {version}: fork to another id, or clear it first"
            raise ConflictError(what, expected=0, actual=version)
        if refusal.code == Code.MISSING:
            raise UnavailableError("what was copied so far has disappeared (it expired, or was evicted): fork again")
    await mend(fork, refusal)
