"""History: the operations on one conversation. This is the core, and it awaits nothing but its transport."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage, MessageLikeRepresentation, convert_to_messages

from chatmem import scripts
from chatmem.codec import compression, record
from chatmem.codec.compression import UnknownDictionaryError
from chatmem.errors import ChatMemError, ConflictError, CorruptRecordError, UnavailableError
from chatmem.keys import SessionKeys, dictionary_key, field, name_of, session_keys
from chatmem.model import Appended, Entry, SessionInfo
from chatmem.policy import Policy
from chatmem.transports.base import Command, Transport

T = TypeVar("T")

logger = logging.getLogger("chatmem")

SLICE = 256
"""How many records `entries` reads at a time."""
AT_ONCE = 64
"""How many records are decoded before others may run: about a tenth of a millisecond."""


class History:
    """One conversation. Made by `ChatMemory.history`; making one costs no round trip and needs no event loop."""

    def __init__(self, transport: Transport, policy: Policy, session_id: str) -> None:
        self._transport = transport
        self._policy = policy
        self._keys: SessionKeys = session_keys(policy.prefix, session_id)
        self.session_id = session_id

    def __repr__(self) -> str:
        return f"History({self.session_id!r})"

    async def append(
        self,
        *messages: MessageLikeRepresentation,
        idempotency_key: str | None = None,
        expected_version: int | None = None,
    ) -> Appended:
        """Append messages: all of them, each once, or none. One round trip.

        A message whose id the session holds already is left out and counted as a duplicate, so an append may be
        done again after an error; `idempotency_key` does the same for messages without ids.

        Args:
            messages: LangChain messages, or what LangChain makes one of: a string, `("ai", "hi")`,
                `{"role": "user", "content": "hi"}`. With none, nothing is stored and the version comes back.
            idempotency_key: a name for this append. A second append to this session under the same name stores
                nothing, and returns what the first one did, with all messages as duplicates.
            expected_version: the session's version as the caller knows it, 0 for a session that must be new.

        Returns:
            The session's new version, the positions of the first and last of these messages, and how many were
            duplicates.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was stored.
            EncodingError: a message holds what cannot be stored. Nothing was sent.
            UnavailableError: the server did not confirm. The messages are stored all or none. Where `wait_replicas`
                of them were not reached, all are stored; the same append again waits again.
            ValueError: a value is no message, a chunk's id is stored with another content, or an argument is wrong.
        """
        self._check_append(idempotency_key, expected_version)
        now = record.now()
        with self._named():
            how = self._policy.compression
            parts = [record.encode(message, i, now, how) for i, message in enumerate(_as_messages(messages))]
        if how is not None and how.dictionary is not None and not how.is_stored:
            await self._run(("SET", self._dictionary_key(how.dictionary.number), how.dictionary.data, b"NX"))
            how.is_stored = True
        return await self._store(parts, idempotency_key=idempotency_key, expected_version=expected_version)

    async def _store(
        self,
        parts: Sequence[record.Encoded],
        *,
        idempotency_key: str | None = None,
        expected_version: int | None = None,
    ) -> Appended:
        """Append messages that are encoded already; see `append`."""
        command = scripts.APPEND.call(
            self._keys,
            secrets.token_hex(8).encode(),
            b"%d" % record.now(),
            self._policy.ttl_argument,
            b"0" if self._policy.refresh == "never" else b"1",
            b"" if expected_version is None else b"%d" % expected_version,
            b"" if idempotency_key is None else field(idempotency_key),
            *(value for part in parts for value in part),
        )
        return self._appended(await self._write(command), parts, expected_version)

    @staticmethod
    def _check_append(idempotency_key: str | None, expected_version: int | None) -> None:
        if idempotency_key is not None and (not isinstance(idempotency_key, str) or not idempotency_key):
            raise ValueError("idempotency_key must be a non-empty string, or None for none")
        if expected_version is not None and not _is_count(expected_version, least=0):
            raise ValueError("expected_version must be a whole number from 0 on, or None for any")

    def _appended(self, reply: list[int], parts: Sequence[record.Encoded], expected: int | None) -> Appended:
        if reply[0] == -1:
            actual = reply[1]
            raise ConflictError(
                f"the session is at version {actual}, not at {expected}: read it again, then append",
                expected=expected,
                actual=actual,
                session=self.session_id,
                key=self._key(),
            )
        if reply[0] == -2:
            message_id = name_of(parts[reply[1]].id)
            raise ValueError(
                f"messages[{reply[1]}] is a chunk, and another chunk is stored under its id {message_id!r}: chunks of "
                "one answer share an id, so add them up (chunk + chunk) and append the sum"
            )
        version, first, last, duplicates = reply
        return Appended(version, None if first < 0 else first, None if last < 0 else last, duplicates)

    async def messages(self, *, last: int | None = None, strict: bool = False) -> list[BaseMessage]:
        """Return the messages, oldest first. One round trip.

        A record that cannot be read is left out, and a warning with key and position is logged.

        Args:
            last: only so many from the end; the others are not read at all. All of them by default.
            strict: raise for a record that cannot be read.

        Raises:
            CorruptRecordError: with `strict`, a record cannot be read.
            UnavailableError: the server did not answer.
            ValueError: `last` is not a whole number from 1 on.
        """
        if last is not None and not _is_count(last, least=1):
            raise ValueError("last must be a whole number from 1 on, or None for all messages")
        elements = await self._read(0 if last is None else -last, -1)
        try:
            return await self._decode(elements)
        except CorruptRecordError:
            entries = await self._known(partial(self._listed, elements, 0))
            return [entry.message for entry in entries if entry.message is not None or self._skip(entry, strict)]  # type: ignore[misc]

    async def _decode(self, elements: list[bytes]) -> list[BaseMessage]:
        messages: list[BaseMessage] = []
        for start in range(0, len(elements), AT_ONCE):
            if start:  # a long history must not stop its whole event loop
                await self._transport.rest()
            part = elements[start : start + AT_ONCE]
            try:
                messages += record.decode_messages(part)
            except UnknownDictionaryError:
                messages += await self._known(partial(record.decode_messages, part))
        return messages

    async def _known(self, decode: Callable[[], T]) -> T:
        """Decode, and fetch each dictionary that it turns out to need. One round trip a dictionary and process."""
        compression.look_again()
        while True:
            try:
                return decode()
            except UnknownDictionaryError as error:
                (data,) = await self._run(("GET", self._dictionary_key(error.number)))
                compression.learn_stored(error.number, data)

    def _dictionary_key(self, number: int) -> bytes:
        return dictionary_key(self._policy.prefix, number)

    async def entries(self, *, strict: bool = False) -> AsyncIterator[Entry]:
        """Iterate over the stored messages with their positions, ids and times, oldest first.

        Reads in slices, one round trip each, so that the whole session never lies in memory.

        Args:
            strict: raise for a record that cannot be read; by default its entry carries the error.

        Raises:
            CorruptRecordError: with `strict`, a record cannot be read.
            UnavailableError: the server did not answer.
        """
        start, position = 0, 0
        while elements := await self._read(start, start + SLICE - 1):
            for entry in await self._known(partial(self._listed, elements, position)):
                if entry.error is not None and strict:
                    raise entry.error
                yield entry
                position = entry.seq + 1
            if len(elements) < SLICE:
                return
            start += SLICE

    async def count(self) -> int:
        """Return how many messages the session holds, unreadable ones included. One round trip."""
        (count,) = await self._run(("LLEN", self._keys.messages))
        return int(count)

    async def info(self) -> SessionInfo:
        """Return what is known of the session: count, version, times, TTL. One round trip.

        For a session that does not exist, count and version are 0 and the rest is None.
        """
        fields = (b"version", b"created", b"updated")
        count, (version, created, updated), left = await self._run(
            ("LLEN", self._keys.messages), ("HMGET", self._keys.state, *fields), ("PTTL", self._keys.messages)
        )
        return SessionInfo(
            session_id=self.session_id,
            count=count,
            version=int(version or 0),
            created_at=record.to_datetime(int(created)) if created else None,
            updated_at=record.to_datetime(int(updated)) if updated else None,
            ttl=left / 1000 if left >= 0 else None,
        )

    async def touch(self, *, ttl: float | timedelta | None = None) -> bool:
        """Restart the session's time to live. One round trip.

        Args:
            ttl: seconds or a `timedelta`; the memory's own by default. Where neither is given, nothing changes.

        Returns:
            Whether the session exists.

        Raises:
            UnavailableError: the server did not confirm.
            ValueError: `ttl` is not more than 0.
        """
        policy = self._policy if ttl is None else Policy(ttl=ttl)
        (exists,) = await self._run(scripts.TOUCH.call(self._keys, policy.ttl_argument))
        return bool(exists)

    async def clear(self) -> None:
        """Remove the session: its messages and all that is known of it. One round trip, atomic."""
        await self._run(("UNLINK", *self._keys))

    async def _read(self, start: int, stop: int) -> list[bytes]:
        commands: list[Command] = [("LRANGE", self._keys.messages, b"%d" % start, b"%d" % stop)]
        if self._policy.refresh == "read" and self._policy.ttl_argument:
            commands.append(scripts.TOUCH.call(self._keys, self._policy.ttl_argument))
        replies = await self._run(*commands)
        return replies[0]  # type: ignore[no-any-return]

    async def _write(self, command: Command) -> Any:
        """Run a script, and wait for replicas where the memory wants it: in the same round trip."""
        if self._policy.wait is None:
            (reply,) = await self._run(command)
            return reply
        reply, reached = await self._run(command, self._policy.wait)
        if reached < self._policy.wait_replicas:
            with self._named():
                raise UnavailableError(
                    f"done on the master, but {reached} of {self._policy.wait_replicas} replicas confirmed it in time: "
                    "what the master has may be lost with it; do the same again to wait again"
                )
        return reply

    async def _run(self, *commands: Command) -> list[Any]:
        with self._named():
            return await self._transport.run(commands)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except ChatMemError as error:
            error.session, error.key = self.session_id, self._key()
            raise

    def _key(self) -> str:
        return self._keys.messages.decode()

    def _listed(self, elements: list[bytes], expected: int) -> list[Entry]:
        return list(self._entries(elements, expected))

    def _entries(self, elements: list[bytes], expected: int) -> Iterator[Entry]:
        """Decode elements one by one, taking the position of a damaged one from its neighbours."""
        known = ((seq, i) for i, seq in enumerate(map(record.position_of, elements)) if seq is not None)
        seq, index = next(known, (expected, 0))
        following = max(seq - index, 0)
        for element in elements:
            own = record.position_of(element)
            seq = following if own is None else own
            following = seq + 1
            try:
                decoded = record.decode(element)
            except CorruptRecordError as error:
                error.seq, error.session, error.key = seq, self.session_id, self._key()
                yield Entry(seq, None, None, None, error)
            else:
                yield Entry(seq, decoded.id, decoded.created_at, decoded.message)

    def _skip(self, entry: Entry, strict: bool) -> bool:
        if strict and entry.error is not None:
            raise entry.error
        logger.warning("left out an unreadable record: key %s, position %d: %s", self._key(), entry.seq, entry.error)
        return False


def _is_count(value: object, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _as_messages(values: Sequence[MessageLikeRepresentation]) -> list[BaseMessage]:
    messages = []
    for index, value in enumerate(values):
        if isinstance(value, BaseMessage):
            messages.append(value)
            continue
        if isinstance(value, list) and not (len(value) == 2 and isinstance(value[1], str)):  # ["human", "hi"] is one
            raise ValueError(f"messages[{index}] is a list: append takes the messages themselves, append(*messages)")
        try:
            messages.extend(convert_to_messages([value]))
        except (ValueError, TypeError, NotImplementedError, KeyError, AttributeError) as error:
            raise ValueError(f"messages[{index}] is no message that LangChain knows: {error}") from error
    return messages
