"""Copying a conversation, or its beginning, into a new session: of one moment, and whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import NamedTuple

from chatmem import scripts
from chatmem.codec.record import Encoded
from chatmem.core.keys import aside, field, unescape
from chatmem.core.session import SLICE, Session
from chatmem.errors import ConflictError, NotFoundError, UnavailableError
from chatmem.model import Entry
from chatmem.transports.base import Command


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
    """before which position stands what a compaction put at the head"""


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
            with session.named:
                what = f"the session is at version {version}, not at {expected_version}: read it again, then fork"
                raise ConflictError(what, expected=expected_version, actual=version)
        entries, more = await session.entries(elements, first), bool(left)
        ends = [index for index, entry in enumerate(entries) if up_to is not None and up_to in (entry.seq, entry.id)]
        if ends:
            entries, more = entries[: ends[0] + 1], False
        elif up_to is not None and not more:
            with session.named:
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
    source: AsyncIterator[Slice], session: Session, new_id: str, copy: Callable[[Entry, bytes], Encoded]
) -> Session | None:
    """Build a copy aside, a slice a round trip, and put it in its place in one step with the last slice.

    Returns:
        The copy; None where its source was changed meanwhile, other than by appends.

    Raises:
        ConflictError: there is a session of the new id.
        UnavailableError: what was built aside is gone.
    """
    name, position, edited, heads = secrets.token_hex(4).encode(), 0, None, 0
    async for part in source:
        if edited not in (None, part.edited):
            return None
        edited = part.edited
        heads = heads or sum(entry.seq < part.pinned for entry in part.entries)
        target = Session(session.transport, session.policy, new_id, part.user)
        keys = (*target.keys, *aside(target.keys, name))
        command = scripts.STAGE.call(
            keys, b"add", b"%d" % position, b"%d" % heads, *_copies(part, position, target, copy)
        )
        position += len(part.entries)
        if part.more:
            await target.send(command)
        elif await _commit(target, keys, command, field(name_of_fork(session, part)), position, heads):
            return target
    return None


def _copies(part: Slice, position: int, target: Session, copy: Callable[[Entry, bytes], Encoded]) -> Iterator[bytes]:
    for place, (entry, element) in enumerate(zip(part.entries, part.elements, strict=False), position):
        one = copy(entry, element)
        yield from (one.id, sealed(one, entry, place, target))


async def _commit(
    target: Session, keys: Sequence[bytes], command: Command, name: bytes, count: int, heads: int
) -> bool:
    call = target.policy.calls.begin(target.keys.messages)
    try:
        told = (call.token, target.policy.ttl_argument, target.user_name, name, b"%d" % count, b"%d" % heads)
        commands = [command, scripts.STAGE.call(keys, b"commit", *told)]
        if target.user is not None and target.policy.wait is None:
            commands.append(target.registration(target.user_name, "CH"))
        _, reply, *_ = await target.confirmed(*commands)
        if target.user is not None and target.policy.wait is not None:
            await target.run(target.registration(target.user_name, "CH"))
    finally:
        target.policy.calls.end(call)
    with target.named:
        if reply[0] == -1:
            what = f"there is a session of this id already, at version {reply[1]}: fork to another, or clear it first"
            raise ConflictError(what, expected=0, actual=reply[1])
        if reply[0] == -4:
            raise UnavailableError("what was copied so far is gone (expired, or evicted): fork again")
    if reply[0] < 0:
        await target.mend(reply)
        return False
    return True
