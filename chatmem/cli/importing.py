"""`chatmem import`: conversations from a file, each where it is not there yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chatmem.cli.arriving import Arriving
from chatmem.cli.conversations import read_conversation
from chatmem.cli.lines import Head, LineError, read_head, read_message
from chatmem.cli.progress import counting
from chatmem.cli.reading import File, parse
from chatmem.cli.store import Store, slices
from chatmem.cli.text import console, print_json
from chatmem.codec import record
from chatmem.errors import ConflictError, CorruptRecordError, EncodingError

SLICE = 500
"""How many messages are stored in one step."""
_KIB = 1024


class Import:
    """One import; counts what becomes of each conversation, and complains of what cannot be stored."""

    def __init__(self, store: Store, *, prefix: str, append: bool) -> None:
        self._store = store
        self._prefix = prefix
        self._append = append
        self._arriving: Arriving | None = None
        self._place = ""
        self.conversations = self.messages = self.already = self.skipped = 0

    def run(self, path: Path, *, as_json: bool) -> None:
        """Store the file's conversations.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is damaged gzip.
        """
        file = File(path)
        with counting("importing (KiB)", self._store.err, file.size and file.size // _KIB) as done:
            before = 0
            for place, row in file.rows():
                self._try(place, self._take, place, row)
                now = file.done // _KIB
                done(now - before)
                before = now
        self._finish()
        self._report(as_json=as_json)

    def _try(self, place: str, do: Callable[..., None], *arguments: Any) -> None:
        try:
            do(*arguments)
        except (LineError, CorruptRecordError, ConflictError, EncodingError, ValueError) as problem:
            self.skipped += 1
            self._store.complaints.say(f"{place}: {problem}")

    def _take(self, place: str, line: Any) -> None:
        row = parse(line)
        if "record" in row:
            self._take_message(place, _session_of(row), row)
            return
        self._finish()
        if "chatmem" in row:
            self._begin(place, _session_of(row), read_head(row))
            return
        session, messages = read_conversation(row)
        now = record.now()
        parts = [record.encode(message, index, now) for index, message in enumerate(messages)]
        arriving = self._begin(place, session, None)
        for part in slices(parts, SLICE):
            arriving.store(part)

    def _take_message(self, place: str, session: str, row: dict[str, Any]) -> None:
        arriving = self._arriving
        if arriving is None or arriving.session != self._prefix + session:
            self._finish()
            arriving = self._begin(place, session, None)
        if not arriving.failed:
            arriving.add(read_message(row))

    def _begin(self, place: str, session: str, head: Head | None) -> Arriving:
        self._place = place
        self._arriving = Arriving(self._store, self._prefix + session, head, append=self._append, size=SLICE)
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
