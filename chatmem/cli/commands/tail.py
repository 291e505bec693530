"""`chatmem tail`: the end of a conversation, and what comes to it."""

from __future__ import annotations

import sys
import time

from rich.text import Text

from chatmem import Entry
from chatmem.cli.commands.show import as_dict, body_of, head_of, last_of
from chatmem.cli.store import Store
from chatmem.cli.terminal import console, one_line, print_json
from chatmem.core.reader import ENTRIES_PER_CALL
from chatmem.errors import UnavailableError


class Tail:
    """Follows one conversation. It looks at what is behind the last message it printed, and at that one again.

    An answer that grows (`put` under one id) is the last message for as long as it does: on a terminal its new text is
    printed behind the old; elsewhere the message is printed anew, so that each line of output stands for itself.
    """

    def __init__(self, store: Store, session: str, *, as_json: bool) -> None:
        self._store = store
        self._history = store.memory.history(session)
        self._as_json = as_json
        self._out = console()
        self._live = self._out.is_terminal and not as_json
        self._last: Entry | None = None
        self._open = False
        """whether the line that was printed last has no end yet"""

    def follow(self, last: int, interval: float) -> None:
        """Print the last messages, then what is appended, until the user interrupts.

        Args:
            last: how many messages to begin with.
            interval: seconds between two looks.

        Raises:
            UnavailableError: the server did not answer the first time.
        """
        entries = last_of(self._history, last) if last else self._history.page(limit=1).entries
        if not entries:
            self._note(f"no session {self._history.session_id!r} yet: waiting for it")
        for entry in entries if last else ():
            self._print(entry)
        self._last = entries[-1] if entries else None
        try:
            while True:
                sys.stdout.flush()
                time.sleep(interval)
                self._look_again(interval)
        finally:
            self._end_line()

    def _look_again(self, interval: float) -> None:
        """Look; where the server does not answer, wait until it does."""
        waiting = False
        while True:
            try:
                self._look()
            except UnavailableError as error:
                if not waiting:
                    self._note(f"waiting for the server: {error}")
                waiting = True
                time.sleep(interval)
            else:
                break
        if waiting:
            self._note("the server is back")

    def _look(self) -> None:
        """Print what is new. One round trip, where not more than a slice is."""
        more = True
        while more:
            after = -1 if self._last is None else self._last.seq - 1
            page = self._history.page(after=after, limit=ENTRIES_PER_CALL, newest_first=False)
            if self._last is not None and (not page.entries or page.entries[0].seq != self._last.seq):
                self._last_is_gone(page.entries)
            for entry in page.entries:
                if self._last is None or entry.seq > self._last.seq:
                    self._print(entry)
                else:
                    self._print_change(self._last, entry)
                self._last = entry
            more = page.next is not None

    def _last_is_gone(self, behind: list[Entry]) -> None:
        if behind:
            return
        newest = self._history.page(limit=1).entries
        self._last = newest[0] if newest else None
        self._note("the last messages were removed" if newest else "the session was removed")

    def _print_change(self, old: Entry, new: Entry) -> None:
        before, now = body_of(old), body_of(new)
        if (old.message, str(old.error)) == (new.message, str(new.error)):
            return
        if not self._live or not now.plain.startswith(before.plain):
            self._print(new)
        elif now.plain != before.plain:
            self._out.print(now[len(before.plain) :], end="", soft_wrap=True)

    def _print(self, entry: Entry) -> None:
        if entry.error is not None:
            self._store.complaints.say(entry.error)
        if self._as_json:
            print_json(as_dict(entry))
            return
        self._end_line()
        self._out.print(head_of(entry) + body_of(entry), end="" if self._live else "\n", soft_wrap=True)
        self._open = self._live

    def _end_line(self) -> None:
        if self._open:
            self._out.print()
        self._open = False

    def _note(self, text: str) -> None:
        self._end_line()
        self._store.err.print(Text(one_line(text), style="yellow"), soft_wrap=True)
