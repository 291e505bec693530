"""How an import stores a session: appended to what is there, or restored as a whole."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from langchain_core.messages import BaseMessage

from chatmem.cli.formats.fields import LineError
from chatmem.cli.formats.jsonl import Head, Line
from chatmem.cli.store import Store
from chatmem.codec import record
from chatmem.codec.record import Encoded
from chatmem.core.branches import moved, written
from chatmem.core.keys import field
from chatmem.core.staging import Beside, Staged, Staging
from chatmem.errors import ConflictError, UnavailableError
from chatmem.model import Entry
from chatmem.scripts.answers import Code
from chatmem.transports.base import Command
from chatmem.transports.driving import drive, iterate

MESSAGES, BYTES = 500, 2**23
"""How much is sent in one round trip."""


class _SessionImport:
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


class AppendedImport(_SessionImport):
    """The import of one session: appends its messages in order, those that are not stored yet.

    Each append has an idempotency key that is derived from all messages up to it, so a second import is recognised.
    A session without these keys counts as the same if it begins with the same messages. A message that has no
    annotations gets those of the file.
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
        self._digest = hashlib.sha256()
        self._buffer: list[Encoded] = []
        self._buffered = 0
        self._ids = set[bytes]()
        self._held: Iterator[Entry] | None = None
        self._passed = 0
        """How many messages came before those that are stored now."""
        self._version: int | None = None if append else 0
        """The version that the next append expects: 0 until this import has stored something."""
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
        digest = hashlib.sha256(_without_time(message)).digest()[:16]
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
        rest = self._not_held(parts)
        for part in parts:
            self._digest.update(_without_time(part))
        if not rest:
            return
        try:
            done = drive(
                self._writer.store(
                    rest,
                    idempotency_key=f"import-{self._digest.hexdigest()[:32]}",
                    expected_version=self._version,
                    time=None if self._append else time,
                    on_known_id="add",
                )
            )
        except ConflictError as error:
            if self._version != 0:
                raise
            # the session exists without the keys of an import: continue as long as it holds the same messages;
            # those before were all found there, by their ids or by a key
            self._held, self._version = islice(iterate(self._core.entries()), self._passed, None), error.actual
            self._store(parts, self._head.updated)
            return
        self._last = self._last if done.last is None else done.last
        self._passed += len(parts)
        self.stored += len(rest) - done.duplicates
        if self.stored and not self._append:
            self._version = done.version

    def _not_held(self, parts: Sequence[Encoded]) -> Sequence[Encoded]:
        """Return the messages after those that the session holds already."""
        if self._held is None:
            return parts
        for index, part in enumerate(parts):
            held = next(self._held, None)
            if held is None:
                self._held = None
                return parts[index:]
            if not _is_same(held, part):
                raise ConflictError(f"session {self.session!r} holds other messages; --append adds these to it")
            self._last = held.seq
        return ()


class RestoredImport(_SessionImport):
    """The import of a session with branches or a summary: stored as a whole, in one step, if there is no such session.

    If there is one, it only says whether that holds the same messages.
    """

    def __init__(self, store: Store, session: str, head: Head, *, exists: bool) -> None:
        """Prepare the import; nothing is sent yet.

        Args:
            store: where the session goes.
            session: the session's id.
            head: what the session has beside messages.
            exists: whether there is such a session.
        """
        super().__init__(store, session, head)
        self._held = iterate(self._core.entries(all_branches=True)) if exists else None
        self._staging = Staging(store.session(session, user=head.user, ttl=head.ttl))
        self._digest = hashlib.sha256()
        self._positions = array("q")
        """For each message, its position in the file."""
        self._buffer: list[Staged] = []
        self._buffered = 0

    def add(self, line: Line) -> None:
        """Take a message. It is sent with others, and appears with all of them."""
        if self._held is not None:
            self._compare(line.message)
            return
        position, least = line.position, self._positions[-1] + 1 if self._positions else 0
        if position is None or position < least:
            self.failed = True
            raise LineError('where there are branches or a summary, each message needs a "seq" that is above the last')
        self._positions.append(position)
        self._digest.update(_without_time(line.message))
        self._buffer.append(Staged(line.message.id, line.message.record, line.annotations))
        self._buffered += len(line.message.record)
        if len(self._buffer) == MESSAGES or self._buffered >= BYTES:
            drive(self._staging.session.send(*self._staged()))

    def _compare(self, message: Encoded) -> None:
        held = next(self._held or iter(()), None)
        if held is not None and _is_same(held, message):
            return
        self.failed = True
        what = "holds other messages" if held is not None else "lacks messages"
        fix = "one with branches is restored only where there is none: --prefix-session stores it under another id"
        raise ConflictError(f"session {self.session!r} {what}; {fix}")

    def _staged(self) -> list[Command]:
        messages, self._buffer, self._buffered = self._buffer, [], 0
        return self._staging.add(messages) if messages else []

    def finish(self) -> None:
        """Put the session in place, with title and metadata. A session without an owner gets its owner.

        Raises:
            ConflictError: the session was begun meanwhile.
            UnavailableError: what was sent has expired.
            ValueError: the session belongs to another user.
        """
        if self._held is None and self._positions:
            self._commit()
        self._update()

    def _commit(self) -> None:
        self.failed = True
        key = field(f"import-{self._digest.hexdigest()[:32]}")
        refusal = drive(self._staging.commit(self._staged(), idempotency_key=key, beside=self._beside()))
        if refusal is not None and refusal.code == Code.MISSING:
            raise UnavailableError(f"what was sent of session {self.session!r} has expired: import the file again")
        if refusal is not None:
            raise ConflictError(f"session {self.session!r} was begun meanwhile: import the file again")
        self.stored, self.failed = len(self._positions), False

    def _beside(self) -> Beside:
        head, summary = self._head, self._head.summary
        branches = b"" if head.branches is None else written(moved(head.branches, self._positions))
        last = None if summary is None else self._summarized(summary.up_to)
        records = () if summary is None or last is None else summary.records
        return Beside(head.created, head.updated, branches, last, records)

    def _summarized(self, up_to: int | None) -> int | None:
        """Return the new position up to which the summary speaks; None if no branch shows what it speaks of."""
        if up_to is None:
            return -1
        if self._head.branches is None:
            return bisect_right(self._positions, up_to) - 1
        for branch in self._head.branches.branches:
            if any(first <= up_to <= last for first, last in branch.ranges):
                ends = [bisect_right(self._positions, min(last, up_to)) - 1 for _, last in branch.ranges]
                starts = [bisect_left(self._positions, first) for first, _ in branch.ranges]
                return max((end for start, end in zip(starts, ends, strict=True) if start <= end), default=-1)
        return None


def _is_same(held: Entry, part: Encoded) -> bool:
    """Return whether a stored message equals one of the file, whatever their times."""
    return held.message is not None and _without_time(record.encode(held.message, 0, 0)) == _without_time(_again(part))


def _again(part: Encoded) -> Encoded:
    """Decode and encode a message, so that a class unknown to this process compares equal to a stored one."""
    message: BaseMessage = record.decode(b"0:" + part.record).message
    return record.encode(message, 0, 0)


def _without_time(part: Encoded) -> bytes:
    """Return a message's record without the time at which it was stored."""
    return part.record[: record.TIME.start] + part.record[record.TIME.stop :]
