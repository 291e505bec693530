"""Batches of chunks: what an entry of the stream holds; see `scripts/answer.lua`.

A record is as in the list of messages. If it is encrypted, it is bound to the answer, to the batch and to its place in
there, by a number that stands for all of them where a message has its position.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from langchain_core.messages import BaseMessage

from chatmem.core.decoder import Decoder
from chatmem.core.encoding import encode
from chatmem.core.session import Session

_FIRST, _MOST = 5 * 10**14, 4 * 10**14
"""Numbers of 15 digits, which are no positions, and no positions of a summary's messages either."""


async def packed(session: Session, answer: bytes, number: int, messages: Sequence[BaseMessage]) -> list[bytes]:
    """Return the records of a batch.

    Raises:
        EncodingError: a message cannot be stored.
    """
    records = [part.record for part in await encode(session, messages)]
    if session.sealer is None:
        return records
    return [session.sealer.seal(one, place) for one, place in zip(records, _places(answer, number), strict=False)]


async def unpacked(decoder: Decoder, answer: bytes, number: int, records: Sequence[bytes]) -> list[BaseMessage]:
    """Return the messages of a batch; what cannot be read is left out, with a warning."""
    places = zip(records, _places(answer, number), strict=False)
    return await decoder.parts([b"%d:%b" % (place, one) for one, place in places])


def _places(answer: bytes, number: int) -> Iterator[int]:
    index = 0
    while True:
        text = b"%d %d %b" % (number, index, answer)
        yield _FIRST + int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) % _MOST
        index += 1


def published(message: bytes) -> tuple[bytes, bytes, bytes, int, list[bytes]]:
    """Return what a message on the channel says: the entry before, its own, the answer, its number, its records."""
    before, entry, rest = message.split(b" ", 2)
    answer, rest = _sized(rest)
    number, _, rest = rest[1:].partition(b" ")
    records = []
    while rest:
        one, rest = _sized(rest)
        records.append(one)
    return before, entry, answer, int(number), records


def _sized(text: bytes) -> tuple[bytes, bytes]:
    size, _, rest = text.partition(b":")
    return rest[: int(size)], rest[int(size) :]
