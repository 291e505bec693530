"""`chatmem tail`: the end of a session, and what is appended to it."""

from __future__ import annotations

import sys
import time

from rich.text import Text

from chatmem import Entry
from chatmem.cli.commands.show import INDENT, as_dict, body_of, head_of, last_of
from chatmem.cli.store import Store
from chatmem.cli.terminal import console, one_line, print_json
from chatmem.cli.wrapping import WordWrap, print_wrapped
from chatmem.core.feed import Changes
from chatmem.core.reader import ENTRIES_PER_CALL
from chatmem.errors import ChatMemError, UnavailableError
from chatmem.model import Change
from chatmem.transports.driving import drive


class Tail:
    """Follows one session: it reads the last printed entry again, and all entries after it.

    It does so at intervals, and at once where the writers publish their changes.

    An answer that grows (`put` under one id) is the last entry while it grows. A terminal shows its new text behind
    the old text. Elsewhere the whole entry is printed again, so that each line of output is complete.
    """

    def __init__(self, store: Store, session: str, *, as_json: bool) -> None:
        self._store = store
        self._history = store.memory.history(session)
        self._core = store.core(session)
        self._as_json = as_json
        self._out = console()
        self._live = self._out.is_terminal and not as_json
        self._last: Entry | None = None
        self._text: WordWrap | None = None
        """The printed text of the last entry, while its last line is open."""

    def follow(self, last: int, interval: float) -> None:
        """Print the last entries, then each new entry, until the user presses Ctrl-C.

        Args:
            last: how many entries to begin with.
            interval: seconds between two reads.

        Raises:
            UnavailableError: the server did not answer the first read.
        """
        entries = last_of(self._history, last) if last else self._history.page(limit=1).entries
        if not entries:
            self._note(f"no session {self._history.session_id!r} yet: waiting for it")
        for entry in entries if last else ():
            self._print(entry)
        self._last = entries[-1] if entries else None
        changes = self._core.changes(timeout=interval)
        try:
            while True:
                sys.stdout.flush()
                _wait(changes, interval)
                self._read_or_wait(interval)
        finally:
            self._end_line()
            drive(changes.aclose())

    def _read_or_wait(self, interval: float) -> None:
        """Read once; while the server does not answer, wait and retry."""
        waiting = False
        while True:
            try:
                self._read()
            except UnavailableError as error:
                if not waiting:
                    self._note(f"waiting for the server: {error}")
                waiting = True
                time.sleep(interval)
            else:
                break
        if waiting:
            self._note("the server is back")

    def _read(self) -> None:
        """Print what is new: one round trip, more only if more than a page is new."""
        more = True
        while more:
            after = -1 if self._last is None else self._last.seq - 1
            page = self._history.page(after=after, limit=ENTRIES_PER_CALL, newest_first=False)
            if self._last is not None and not page.entries:
                self._note_removal()
            for entry in page.entries:
                if self._last is None or entry.seq > self._last.seq:
                    self._print(entry)
                else:
                    self._print_change(self._last, entry)
                self._last = entry
            more = page.next is not None

    def _note_removal(self) -> None:
        newest = self._history.page(limit=1).entries
        self._last = newest[0] if newest else None
        self._note("the last messages were removed" if newest else "the session was removed")

    def _print_change(self, old: Entry, new: Entry) -> None:
        if (old.message, str(old.error)) == (new.message, str(new.error)):
            return
        before, now = body_of(old), body_of(new)
        if self._text is None or not now.plain.startswith(before.plain):
            self._print(new)
        else:
            self._text.write(now[len(before.plain) :])

    def _print(self, entry: Entry) -> None:
        if entry.error is not None:
            self._store.problems.report(entry.error)
        if self._as_json:
            print_json(as_dict(entry))
            return
        self._end_line()
        text = head_of(entry) + body_of(entry)
        if self._live:
            self._text = WordWrap(self._out, INDENT)
            self._text.write(text)
        else:
            print_wrapped(self._out, text, INDENT)

    def _end_line(self) -> None:
        if self._text is not None:
            self._out.print()
        self._text = None

    def _note(self, text: str) -> None:
        self._end_line()
        print_wrapped(self._store.err, Text(one_line(text), style="yellow"))


def _wait(changes: Changes[Change], interval: float) -> None:
    """Wait for a change, or until the interval is over."""
    try:
        drive(changes.__anext__())
    except StopAsyncIteration:
        pass
    except ChatMemError:  # the next read says what is wrong
        time.sleep(interval)
