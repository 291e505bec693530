"""`chatmem reencrypt`: session by session; once more goes on where it ended."""

from __future__ import annotations

from contextlib import closing

from rich.progress import track

from chatmem.cli.text import clean, console
from chatmem.errors import CorruptRecordError
from chatmem.keys import unescape
from chatmem.migrate.server import Server
from chatmem.sync import ChatMemory

PREFIX, SUFFIX = b"chatmem:{", b"}:m"


class Reencrypt:
    """Seals what it finds with the newest key, and counts."""

    def __init__(self, memory: ChatMemory, url: str | None) -> None:
        self._memory = memory
        self._url = url
        self._out, self._err = console(), console(stderr=True)

    def run(self, match: str) -> bool:
        """Seal all sessions whose ids match; return whether every message of them is now sealed so."""
        sessions = self._find(match)
        sealed = unreadable = 0
        for session in track(sessions, "encrypting", console=self._err, disable=not self._err.is_terminal):
            history = self._memory.history(session)
            sealed += history.reencrypt()
            broken = [entry.error for entry in history.entries() if entry.error is not None]
            unreadable += len(broken)
            for error in broken:
                self._report(error)
        self._out.print(f"{sealed} messages encrypted anew in {len(sessions)} sessions, {unreadable} unreadable")
        return not unreadable

    def _report(self, error: CorruptRecordError) -> None:
        self._err.print(clean(f"position {error.seq}: {error}"), style="red", soft_wrap=True, markup=False)

    def _find(self, match: str) -> list[str]:
        with closing(Server(self._url or "")) as server:
            keys = server.scan(PREFIX, match.encode(), SUFFIX)
            return sorted(unescape(key[len(PREFIX) : -len(SUFFIX)]) for key in keys)
