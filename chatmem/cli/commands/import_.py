"""`chatmem import`: conversations from a file, each where it is not there yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chatmem.cli.commands.arriving import Arriving
from chatmem.cli.formats.conversations import read_conversation
from chatmem.cli.formats.files import MIB, File, parse
from chatmem.cli.formats.jsonl import NO_HEAD, Head, LineError, read_head, read_message
from chatmem.cli.owners import Owners
from chatmem.cli.progress import counting
from chatmem.cli.store import Store
from chatmem.cli.terminal import console, plural, print_json
from chatmem.codec import record
from chatmem.errors import ConflictError, CorruptRecordError, EncodingError, NotFoundError

_KIB = 1024
_NAMED = 1000
"""How many of the rows that cannot be read are named; where these are all there are, the rest is not looked at."""


class Import:
    """One import; counts what becomes of each conversation, and complains of what cannot be stored."""

    def __init__(self, store: Store, owners: Owners, *, prefix: str, append: bool) -> None:
        self._store = store
        self._owners = owners
        self._prefix = prefix
        self._append = append
        self._arriving: Arriving | None = None
        self._place = ""
        self._refused: str | None = None
        self._read = self._unowned = 0
        self.conversations = self.messages = self.already = self.skipped = 0

    def run(self, path: Path, *, max_line: int, as_json: bool) -> None:
        """Store the file's conversations.

        Args:
            path: the file.
            max_line: MiB that a line of it, or an item of its array, may have.
            as_json: whether the summary is one JSON object.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is damaged, or holds no conversations.
        """
        file = File(path, max_line * MIB)
        with counting("importing (KiB)", self._store.err, file.size and file.size // _KIB) as done:
            before = 0
            for place, row in file.rows():
                self._try(place, self._take, place, row)
                if self.skipped == _NAMED and not self._read:
                    what = f"JSONL, one JSON array, or one JSON object of at most {max_line:,} MiB (--max-line)"
                    raise ValueError(f"{path}: none of its first {_NAMED:,} rows is a conversation; it must be {what}")
                now = file.done // _KIB
                done(now - before)
                before = now
        self._finish()
        self._report(as_json=as_json)

    def _try(self, place: str, do: Callable[..., None], *arguments: Any) -> None:
        try:
            do(*arguments)
        except (LineError, CorruptRecordError, ConflictError, EncodingError, NotFoundError, ValueError) as problem:
            self.skipped += 1
            if self.skipped <= _NAMED:
                self._store.complaints.say(f"{place}: {problem}")

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
        arriving = self._begin(place, session, NO_HEAD._replace(user=user))
        for part in parts:
            arriving.add(part)
        self._finish()

    def _take_head(self, place: str, session: str, row: dict[str, Any]) -> None:
        self._refused = session  # unless its line can be read: its messages are not stored as nobody's
        self._begin(place, session, read_head(row))
        self._refused = None

    def _take_message(self, place: str, session: str, row: dict[str, Any]) -> None:
        if session == self._refused:
            return
        arriving = self._arriving
        if arriving is None or arriving.session != self._prefix + session:
            self._finish()
            arriving = self._begin(place, session, NO_HEAD)
        if not arriving.failed:
            arriving.add(read_message(row))

    def _begin(self, place: str, session: str, head: Head) -> Arriving:
        self._read += 1
        self._place = place
        owner = self._owners.of(session, head.user)
        self._unowned += owner is None and self._owners.lacks(session)
        self._arriving = Arriving(self._store, self._prefix + session, head._replace(user=owner), append=self._append)
        return self._arriving

    def _finish(self) -> None:
        """Store the rest of the session that came last."""
        arriving, self._arriving = self._arriving, None
        if arriving is None:
            return
        if not arriving.failed:
            self._try(self._place, arriving.finish)
        self.messages += arriving.stored
        self.conversations += arriving.stored > 0
        self.already += arriving.stored == 0 and not arriving.failed

    def _report(self, *, as_json: bool) -> None:
        if self.skipped > _NAMED:
            self._store.complaints.say(f"and {self.skipped - _NAMED:,} more")
        if self._unowned:
            what = f"{plural(self._unowned, 'session')} of the file are not in that of --users: they have no owner"
            self._store.err.print(what, style="yellow", soft_wrap=True)
        if as_json:
            names = ("conversations", "messages", "already", "skipped")
            print_json({name: getattr(self, name) for name in names})
            return
        text = f"{self.conversations} conversations, {self.messages} messages stored"
        text += f", {self.already} already there" if self.already else ""
        text += f", {self.skipped} skipped" if self.skipped else ""
        console().print(text)


def _session_of(row: dict[str, Any]) -> str:
    session = row.get("session")
    if not isinstance(session, str) or not session:
        raise LineError('no "session", which must be a string')
    return session
