"""Copying a conversation, or its beginning, into a new session: of one moment, and whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from chatmem import scripts
from chatmem.codec.record import Encoded
from chatmem.errors import ConflictError, NotFoundError, UnavailableError
from chatmem.keys import aside, field, unescape
from chatmem.model import Entry
from chatmem.session import SLICE, Session


class Slice(NamedTuple):
    """A part of what is copied."""

    entries: list[Entry]
    elements: list[bytes]
    more: bool
    """whether others follow"""
    version: int
    user: str | None
    edited: int
    """the version of the last change of the session that was no append"""
    pinned: int
    """how many messages a compaction put at the head"""


async def slices(session: Session, up_to: str | int | None, expected_version: int | None) -> AsyncIterator[Slice]:
    """Iterate over the messages that a copy holds, oldest first.

    Raises:
        ConflictError: the session is not at `expected_version`.
        NotFoundError: there is no message `up_to`.
    """
    after, more = -1, True
    while more:
        left, elements, first, version, user, edited, pinned = await session.raw_slice(after, None, SLICE, newest=False)
        if after < 0 and expected_version is not None and version != expected_version:
            with session.named():
                what = f"the session is at version {version}, not at {expected_version}: read it again, then fork"
                raise ConflictError(what, expected=expected_version, actual=version)
        entries, more = await session.entries(elements, first), bool(left)
        ends = [index for index, entry in enumerate(entries) if up_to is not None and up_to in (entry.seq, entry.id)]
        if ends:
            entries, more = entries[: ends[0] + 1], False
        elif up_to is not None and not more:
            with session.named():
                raise NotFoundError(f"the session holds no message {up_to!r}")
        owner = unescape(user) if user else session.user
        yield Slice(entries, elements, more, version, owner, edited, pinned)
        if entries:
            after = entries[-1].seq


def name_of_fork(session: Session, end: Slice) -> str:
    """Return the idempotency key of a copy: the same for as long as the same messages are copied."""
    last = end.entries[-1].seq if end.entries else -1
    return f"fork of {session.id!r}, edited at {end.edited}, up to {last}"


def sealed(part: Encoded, entry: Entry, position: int, target: Session) -> bytes:
    """Return the record of a copy, sealed where the memory has keys, and where it could be read."""
    readable = target.sealer is not None and entry.message is not None
    return target.sealer.seal(part.record, position) if readable and target.sealer else part.record


async def build(
    source: AsyncIterator[Slice], target: Session, session: Session, copy: Callable[[Entry, bytes], Encoded]
) -> bool:
    """Build a large copy aside, a slice a round trip, and put it in its place in one step.

    Returns:
        Whether it is there; False where its source was changed meanwhile, other than by appends.

    Raises:
        ConflictError: there is a session of the target's id.
        UnavailableError: what was built aside is gone.
    """
    keys = (*target.keys, *aside(target.keys, secrets.token_hex(4).encode()))
    position, edited, last = 0, None, None
    async for last in source:
        if edited not in (None, last.edited):
            return False
        edited = last.edited
        parts: list[bytes] = []
        for offset, (entry, element) in enumerate(zip(last.entries, last.elements, strict=False)):
            part = copy(entry, element)
            parts += (part.id, sealed(part, entry, position + offset, target))
        await target.run(scripts.STAGE.call(keys, b"add", b"%d" % position, b"%d" % last.pinned, *parts))
        position += len(last.entries)
    if last is None:
        return False
    call = target.policy.calls.begin(target.keys.messages)
    try:
        user, key = target.user_name, field(name_of_fork(session, last))
        told = (call.token, target.policy.ttl_argument, user, key, b"%d" % position, b"%d" % last.pinned)
        commands = [scripts.STAGE.call(keys, b"commit", *told)]
        if target.user is not None:
            commands.append(target.registration(target.user_name, "CH"))
        reply = (await target.run(*commands))[0]
    finally:
        target.policy.calls.end(call)
    with target.named():
        if reply[0] == -1:
            what = f"there is a session of this id already, at version {reply[1]}: fork to another, or clear it first"
            raise ConflictError(what, expected=0, actual=reply[1])
        if reply[0] == -4:
            raise UnavailableError("what was copied so far is gone (expired, or evicted): fork again")
    if reply[0] < 0:
        await target.mend(reply)
        return False
    return True
