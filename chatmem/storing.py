"""How messages get into a session: encoded, sealed where the memory has keys, and stored by one script."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, MessageLikeRepresentation, convert_to_messages

from chatmem import scripts
from chatmem.codec import record
from chatmem.errors import ConflictError, EncodingError, NotFoundError, UnavailableError
from chatmem.keys import field, name_of
from chatmem.model import Appended, Edited
from chatmem.policy import check_count
from chatmem.session import COUNT, FIRST, USER, VERSION, Session
from chatmem.telemetry import moved

CONFLICT, _OTHER_USER, MISSING, _TAKEN, _TOO_MANY, _ELSEWHERE = -1, -3, -4, -5, -6, -7
"""The scripts' refusals."""
_ATTEMPTS = 100
"""How often a record is sealed anew because others took the position it was sealed for."""


class Stores:
    """What the writing half of a `History` is built on."""

    _session: Session

    async def _encode(self, messages: Sequence[BaseMessage]) -> list[record.Encoded]:
        session = self._session
        now, how, most = record.now(), session.policy.compression, session.policy.max_message_bytes
        with session.named():
            return [record.encode(message, i, now, how, most) for i, message in enumerate(messages)]

    async def _store(
        self,
        parts: Sequence[record.Encoded],
        *,
        idempotency_key: str | None = None,
        expected_version: int | None = None,
        put: bool = False,
        time: int | None = None,
    ) -> Appended:
        """Append messages that are encoded already; see `append`. With `put`, known ids are written over.

        The session takes it as done at `time`, in microseconds since 1970, by default now.
        """
        check_count("expected_version", expected_version, least=0)
        moved([part.record for part in parts])
        session = self._session
        most = session.policy.max_messages
        places = [session.following + offset for offset in range(len(parts))]
        for _ in range(_ATTEMPTS):
            reply = await session.write(
                scripts.APPEND,
                b"" if idempotency_key is None else field(idempotency_key),
                b"" if most is None else b"%d" % most,
                b"put" if put else b"",
                self._written_for(places),
                *self._sealed(parts, places),
                entry="CH" if parts else None,
                expected_version=expected_version,
                time=time,
            )
            if reply[VERSION] != _ELSEWHERE:
                break
            places = _places(*reply[1:])
        self._check(reply, parts, expected_version)
        version, first, last, duplicates = reply[:USER]
        session.following = max(session.following, last + 1)
        return Appended(version, None if first < 0 else first, None if last < 0 else last, duplicates)

    def _written_for(self, places: Sequence[int]) -> bytes:
        """Return the positions that records are sealed for, as scripts take them; empty where they are not sealed."""
        return b"" if self._session.sealer is None else b",".join(b"%d" % place for place in places)

    def _sealed(self, parts: Sequence[record.Encoded], places: Sequence[int]) -> Iterator[bytes]:
        """Yield ids, digests and records as scripts take them; where the memory has keys, sealed for these places."""
        sealer = self._session.sealer
        for part, place in zip(parts, places, strict=True):
            if sealer is None:
                yield from part
            else:
                yield from (part.id, sealer.ring.digest(part.digest), sealer.seal(part.record, place))

    async def _edit(
        self,
        *arguments: bytes,
        parts: Sequence[record.Encoded] = (),
        places: Sequence[int] = (),
        expected_version: int | None = None,
    ) -> Edited:
        check_count("expected_version", expected_version, least=0)
        moved([part.record for part in parts])
        for _ in range(_ATTEMPTS):
            sealed = (self._written_for(places), *self._sealed(parts, places))
            reply = await self._session.write(
                scripts.EDIT, *arguments, *sealed, entry="XX", expected_version=expected_version
            )
            if reply[VERSION] != _ELSEWHERE:
                break
            places = reply[1:]
        self._check(reply, parts, expected_version)
        return Edited(reply[VERSION], None if reply[FIRST] < 0 else reply[FIRST], reply[COUNT])

    def _check(self, reply: list[Any], parts: Sequence[record.Encoded] = (), expected: int | None = None) -> None:
        """Raise what a script's refusal means."""
        code = reply[VERSION]
        if code >= 0:
            return
        with self._session.named():
            if code == CONFLICT:
                what = f"the session is at version {reply[1]}, not at {expected}: read it again, then write"
                raise ConflictError(what, expected=expected, actual=reply[1])
            if code == MISSING:
                raise NotFoundError("the session holds no such message")
            if code == _ELSEWHERE:
                raise UnavailableError("others write to the session faster than a record is sealed for its position")
        if code == _OTHER_USER:
            raise ValueError(f"the session {self._session.id!r} belongs to another user than {self._session.user!r}")
        if code == _TOO_MANY:
            raise ValueError(f"replacement must be no more than the {reply[1]:,} messages that there were up to there")
        message_id = name_of(parts[reply[1]].id)
        if code == _TAKEN:
            raise ValueError(f"messages[{reply[1]}] has the id {message_id!r}, which another message has")
        raise ValueError(
            f"messages[{reply[1]}] is a chunk, and another chunk is stored under its id {message_id!r}: chunks of "
            "one answer share an id, so add them up (chunk + chunk) and append the sum"
        )


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
