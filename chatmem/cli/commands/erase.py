"""`chatmem erase`: erases whole sessions after a confirmation, also what is left of broken ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chatmem import ChatMemError, SessionInfo
from chatmem.cli.progress import track
from chatmem.cli.store import Store
from chatmem.cli.terminal import console, plural, print_json


class Erase:
    """Erases sessions and their entries in their users' indexes. The constructor looks the sessions up."""

    def __init__(self, store: Store, sessions: Sequence[str] | None, *, user: str | None, match: str | None) -> None:
        """Look up the sessions.

        Args:
            store: the store that holds them.
            sessions: their ids, or None for those of a user, or that match a glob, or both.
            user: their owner.
            match: the glob.
        """
        self._store = store
        self._all_of = user if match is None else None
        self._broken: list[str] = []
        self._unreadable = 0
        if self._all_of is not None:  # by the user's index, which lists broken sessions too
            with store.problems.collect() as unreadable:
                self._infos = store.of_user(self._all_of)
            self._unreadable = len(unreadable)
        else:
            found = store.named(sessions, self._note) if sessions else store.chosen(user, match, self._note)
            self._infos = list[SessionInfo](found)
            if user is not None:  # the owner of a broken session is not known
                self._leave_broken()

    def _note(self, error: ChatMemError) -> None:
        self._broken.append(error.session or "")

    def _leave_broken(self) -> None:
        for session in self._broken:
            self._store.problems.report(f"session {session!r} is broken and its owner is not known: erase it by its id")
        self._broken = []

    def run(self, *, dry_run: bool, confirm: Callable[[str], bool], as_json: bool) -> None:
        """Erase them.

        Args:
            dry_run: whether to erase nothing.
            confirm: asks for confirmation; returns whether to go on.
            as_json: whether to print the summary as one JSON object.
        """
        broken = len(self._broken) + self._unreadable
        sessions, messages = len(self._infos) + broken, sum(info.count for info in self._infos)
        what = f"{plural(sessions, 'session')} with {plural(messages, 'message')}"
        what += f", including {plural(broken, 'broken session')}" if broken else ""
        if sessions and not dry_run:
            if not confirm(f"erase {what}"):
                self._store.problems.report("nothing was erased")
                return
            self._erase(sessions)
        if as_json:
            print_json({"sessions": sessions, "messages": messages, "erased": not dry_run})
        else:
            console().print(f"{what} {'to erase' if dry_run else 'erased'}")

    def _erase(self, count: int) -> None:
        if self._all_of is not None:
            left = count - self._store.memory.forget(self._all_of)
            if left > 0:
                what = f"{plural(left, 'session')} of the user's index not erased: nothing in them names their owner"
                self._store.problems.report(f"{what}. Erase them by their ids")
            return
        sessions = [*(info.session_id for info in self._infos), *self._broken]
        for session in track(sessions, "erasing", self._store.err):
            self._store.memory.history(session).clear()
