"""How messages get into a session: encoded, sealed where the memory has keys, and stored by one script."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from langchain_core.messages import BaseMessage, MessageLikeRepresentation, convert_to_messages

from chatmem import scripts
from chatmem.codec import record
from chatmem.codec.compression import UnknownDictionaryError
from chatmem.codec.messages import is_equal
from chatmem.core.keys import field, name_of
from chatmem.core.policy import check_count
from chatmem.core.session import AT_ONCE, COUNT, FIRST, OTHER_USER, TORN, USER, VERSION, Session
from chatmem.core.telemetry import moved
from chatmem.errors import (
    ConflictError,
    CorruptRecordError,
    DuplicateIdError,
    EncodingError,
    NotFoundError,
    UnavailableError,
)
from chatmem.model import Appended, Edited, Entry

_CONFLICT, _DUPLICATE, MISSING, _TAKEN, _TOO_MANY, _ELSEWHERE, _HIDDEN = -1, -2, -4, -5, -6, -7, -8
"""The scripts' refusals."""
_ATTEMPTS = 100
"""How often a record is sealed anew because others took the position it was sealed for."""


Known = Literal["error", "add", "replace"]
"""What an append does with a message whose id the session holds with other content."""


class Stores:
    """What the writing half of a `History` is built on."""

    _session: Session

    async def _encode(self, messages: Sequence[BaseMessage]) -> list[record.Encoded]:
        session = self._session
        now, how, rules = record.now(), session.policy.compression, session.policy
        most, unstorable = rules.max_message_bytes, rules.on_unstorable
        parts: list[record.Encoded] = []
        for start in range(0, len(messages), AT_ONCE):
            if start:  # a long append must not stop its whole event loop
                await session.transport.checkpoint()
            with session.named:
                for index, message in enumerate(messages[start : start + AT_ONCE], start):
                    parts.append(record.encode(message, index, now, how, most, unstorable))
        return parts

    async def _store(
        self,
        parts: Sequence[record.Encoded],
        *,
        idempotency_key: str | None = None,
        expected_version: int | None = None,
        known: Known | Literal["put"] = "error",
        removed: Sequence[str] = (),
        time: int | None = None,
    ) -> Appended:
        """Append messages that are encoded already; see `append`.

        Args:
            parts: the messages.
            idempotency_key: as `append` has it.
            expected_version: as `append` has it.
            known: what is done with a known id, as `append` has it; "put" writes over it even where it says the same.
            removed: the ids of messages that go in the same step, before these come.
            time: when it is done, in microseconds since 1970; by default now.
        """
        check_count("expected_version", expected_version, least=0)
        moved([part.record for part in parts])
        session = self._session
        most = session.policy.max_messages
        places = [session.following + offset for offset in range(len(parts))]
        verdict = b""
        for _ in range(_ATTEMPTS):
            reply = await session.write(
                scripts.APPEND,
                b"" if idempotency_key is None else field(idempotency_key),
                b"" if most is None else b"%d" % most,
                known.encode(),
                self._written_for(places),
                verdict,
                b"%d" % len(removed),
                *map(field, removed),
                *self._sealed(parts, places, digests=known == "add"),
                entry="CH" if parts else None,
                expected_version=expected_version,
                time=time,
            )
            if reply[VERSION] == _ELSEWHERE:
                places = _places(*reply[1:])
            elif reply[VERSION] == _HIDDEN:
                verdict = await self._verdict(parts, *reply[1:])
            elif reply[VERSION] <= TORN or reply[VERSION] == OTHER_USER:
                await session.mend(reply)
            else:
                break
        self._check(reply, parts, expected_version)
        version, first, last, duplicates = reply[:USER]
        session.following = max(session.following, last + 1)
        if last >= 0:
            session.policy.seen.add(session.keys.messages)
        return Appended(version, None if first < 0 else first, None if last < 0 else last, duplicates)

    async def _verdict(self, parts: Sequence[record.Encoded], version: int, *hidden: Any) -> bytes:
        """Return what messages are beside the stored ones of their ids, where the script cannot see that.

        Args:
            parts: the messages.
            version: the version of the session in which the stored ones were found.
            hidden: the index of each of these messages, and the element of its id.
        """
        found = bytearray(b"." * len(parts))
        for index, element in zip(hidden[::2], hidden[1::2], strict=True):
            (entry,) = await self._session.entries([element], 0)
            given = record.decode(b"0:" + parts[index].record)  # plain, though plain records may not be believed
            if entry.message is None:  # nobody knows what it says: the new one is another
                found[index : index + 1] = b"!"
            elif entry.id != given.id:
                found[index : index + 1] = b"?"
            else:
                found[index : index + 1] = b"=" if _equal(element, entry, parts[index], given, self._session) else b"!"
        return b"%d:%b" % (version, bytes(found))

    def _written_for(self, places: Sequence[int]) -> bytes:
        """Return the positions that records are sealed for, as scripts take them; empty where they are not sealed."""
        return b"" if self._session.sealer is None else b",".join(b"%d" % place for place in places)

    def _sealed(
        self, parts: Sequence[record.Encoded], places: Sequence[int], *, digests: bool = False
    ) -> Iterator[bytes]:
        """Yield ids, digests and records as scripts take them; where the memory has keys, sealed for these places."""
        sealer = self._session.sealer
        for part, place in zip(parts, places, strict=True):
            if sealer is None:
                yield from (part.id, record.digest(part) if digests and part.id else b"", part.record)
            else:
                digest = sealer.ring.digest(record.digest(part)) if part.id else b""
                yield from (part.id, digest, sealer.seal(part.record, place))

    async def _edit(
        self,
        *arguments: bytes,
        parts: Sequence[record.Encoded] = (),
        places: Sequence[int] = (),
        expected_version: int | None = None,
    ) -> Edited:
        check_count("expected_version", expected_version, least=0)
        moved([part.record for part in parts])
        gone = b""
        for _ in range(_ATTEMPTS):
            sealed = (self._written_for(places), gone, *self._sealed(parts, places))
            reply = await self._session.write(
                scripts.EDIT, *arguments, *sealed, entry="XX", expected_version=expected_version
            )
            if reply[VERSION] == _ELSEWHERE:
                places = reply[1:]
            elif reply[VERSION] == _HIDDEN:
                (entry,) = await self._session.entries([reply[2]])
                gone = b"=" + (field(entry.id) if entry.id else b"")
            elif reply[VERSION] <= TORN or reply[VERSION] == OTHER_USER:
                await self._session.mend(reply)
            else:
                break
        self._check(reply, parts, expected_version)
        return Edited(reply[VERSION], None if reply[FIRST] < 0 else reply[FIRST], reply[COUNT])

    def _check(self, reply: list[Any], parts: Sequence[record.Encoded] = (), expected: int | None = None) -> None:
        """Raise what a script's refusal means."""
        code = reply[VERSION]
        if code >= 0:
            return
        with self._session.named:
            if code == _CONFLICT:
                what = f"the session is at version {reply[1]}, not at {expected}: read it again, then write"
                raise ConflictError(what, expected=expected, actual=reply[1])
            if code == MISSING:
                raise NotFoundError("the session holds no such message")
            if code == _ELSEWHERE:
                raise UnavailableError("others write to the session faster than a record is sealed for its position")
            if code == _HIDDEN:
                raise UnavailableError("others write to the session faster than its messages can be compared")
            if code == TORN:
                raise self._session.cannot_mend()
        if code == _TOO_MANY:
            raise ValueError(f"replacement must be no more than the {reply[1]:,} messages that there were up to there")
        message_id = name_of(parts[reply[1]].id)
        if code == _TAKEN:
            raise ValueError(f"messages[{reply[1]}] has the id {message_id!r}, which another message has")
        what = f"messages[{reply[1]}] has the id {message_id!r}, which the session holds with other content"
        fix = 'give it an id of its own, or pass on_known_id="replace" to write over that one, or "add" to keep both'
        if record.is_chunk(parts[reply[1]].record):
            what = f"messages[{reply[1]}] is a chunk, and another chunk is stored under its id {message_id!r}"
            fix = "chunks of one answer share an id, so add them up (chunk + chunk) and append the sum"
        with self._session.named:
            raise DuplicateIdError(f"{what}: {fix}", index=reply[1], message_id=message_id)


def _equal(element: bytes, entry: Entry, part: record.Encoded, given: record.Decoded, session: Session) -> bool:
    """Return whether a stored message says what a given one says, whenever each was written, and in whatever form."""
    try:
        stored = record.plain_record(element, session.sealer)
        new = record.plain_record(b"0:" + part.record)
    except (UnknownDictionaryError, CorruptRecordError):
        return False
    return record.content_of(stored) == record.content_of(new) or is_equal(entry.message, given.message)


def _places(following: int, *known: int) -> list[int]:
    """Return where messages are or will be, from the next position and those of messages that are there (else -1)."""
    free = itertools.count(following)
    return [next(free) if place < 0 else place for place in known]


def to_json(value: Any) -> bytes:
    """Return a title or metadata as a session's state holds it.

    Raises:
        EncodingError: JSON cannot carry it.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodingError(f"metadata cannot be stored as JSON: {error}", field="metadata") from error
    if json.loads(text) != value:
        raise EncodingError("metadata changes as JSON: keys must be strings, and tuples are lists", field="metadata")
    return text.encode()


def as_messages(name: str, values: Sequence[MessageLikeRepresentation]) -> list[BaseMessage]:
    """Return what LangChain makes of message-likes.

    Raises:
        ValueError: one is no message; the text names the argument and its place.
    """
    messages = []
    for index, value in enumerate(values):
        if isinstance(value, BaseMessage):
            messages.append(value)
            continue
        if isinstance(value, list) and not (len(value) == 2 and isinstance(value[1], str)):  # ["human", "hi"] is one
            raise ValueError(f"{name}[{index}] is a list: append takes the messages themselves, append(*messages)")
        try:
            messages.extend(convert_to_messages([value]))
        except (ValueError, TypeError, NotImplementedError, KeyError, AttributeError) as error:
            raise ValueError(f"{name}[{index}] is no message that LangChain knows: {error}") from error
    return messages
