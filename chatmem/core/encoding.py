"""From messages to records, ready to be stored in a session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from langchain_core.messages import BaseMessage

from chatmem.codec import record
from chatmem.core.decoder import pieces
from chatmem.core.session import Session
from chatmem.core.steps import BYTES_AT_ONCE, RECORDS_AT_ONCE


async def encode(session: Session, messages: Sequence[BaseMessage]) -> list[record.Encoded]:
    """Return the records of messages.

    Raises:
        EncodingError: a message cannot be stored.
    """
    policy = session.policy
    how, most, unstorable = policy.compression, policy.max_message_bytes, policy.on_unstorable
    now, budget = record.now(), BYTES_AT_ONCE
    parts: list[record.Encoded] = []
    with session.named:
        for index, message in enumerate(messages):
            part = record.encode(message, index, now, how, most, unstorable)
            parts.append(part)
            budget -= len(part.record) + BYTES_AT_ONCE // RECORDS_AT_ONCE
            if budget <= 0:  # a long append must not block the event loop
                await session.transport.checkpoint()
                budget = BYTES_AT_ONCE
    return parts


async def sealed_for(session: Session, places: Sequence[int]) -> bytes:
    """Return the positions that records are encrypted for, as scripts take them; empty without encryption."""
    if session.sealer is None:
        return b""
    sealed = b",".join(b"%d" % place for place in places)
    await session.pause_after(len(sealed))
    return sealed


async def arguments_of(
    session: Session, parts: Sequence[record.Encoded], places: Sequence[int], *, with_digests: bool = False
) -> list[bytes]:
    """Return messages as scripts take them, one argument after another; with encryption, encrypted for these positions.

    A long append lets others run in between.
    """
    is_short = session.sealer is None and len(parts) <= RECORDS_AT_ONCE
    arguments: list[bytes] = []
    for start, end in ((0, len(parts)),) if is_short else pieces([part.record for part in parts]):
        if start:
            await session.transport.checkpoint()
        for part in _parts_of(session, parts[start:end], places[start:end], with_digests):
            arguments += part
    return arguments


def _parts_of(
    session: Session, parts: Sequence[record.Encoded], places: Sequence[int], with_digests: bool
) -> Iterator[tuple[bytes, bytes, bytes]]:
    sealer = session.sealer
    for part, place in zip(parts, places, strict=True):
        if sealer is None:
            yield part.id, record.digest(part) if with_digests and part.id else b"", part.record
        else:
            digest = sealer.ring.digest(record.digest(part)) if part.id else b""
            yield part.id, digest, sealer.seal(part.record, place)
