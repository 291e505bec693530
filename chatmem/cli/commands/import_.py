"""`chatmem import`: stores the conversations of a file, and stores nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chatmem.cli.formats.conversations import read_conversation
from chatmem.cli.formats.fields import LineError
from chatmem.cli.formats.files import MIB, File, parse
from chatmem.cli.formats.jsonl import NO_HEAD, Head, Line, read_head, read_message
from chatmem.cli.importing import AppendedImport
from chatmem.cli.owners import Owners
from chatmem.cli.progress import progress_bar
from chatmem.cli.restoring import RestoredImport
from chatmem.cli.store import Store
from chatmem.cli.terminal import console, plural, print_json
from chatmem.codec import record
from chatmem.errors import ConflictError, CorruptRecordError, EncodingError, NotFoundError
from chatmem.transports.driving import drive

_KIB = 1024
_REPORTED = 1000
"""How many unreadable rows are reported. If a file begins with as many and no other row, the import ends."""


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
        self._session: AppendedImport | RestoredImport | None = None
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
            begun.add(Line(part, None, {}))
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

    def _begin(self, place: str, session: str, head: Head) -> AppendedImport | RestoredImport:
        self._read += 1
        self._place = place
        owner = self._owners.of(session, head.user)
        self._unowned += owner is None and self._owners.lacks(session)
        head = head._replace(user=owner)
        self._session = self._import(self._prefix + session, head)
        return self._session

    def _import(self, session: str, head: Head) -> AppendedImport | RestoredImport:
        if head.branches is None and head.summary is None:
            return AppendedImport(self._store, session, head, append=self._append)
        info = drive(self._store.core(session, user=head.user).info())
        exists = info.version > 0 or info.created_at is not None
        if exists and head.branches is None:  # it keeps its summary, and gets the messages that it lacks
            return AppendedImport(self._store, session, head, append=self._append)
        return RestoredImport(self._store, session, head, exists=exists)

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
