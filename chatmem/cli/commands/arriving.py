"""A session that is being imported: its messages come in order, and each is stored where it is not there yet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from langchain_core.messages import BaseMessage

from chatmem.cli.formats.jsonl import Head
from chatmem.cli.store import Store
from chatmem.codec import record
from chatmem.codec.record import Encoded
from chatmem.errors import ConflictError
from chatmem.model import Entry
from chatmem.transports.driving import drive, iterate

_MESSAGES, _BYTES = 500, 2**23
"""How much is stored in one step."""


class Arriving:
    """Stores a session in slices.

    Each slice has an idempotency key of its own, by which a second import is recognised. A session that is there
    without such a key, and begins with the same messages, is taken for the same.

    Attributes:
        session: its id.
        stored: how many messages were stored.
        failed: whether it holds something else, so that nothing more of it is taken.
    """

    def __init__(self, store: Store, session: str, head: Head, *, append: bool) -> None:
        """Begin; nothing is sent yet.

        Args:
            store: where it goes.
            session: its id.
            head: what is known of it, and whose it is to be.
            append: whether it may hold something else before.
        """
        self.session = session
        self.stored = 0
        self.failed = False
        self._head = head
        self._core = store.core(session, user=head.user, ttl=head.ttl)
        self._writer = store.writer(session, user=head.user, ttl=head.ttl)
        self._append = append
        self._digest = hashlib.sha256()
        self._buffer: list[Encoded] = []
        self._buffered = 0
        self._seen = set[bytes]()
        self._held: Iterator[Entry] | None = None
        self._version: int | None = None if append else 0  # expected; 0 for a session that must be new
        self._fresh = True

    def add(self, message: Encoded) -> None:
        """Take a message; it is stored with others, at the latest by `finish`."""
        self._buffer.append(self._with_id_once(message))
        self._buffered += len(message.record)
        if len(self._buffer) == _MESSAGES or self._buffered >= _BYTES:
            self._flush()

    def _with_id_once(self, message: Encoded) -> Encoded:
        """Return a message so that it is stored even where the session has it twice, id and all."""
        if not message.id:
            return message
        digest = hashlib.sha256(_essence(message)).digest()[:16]
        if digest in self._seen:
            return message._replace(id=b"")
        self._seen.add(digest)
        return message

    def finish(self) -> None:
        """Store what is left, and what is known of the session; one that is there and nobody's gets its owner.

        Raises:
            ConflictError: the session holds something else.
            ValueError: it belongs to another user.
        """
        self._flush()
        user, title, metadata = self._head.user, self._head.title, self._head.metadata or None
        if title is None and not metadata and (user is None or self.stored):
            return
        info = drive(self._core.info())
        if self.stored or (info.title, info.metadata) == (None, {}):
            drive(self._core.update(title=title, metadata=metadata))
        elif user is not None and info.user is None:
            drive(self._core.update())

    def _flush(self) -> None:
        buffer, self._buffer, self._buffered = self._buffer, [], 0
        if buffer:
            self._store_all(buffer)

    def _store_all(self, parts: Sequence[Encoded]) -> None:
        """Store messages that follow those before."""
        self.failed = True
        if self._fresh and self._head.created is not None:
            # so that the session is as old as its first message
            self._store(parts[:1], self._head.created)
            parts = parts[1:]
        if parts:
            self._store(parts, self._head.updated)
        self.failed = False

    def _store(self, parts: Sequence[Encoded], time: int | None) -> None:
        first, self._fresh = self._fresh, False
        rest = self._not_held(parts)
        for part in parts:
            self._digest.update(_essence(part))
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
            if not first:
                raise
            self._compare(parts, error)
            return
        self.stored += len(rest) - done.duplicates
        self._version = None if self._append else done.version

    def _compare(self, parts: Sequence[Encoded], error: ConflictError) -> None:
        """Go on with a session that is there without the import's keys, as long as it holds what comes."""
        self._held, self._version = iterate(self._core.entries()), error.actual
        self._store(parts, self._head.updated)

    def _not_held(self, parts: Sequence[Encoded]) -> Sequence[Encoded]:
        """Return the parts from the first that lies behind what the session holds."""
        if self._held is None:
            return parts
        for index, part in enumerate(parts):
            held = next(self._held, None)
            if held is None:
                self._held = None
                return parts[index:]
            if held.message is None or _essence(record.encode(held.message, 0, 0)) != _essence(_again(part)):
                what = f"session {self.session!r} holds something else: --append adds to it"
                raise ConflictError(what)
        return ()


def _again(part: Encoded) -> Encoded:
    """Return a message as this process encodes it: a class that it does not know is another one to it."""
    message: BaseMessage = record.decode(b"0:" + part.record).message
    return record.encode(message, 0, 0)


def _essence(part: Encoded) -> bytes:
    """Return all that is in a message, without the time when it was stored."""
    return part.record[: record.TIME.start] + part.record[record.TIME.stop :]
