"""How an import restores a session with branches or a summary: as a whole."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left, bisect_right

from chatmem.cli.formats.fields import LineError
from chatmem.cli.formats.jsonl import Head, Line
from chatmem.cli.importing import BYTES, MESSAGES, SessionImport, import_key, is_same, without_time
from chatmem.cli.store import Store
from chatmem.codec.record import Encoded
from chatmem.core.branches import moved, written
from chatmem.core.keys import field
from chatmem.core.staging import Beside, Staged, Staging
from chatmem.errors import ConflictError, UnavailableError
from chatmem.scripts.answers import Code
from chatmem.transports.base import Command
from chatmem.transports.driving import drive, iterate


class RestoredImport(SessionImport):
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
        self._digest.update(without_time(line.message))
        self._buffer.append(Staged(line.message.id, line.message.record, line.annotations))
        self._buffered += len(line.message.record)
        if len(self._buffer) == MESSAGES or self._buffered >= BYTES:
            drive(self._staging.session.send(*self._staged()))

    def _compare(self, message: Encoded) -> None:
        held = next(self._held or iter(()), None)
        if held is not None and is_same(held, message):
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
        key = field(import_key(self._digest))
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
