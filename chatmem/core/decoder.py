"""From the elements of a session's list to messages and entries."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from langchain_core.messages import BaseMessage

from chatmem.codec import compression, plain, record
from chatmem.codec.compression import UnknownDictionaryError
from chatmem.core.keys import dictionary_key
from chatmem.core.order import longest_growing
from chatmem.core.session import Session
from chatmem.core.steps import BYTES_AT_ONCE, RECORDS_AT_ONCE
from chatmem.core.telemetry import moved
from chatmem.errors import CorruptRecordError
from chatmem.model import Entry

T = TypeVar("T")

BYTES_PER_CALL = 1024 * 1024
"""How many bytes of records an operation on a whole session reads at a time, so that it never holds up others."""

_logger = logging.getLogger("chatmem")


class Decoder:
    """Decodes the elements of one session. It makes no request, except for a compression dictionary it lacks."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def messages(self, elements: Sequence[bytes]) -> list[BaseMessage]:
        """Return the messages of elements. This is the fast path: it builds no entries.

        Raises:
            CorruptRecordError: one of them cannot be read.
        """
        session = self._session
        self._note(elements)
        messages: list[BaseMessage] = []
        last = -1
        for start, end in pieces(elements):
            if start:  # a long history must not block the event loop
                await session.transport.checkpoint()
            part = elements[start:end]
            if session.sealer is not None:
                last = record.last_in_order(part, last)
            try:
                messages += plain.decode_messages(part, session.sealer)
            except UnknownDictionaryError:
                compression.look_again()
                messages += await self._with_dictionaries(partial(plain.decode_messages, part, session.sealer))
        return messages

    async def entries(
        self,
        elements: Sequence[bytes],
        first: int | None = None,
        *,
        after: int | None = None,
        before: int | None = None,
    ) -> list[Entry]:
        """Return the entries of elements; an entry that cannot be read carries its error.

        An encrypted record proves its position. Encrypted records outside `after` and `before`, and as few as possible
        of those whose positions do not grow, were moved or copied by somebody else: they count as unreadable.

        Args:
            elements: neighbours in the list, oldest first.
            first: the position of the first one, if its element does not say; by default one that fits the others.
            after: the position behind which the elements were read.
            before: the position before which the elements were read.
        """
        if not elements:
            return []
        self._note(elements)
        compression.look_again()
        first = _first_position(elements) if first is None else first
        entries: list[Entry] = []
        proven: list[int] = []
        for start, end in pieces(elements):
            next_position = entries[-1].seq + 1 if entries else first
            part = partial(self._decode, elements[start:end], next_position)
            decoded, sealed = await self._with_dictionaries(part)
            entries += decoded
            proven += [start + index for index in sealed]
            if end < len(elements):
                await self._session.transport.checkpoint()
        await self._session.pause_after(len(elements[-1]))
        low, high = -1 if after is None else after, math.inf if before is None else before
        inside = [index for index in proven if low < entries[index].seq < high]
        kept = {inside[i] for i in longest_growing([entries[index].seq for index in inside])}
        for index in proven:
            if index not in kept:
                seq = entries[index - 1].seq + 1 if index else first
                entries[index] = self._unreadable(seq, CorruptRecordError("it was moved here, or is here twice"))
        return entries

    async def parts(self, elements: Sequence[bytes]) -> list[BaseMessage]:
        """Return the messages of elements that are not in the list; what cannot be read is left out, with a warning."""
        messages = []
        for element in elements:
            try:
                part = await self._with_dictionaries(partial(record.decode, element, self._session.sealer))
            except CorruptRecordError as error:
                _logger.warning(
                    "left out a part of an answer that cannot be read: key %s: %s", self._session.key, error
                )
            else:
                messages.append(part.message)
        return messages

    def readable(self, entries: Sequence[Entry], *, strict: bool = False) -> list[BaseMessage]:
        """Return the messages of the entries that can be read, and log a warning for each that cannot.

        Raises:
            CorruptRecordError: with `strict`, an entry cannot be read.
        """
        for entry in entries:
            if entry.error is not None and strict:
                raise entry.error
            if entry.error is not None:
                what = "left out an unreadable record: key %s, position %d: %s"
                _logger.warning(what, self._session.key, entry.seq, entry.error)
        return [entry.message for entry in entries if entry.message is not None]

    def _note(self, elements: Sequence[bytes]) -> None:
        moved(elements)
        last = record.position_of(elements[-1]) if elements else None
        if last is not None:
            self._session.next_position = max(self._session.next_position, last + 1)

    async def _with_dictionaries(self, decode: Callable[[], T]) -> T:
        """Decode a few records, and fetch each dictionary that they turn out to need, in a round trip each."""
        while True:
            try:
                return decode()
            except UnknownDictionaryError as error:
                key = dictionary_key(self._session.policy.prefix, error.number)
                (data,) = await self._session.run(("GET", key))
                compression.learn_stored(error.number, data)

    def _decode(self, elements: Sequence[bytes], next_position: int) -> tuple[list[Entry], list[int]]:
        """Decode elements one by one; an element that does not say its position gets the one after its neighbour's.

        Returns:
            The entries, and the indexes of those that were encrypted and could be opened.
        """
        entries: list[Entry] = []
        sealed = []
        for element in elements:
            own = record.position_of(element)
            seq = next_position if own is None else own
            next_position = seq + 1
            try:
                decoded = record.decode(element, self._session.sealer)
            except CorruptRecordError as error:
                entries.append(self._unreadable(seq, error))
                continue
            if decoded.is_sealed:
                sealed.append(len(entries))
            entries.append(Entry(seq, decoded.id, decoded.created_at, decoded.message))
        return entries, sealed

    def _unreadable(self, seq: int, error: CorruptRecordError) -> Entry:
        error.seq, error.session, error.key = seq, self._session.id, self._session.key
        return Entry(seq, None, None, None, error)


def pieces(elements: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield where the pieces begin and end that are decoded between two checkpoints."""
    if len(elements) <= RECORDS_AT_ONCE and sum(map(len, elements)) <= BYTES_AT_ONCE:
        yield 0, len(elements)
        return
    start = size = 0
    for index, element in enumerate(elements):
        if index > start and (size >= BYTES_AT_ONCE or index - start == RECORDS_AT_ONCE):
            yield start, index
            start, size = index, 0
        size += len(element)
    yield start, len(elements)


def _first_position(elements: Sequence[bytes]) -> int:
    """Return the position that the first element must have, by the first that says its own."""
    known = ((seq, index) for index, seq in enumerate(map(record.position_of, elements)) if seq is not None)
    seq, index = next(known, (0, 0))
    return max(seq - index, 0)
