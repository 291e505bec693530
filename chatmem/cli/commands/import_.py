"""`chatmem import`: stores the conversations of a file, and stores nothing twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage

from chatmem.cli.formats.conversations import read_conversation
from chatmem.cli.formats.files import MIB, File, parse
from chatmem.cli.formats.jsonl import NO_HEAD, Head, LineError, read_head, read_message
from chatmem.cli.owners import Owners
from chatmem.cli.progress import progress_bar
from chatmem.cli.store import Store
from chatmem.cli.terminal import console, plural, print_json
from chatmem.codec import record
from chatmem.codec.record import Encoded
from chatmem.errors import ConflictError, CorruptRecordError, EncodingError, NotFoundError
from chatmem.model import Entry
from chatmem.transports.driving import drive, iterate

_KIB = 1024
_REPORTED = 1000
"""How many unreadable rows are reported. If a file begins with as many and no other row, the import ends."""
_MESSAGES, _BYTES = 500, 2**23
"""How much one append stores."""


class Import:
    """One import. It counts what becomes of each conversation, and reports what cannot be stored."""

    def __init__(self, store: Store, owners: Owners, *, prefix: str, append: bool) -> None:
        """Prepare an import.

        Args:
            store: where the conversations go.
            owners: the owners of sessions for which the file states none.
            prefix: what to prepend to each session's id.
            append: whether to append to sessions that hold other messages.
        """
        self._store = store
        self._owners = owners
        self._prefix = prefix
        self._append = append
        self._session: _SessionImport | None = None
        self._place = ""
        self._refused: str | None = None
        self._read = self._unowned = 0
        self.conversations = self.messages = self.already = self.skipped = 0

    def run(self, path: Path, *, max_line: int, as_json: bool) -> None:
        """Store the file's conversations.

        Args:
            path: the file.
            max_line: the largest size of a line or of an array's item, in MiB.
            as_json: whether to print the summary as one JSON object.

        Raises:
            OSError: the file cannot be read.
            ValueError: the file is damaged, or holds no conversations.
        """
        file = File(path, max_line * MIB)
        with progress_bar("importing (KiB)", self._store.err, file.size and file.size // _KIB) as advance:
            before = 0
            for place, row in file.rows():
                self._try(place, self._take, place, row)
                if self.skipped == _REPORTED and not self._read:
                    formats = f"JSONL, one JSON array, or one JSON object of at most {max_line:,} MiB (--max-line)"
                    raise ValueError(
                        f"{path}: none of the first {_REPORTED:,} rows is a conversation; the file must be {formats}"
                    )
                now = file.done // _KIB
                advance(now - before)
                before = now
        self._finish()
        self._print_summary(as_json=as_json)

    def _try(self, place: str, do: Callable[..., None], *arguments: Any) -> None:
        try:
            do(*arguments)
        except (LineError, CorruptRecordError, ConflictError, EncodingError, NotFoundError, ValueError) as problem:
            self.skipped += 1
            if self.skipped <= _REPORTED:
                self._store.problems.report(f"{place}: {problem}")

    def _take(self, place: str, line: Any) -> None:
        row = parse(line)
        if "record" in row:
            self._take_message(place, _session_of(row), row)
            return
        self._finish()
        if "chatmem" in row:
            self._take_head(place, _session_of(row), row)
            return
        session, user, messages = read_conversation(row)
        now = record.now()
        parts = [record.encode(message, index, now) for index, message in enumerate(messages)]
        begun = self._begin(place, session, NO_HEAD._replace(user=user))
        for part in parts:
            begun.add(part)
        self._finish()

    def _take_head(self, place: str, session: str, row: dict[str, Any]) -> None:
        self._refused = session  # if the line cannot be read, its messages must not be stored without their owner
        self._begin(place, session, read_head(row))
        self._refused = None

    def _take_message(self, place: str, session: str, row: dict[str, Any]) -> None:
        if session == self._refused:
            return
        begun = self._session
        if begun is None or begun.session != self._prefix + session:
            self._finish()
            begun = self._begin(place, session, NO_HEAD)
        if not begun.failed:
            begun.add(read_message(row))

    def _begin(self, place: str, session: str, head: Head) -> _SessionImport:
        self._read += 1
        self._place = place
        owner = self._owners.of(session, head.user)
        self._unowned += owner is None and self._owners.lacks(session)
        head = head._replace(user=owner)
        self._session = _SessionImport(self._store, self._prefix + session, head, append=self._append)
        return self._session

    def _finish(self) -> None:
        """Store the rest of the current session."""
        ended, self._session = self._session, None
        if ended is None:
            return
        if not ended.failed:
            self._try(self._place, ended.finish)
        self.messages += ended.stored
        self.conversations += ended.stored > 0
        self.already += ended.stored == 0 and not ended.failed

    def _print_summary(self, *, as_json: bool) -> None:
        if self.skipped > _REPORTED:
            self._store.problems.report(f"and {self.skipped - _REPORTED:,} more")
        if self._unowned:
            what = f"{plural(self._unowned, 'session')} without an owner: not in the file of --users"
            self._store.err.print(what, style="yellow", soft_wrap=True)
        if as_json:
            names = ("conversations", "messages", "already", "skipped")
            print_json({name: getattr(self, name) for name in names})
            return
        text = f"{plural(self.conversations, 'conversation')}, {plural(self.messages, 'message')} stored"
        text += f", {self.already:,} already there" if self.already else ""
        text += f", {self.skipped:,} skipped" if self.skipped else ""
        console().print(text)


def _session_of(row: dict[str, Any]) -> str:
    session = row.get("session")
    if not isinstance(session, str) or not session:
        raise LineError('"session" must be a non-empty string')
    return session


class _SessionImport:
    """The import of one session: appends its messages in order, those that are not stored yet.

    Each append has an idempotency key that is derived from all messages up to it, so a second import is recognised.
    A session without these keys counts as the same if it begins with the same messages.

    Attributes:
        session: the session's id.
        stored: how many messages were stored.
        failed: whether the session holds other messages, so that no more are stored.
    """

    def __init__(self, store: Store, session: str, head: Head, *, append: bool) -> None:
        """Prepare the import; nothing is sent yet.

        Args:
            store: where the session goes.
            session: the session's id.
            head: the session's owner, title, metadata, times and TTL.
            append: whether the session may hold other messages before.
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
        self._ids = set[bytes]()
        self._held: Iterator[Entry] | None = None
        self._passed = 0
        """How many messages came before those that are stored now."""
        self._version: int | None = None if append else 0
        """The version that the next append expects: 0 until this import has stored something."""
        self._is_first = True

    def add(self, message: Encoded) -> None:
        """Take a message. It is stored together with others, at the latest by `finish`."""
        self._buffer.append(self._with_id_once(message))
        self._buffered += len(message.record)
        if len(self._buffer) == _MESSAGES or self._buffered >= _BYTES:
            self._flush()

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
        """Store the remaining messages, title, metadata and marks. A session without an owner gets its owner.

        Raises:
            ConflictError: the session holds other messages.
            ValueError: the session belongs to another user.
        """
        self._flush()
        head, user, title, metadata = self._head, self._head.user, self._head.title, self._head.metadata or None
        is_marked = head.archived or head.pinned or head.tags
        if title is None and not metadata and not is_marked and (user is None or self.stored):
            return
        info = drive(self._core.info())
        if self.stored or (info.revision == 0 and (info.title, info.metadata) == (None, {})):
            drive(
                self._core.update(
                    title=title, metadata=metadata, archived=head.archived, pinned=head.pinned, tags=head.tags
                )
            )
        elif user is not None and info.user is None:
            drive(self._core.update())

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
            if held.message is None or _without_time(record.encode(held.message, 0, 0)) != _without_time(_again(part)):
                raise ConflictError(f"session {self.session!r} holds other messages; --append adds these to it")
        return ()


def _again(part: Encoded) -> Encoded:
    """Decode and encode a message, so that a class unknown to this process compares equal to a stored one."""
    message: BaseMessage = record.decode(b"0:" + part.record).message
    return record.encode(message, 0, 0)


def _without_time(part: Encoded) -> bytes:
    """Return a message's record without the time at which it was stored."""
    return part.record[: record.TIME.start] + part.record[record.TIME.stop :]
