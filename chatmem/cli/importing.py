"""How an import stores a session: appended to what is there, message by message."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage

from chatmem.cli.formats.jsonl import Head, Line
from chatmem.cli.store import Store
from chatmem.codec import record
from chatmem.codec.record import Encoded
from chatmem.core.keys import field, session_keys
from chatmem.errors import ConflictError
from chatmem.model import Entry
from chatmem.transports.driving import drive, iterate

if TYPE_CHECKING:
    from hashlib import _Hash as _Digest

MESSAGES, BYTES = 500, 2**23
"""How much is sent in one round trip."""


class SessionImport:
    """The import of one session.

    Attributes:
        session: the session's id.
        stored: how many messages were stored.
        failed: whether no more messages are stored, because the session holds others or the file is damaged.
    """

    def __init__(self, store: Store, session: str, head: Head) -> None:
        self.session = session
        self.stored = 0
        self.failed = False
        self._head = head
        self._core = store.core(session, user=head.user, ttl=head.ttl)

    def _update(self) -> None:
        """Store title, metadata and marks where there are none. A session without an owner gets its owner."""
        head, user, title, metadata = self._head, self._head.user, self._head.title, self._head.metadata or None
        is_marked = head.archived or head.pinned or head.tags
        if title is None and not metadata and not is_marked and (user is None or self.stored):
            return
        info = drive(self._core.info())
        if self.stored or (info.revision == 0):
            archived, pinned, tags = head.archived, head.pinned, head.tags
            drive(self._core.update(title=title, metadata=metadata, archived=archived, pinned=pinned, tags=tags))
        elif user is not None and info.user is None:
            drive(self._core.update())


class AppendedImport(SessionImport):
    """The import of one session: appends its messages in order, those that are not stored yet.

    Each append has an idempotency key that is derived from all messages up to it, so a second import is recognised.
    A session without these keys counts as the same if it begins with the same messages. Where it goes on with others,
    the import fails or, with `append`, adds the rest of the file: what follows the last message that has a key, since
    the file may have been shorter before. A message that has no annotations gets those of the file.
    """

    def __init__(self, store: Store, session: str, head: Head, *, append: bool) -> None:
        """Prepare the import; nothing is sent yet.

        Args:
            store: where the session goes.
            session: the session's id.
            head: the session's owner, title, metadata, times and TTL.
            append: whether the session may hold other messages before.
        """
        super().__init__(store, session, head)
        self._writer = store.writer(session, user=head.user, ttl=head.ttl)
        self._append = append
        self._server = store.server
        self._index = session_keys(store.policy.prefix, session).ids
        self._digest = hashlib.sha256()
        self._buffer: list[Encoded] = []
        self._buffered = 0
        self._ids = set[bytes]()
        self._held: Iterator[Entry] | None = None
        self._passed = 0
        """How many messages came before those that are stored now."""
        self._version: int | None = 0
        """The version that the next append expects: 0 until this import has stored something; None for any."""
        self._is_first = True
        self._last = 0
        """The position of the message that was stored or found last."""

    def add(self, line: Line) -> None:
        """Take a message. It is stored together with others, at the latest by `finish`."""
        if line.annotations:
            self._flush()
        self._buffer.append(self._with_id_once(line.message))
        self._buffered += len(line.message.record)
        if line.annotations:  # alone, so that its position is known
            self._flush()
            self._annotate(line.annotations)
        elif len(self._buffer) == MESSAGES or self._buffered >= BYTES:
            self._flush()

    def _annotate(self, annotations: dict[str, Any]) -> None:
        entry = drive(self._core.get(self._last))
        if entry is not None and not entry.annotations:
            drive(self._core.annotate(self._last, annotations))

    def _with_id_once(self, message: Encoded) -> Encoded:
        """Drop the id of a message that occurs twice with it, so that both copies are stored."""
        if not message.id:
            return message
        digest = hashlib.sha256(without_time(message)).digest()[:16]
        if digest in self._ids:
            return message._replace(id=b"")
        self._ids.add(digest)
        return message

    def finish(self) -> None:
        """Store the remaining messages, title and metadata. A session without an owner gets its owner.

        Raises:
            ConflictError: the session holds other messages.
            ValueError: the session belongs to another user.
        """
        self._flush()
        self._update()

    def _flush(self) -> None:
        parts, self._buffer, self._buffered = self._buffer, [], 0
        if not parts:
            return
        self.failed = True
        if self._is_first and self._head.created is not None:
            # apart from the others, so that the session is as old as its first message
            self._store(parts[:1], self._head.created)
            parts = parts[1:]
        if parts:
            self._store(parts, self._head.updated)
        self.failed = False

    def _store(self, parts: Sequence[Encoded], time: int | None) -> None:
        self._is_first = False
        *_, digest = self._digests(parts)
        if rest := self._missing(parts):
            try:
                self._send(rest, digest, time)
            except ConflictError as error:
                if self._version == 0:  # the session exists without the keys of an import
                    self._compare_from(error.actual)
                    self._store(parts, self._head.updated)
                    return
                if not self._append:
                    raise
                self._version = None  # others may write to it meanwhile
                self._send(rest, digest, time)
            self._passed += len(parts)
        self._digest = digest

    def _send(self, rest: Sequence[Encoded], digest: _Digest, time: int | None) -> None:
        done = drive(
            self._writer.store(
                rest,
                idempotency_key=import_key(digest),
                expected_version=self._version,
                time=None if self._append else time,
                on_known_id="add",
            )
        )
        self._last = self._last if done.last is None else done.last
        self.stored += len(rest) - done.duplicates
        if self.stored and self._version is not None:
            self._version = done.version

    def _compare_from(self, version: int | None) -> None:
        """Compare with the session's messages from now on. Those before were all found there, by a key."""
        self._held, self._version = islice(iterate(self._core.entries()), self._passed, None), version

    def _missing(self, parts: Sequence[Encoded]) -> Sequence[Encoded]:
        """Return the messages after those that the session holds already."""
        if self._version is None:
            return parts[self._known(parts) :]
        if self._held is None:
            return parts
        for index, part in enumerate(parts):
            held = next(self._held, None)
            if held is None:
                self._held = None
                return parts[index:]
            if not is_same(held, part):
                if not self._append:
                    raise ConflictError(f"session {self.session!r} holds other messages; --append adds these to it")
                self._version = None
                return parts[max(self._known(parts), index) :]
            self._last = held.seq
        return ()

    def _known(self, parts: Sequence[Encoded]) -> int:
        """Return how many of the messages an earlier import stored, by its keys. One round trip.

        If it stored all of them, this is 0: the append that brings them again tells where the last one is.
        """
        keys = [field("k" + import_key(digest)) for digest in self._digests(parts)]
        (found,) = self._server.run(("HMGET", self._index, *keys))
        known = [index for index, value in enumerate(found, 1) if value is not None]
        return known[-1] if known and known[-1] < len(parts) else 0

    def _digests(self, parts: Sequence[Encoded]) -> Iterator[_Digest]:
        """Yield the digest of all messages up to each of these."""
        digest = self._digest
        for part in parts:
            digest = digest.copy()
            digest.update(without_time(part))
            yield digest


def import_key(digest: _Digest) -> str:
    """Return the idempotency key of an append that ends with the message that ends this digest."""
    return f"import-{digest.hexdigest()[:32]}"


def is_same(held: Entry, part: Encoded) -> bool:
    """Return whether a stored message equals one of the file, whatever their times."""
    return held.message is not None and without_time(record.encode(held.message, 0, 0)) == without_time(_again(part))


def _again(part: Encoded) -> Encoded:
    """Decode and encode a message, so that a class unknown to this process compares equal to a stored one."""
    message: BaseMessage = record.decode(b"0:" + part.record).message
    return record.encode(message, 0, 0)


def without_time(part: Encoded) -> bytes:
    """Return a message's record without the time at which it was stored."""
    return part.record[: record.TIME.start] + part.record[record.TIME.stop :]
