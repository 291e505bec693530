"""`chatmem erase`: whole sessions, after a question; what is left of torn ones too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chatmem import ChatMemError, SessionInfo
from chatmem.cli.progress import track
from chatmem.cli.store import Store
from chatmem.cli.terminal import console, plural, print_json


class Erase:
    """Erases sessions, with their place in their users' lists. It looks for them when it is made."""

    def __init__(self, store: Store, sessions: Sequence[str] | None, *, user: str | None, match: str | None) -> None:
        """Look for the sessions.

        Args:
            store: where they are.
            sessions: their ids, or None for those of a user, or that match a glob, or both.
            user: whose.
            match: the glob.
        """
        self._store = store
        self._all_of = user if match is None else None
        self._broken: list[str] = []
        self._unknown = 0
        if self._all_of is not None:  # by their list, which has the broken ones too
            with store.complaints.aside() as unknown:
                self._infos = list(store.of_user(self._all_of))
            self._unknown = len(unknown)
        else:
            found = store.named(sessions, self._note) if sessions else store.chosen(user, match, self._note)
            self._infos = list[SessionInfo](found)
            if user is not None:  # nothing says whose the broken ones are
                self._say_broken()

    def _note(self, error: ChatMemError) -> None:
        self._broken.append(error.session or "")

    def _say_broken(self) -> None:
        for session in self._broken:
            self._store.complaints.say(
                f"session {session!r} is broken, and nothing says whose it is: erase it by its id"
            )
        self._broken = []

    def run(self, *, only_look: bool, confirm: Callable[[str], bool], as_json: bool) -> None:
        """Erase them.

        Args:
            only_look: whether to erase none.
            confirm: asks, where there is somebody to ask.
            as_json: whether the summary is one JSON object.
        """
        broken = len(self._broken) + self._unknown
        sessions, messages = len(self._infos) + broken, sum(info.count for info in self._infos)
        what = f"{plural(sessions, 'session')} with {plural(messages, 'message')}"
        what += f" and what is left in {broken:,} broken ones" if broken else ""
        if sessions and not only_look:
            if not confirm(f"erase {what}"):
                self._store.complaints.say("nothing was erased")
                return
            self._erase(sessions)
        if as_json:
            print_json({"sessions": sessions, "messages": messages, "erased": not only_look})
        else:
            console().print(f"{what} {'to erase' if only_look else 'erased'}")

    def _erase(self, count: int) -> None:
        if self._all_of is not None:
            left = count - self._store.memory.forget(self._all_of)
            if left > 0:
                what = (
                    f"{plural(left, 'session')} in the user's list were left: nothing in them says that they are theirs"
                )
                self._store.complaints.say(f"{what}. Erase them by their ids")
            return
        sessions = [*(info.session_id for info in self._infos), *self._broken]
        for session in track(sessions, "erasing", self._store.err):
            self._store.memory.history(session).clear()
