"""Forks: a copy of a session, built aside in slices and put in place in one step."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import NamedTuple

from chatmem.codec.record import Encoded
from chatmem.core.decoder import BYTES_PER_CALL
from chatmem.core.healing import mend
from chatmem.core.keys import aside, field, unescape
from chatmem.core.reader import ENTRIES_PER_CALL, Reader
from chatmem.core.session import Session
from chatmem.errors import ConflictError, NotFoundError, UnavailableError
from chatmem.model import Entry
from chatmem.scripts import answers, calls
from chatmem.scripts.answers import Code
from chatmem.transports.base import Command

Copy = Callable[[Entry, bytes], Encoded]
"""Returns a stored message, from its entry and its element, as it is stored in the fork."""


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


async def slices(reader: Reader, up_to: str | int | None, expected_version: int | None) -> AsyncIterator[Slice]:
    """Iterate over the messages to copy, oldest first.

    Raises:
        ConflictError: the session is not at `expected_version`.
        NotFoundError: there is no message `up_to`.
    """
    session, after, more = reader.session, -1, True
    while more:
        page, _ = await reader.ask(session.reads.page(after, None, ENTRIES_PER_CALL, newest=False, size=BYTES_PER_CALL))
        if after < 0 and expected_version is not None and page.version != expected_version:
            with session.named:
                what = f"the session is at version {page.version}, not at {expected_version}: read it again, then fork"
                raise ConflictError(what, expected=expected_version, actual=page.version)
        entries, more = await reader.decoder.entries(page.elements, page.first), bool(page.more)
        ends = [index for index, entry in enumerate(entries) if up_to is not None and up_to in (entry.seq, entry.id)]
        if ends:
            entries, more = entries[: ends[0] + 1], False
        elif up_to is not None and not more:
            with session.named:
                raise NotFoundError(f"the session holds no message {up_to!r}")
        user = unescape(page.user) if page.user else session.user
        yield Slice(entries, page.elements, more, user, page.edited, page.pinned)
        if entries:
            after = entries[-1].seq


async def build(source: AsyncIterator[Slice], session: Session, new_id: str, copy: Copy) -> Session | None:
    """Build a fork aside, a slice in each round trip, and put it in place with the last one.

    Returns:
        The fork; None if its source was edited meanwhile.

    Raises:
        ConflictError: there is a session with the new id.
        UnavailableError: what was built aside has disappeared.
    """
    name, position, edited, pinned = secrets.token_hex(4).encode(), 0, None, 0
    async for part in source:
        if edited not in (None, part.edited):
            return None
        edited = part.edited
        pinned = pinned or sum(entry.seq < part.pinned for entry in part.entries)
        fork = Session(session.transport, session.policy, new_id, part.user)
        keys = (*fork.keys, *aside(fork.keys, name), *fork.written_keys[len(fork.keys) :])
        command = calls.stage_add(keys, position, pinned, _copies(part, position, fork, copy))
        position += len(part.entries)
        if part.more:
            await fork.send(command)
        elif await _commit(fork, keys, command, _idempotency_key(session, part), position, pinned):
            return fork
    return None


def _copies(part: Slice, position: int, fork: Session, copy: Copy) -> Iterator[bytes]:
    """Yield id and record of each message, encrypted for its new position if the memory has keys."""
    for place, (entry, element) in enumerate(zip(part.entries, part.elements, strict=False), position):
        one = copy(entry, element)
        unreadable = entry.message is None
        yield from (one.id, one.record if fork.sealer is None or unreadable else fork.sealer.seal(one.record, place))


def _idempotency_key(session: Session, end: Slice) -> bytes:
    """Return the same key for as long as the same messages would be copied."""
    last = end.entries[-1].seq if end.entries else -1
    return field(f"fork of {session.id!r}, edited at {end.edited}, up to {last}")


async def _commit(
    fork: Session, keys: Sequence[bytes], command: Command, idempotency_key: bytes, count: int, pinned: int
) -> bool:
    """Send the last slice and put the fork in its place. Return False if it has to be built again."""
    policy = fork.policy
    call = policy.calls.begin(fork.keys.messages)
    try:
        commit = calls.stage_commit(
            keys,
            call.token,
            ttl=policy.ttl_argument,
            user=fork.user_name,
            idempotency_key=idempotency_key,
            count=count,
            pinned=pinned,
        )
        commands = [command, commit]
        if fork.user is not None and policy.wait is None:
            commands.append(fork.register(fork.user_name, "CH"))
        _, reply, *_ = await fork.confirmed(*commands)
        if fork.user is not None and policy.wait is not None:
            await fork.run(fork.register(fork.user_name, "CH"))
    finally:
        policy.calls.end(call)
    refusal = answers.refusal(reply)
    if refusal is None:
        return True
    with fork.named:
        if refusal.code == Code.CONFLICT:
            version = refusal.details[0]
            what = f"there is a session with this id, at version {version}: fork to another id, or clear it first"
            raise ConflictError(what, expected=0, actual=version)
        if refusal.code == Code.MISSING:
            raise UnavailableError("what was copied so far has disappeared (it expired, or was evicted): fork again")
    await mend(fork, refusal)
    return False
