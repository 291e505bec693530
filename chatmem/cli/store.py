"""A memory and the server under it: what the commands work on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

from chatmem import KeyRing, SessionInfo
from chatmem.backends.admin import Server
from chatmem.backends.connection import connection_to
from chatmem.cli.complaints import Complaints
from chatmem.cli.terminal import console
from chatmem.core.keys import escape, session_glob, session_keys, session_of
from chatmem.core.policy import Policy
from chatmem.core.session import STATE_FIELDS, to_info
from chatmem.errors import ChatMemError, UnavailableError
from chatmem.history import History
from chatmem.scripts import READ
from chatmem.sync import ChatMemory
from chatmem.transports.blocking import drive

T = TypeVar("T")
Broken = Callable[[ChatMemError], None]
"""takes the error of a session of which nothing can be known"""

SLICE = 100
"""How many sessions are asked for in one round trip."""
_logger = logging.getLogger("chatmem")


class Store:
    """One memory. A context manager; opens nothing before the first round trip."""

    def __init__(self, url: str | None, prefix: str, keys: str | None) -> None:
        """Describe where it is.

        Args:
            url: as `chatmem.connect` takes it.
            prefix: what its keys begin with.
            keys: those that records are encrypted with, as `KeyRing.parse` takes them.

        Raises:
            ValueError: one of them is wrong.
        """
        self.policy = Policy(prefix, encryption=KeyRing.parse(keys) if keys else None)
        self.server = Server(url or "")
        """for what a memory does not do: SCAN, sizes, times to live"""
        self._connection = connection_to(url)
        self.memory = ChatMemory(self._connection, self.policy)
        self.err = console(stderr=True)
        self.complaints = Complaints(self.err)

    def __enter__(self) -> Self:
        _logger.addHandler(self.complaints)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _logger.removeHandler(self.complaints)
        self.memory.close()
        self.server.close()

    def core(self, session: str, *, user: str | None = None, ttl: float | None = None) -> History:
        """Return a session's core, whose coroutines never suspend.

        Args:
            session: its id.
            user: whose it is, or is to be where it is nobody's.
            ttl: seconds that a write gives it; None leaves the one it has.
        """
        policy = self.policy if ttl is None else Policy(self.policy.prefix, ttl, encryption=self.policy.encryption)
        return History(self._connection.blocking(), policy, session, user, claim=user is not None)

    def find(self, match: str = "*") -> Iterator[str]:
        """Yield the ids of the sessions that match a glob, each once, by SCAN: in a cluster on all masters.

        Raises:
            UnavailableError: the server did not answer, or does not let this user SCAN.
        """
        seen = set[str]()
        for key in self.server.scan(session_glob(self.policy.prefix, escape(match))):
            session = session_of(self.policy.prefix, key)
            if session is not None and session not in seen:
                seen.add(session)
                yield session

    def infos(self, sessions: Iterable[str], broken: Broken | None = None) -> Iterator[SessionInfo]:
        """Yield what is known of those sessions that exist; by default it complains of those that are broken."""
        for part in slices(sessions, SLICE):
            keys = [session_keys(self.policy.prefix, one) for one in part]
            replies = self.server.run(*(READ.call(one, b"", b"", b"info", *STATE_FIELDS) for one in keys))
            for session, reply in zip(part, replies, strict=True):
                try:
                    info = self._info(session, reply)
                except UnavailableError:
                    raise
                except ChatMemError as error:  # it costs this session alone
                    (broken or self.complaints.say)(error)
                    continue
                if info.count or info.version or info.created_at:
                    yield info

    def named(self, sessions: Iterable[str], broken: Broken | None = None) -> Iterator[SessionInfo]:
        """Yield what is known of some sessions; it complains of those that do not exist."""
        wanted = dict.fromkeys(sessions)

        def not_there(error: ChatMemError) -> None:
            wanted.pop(error.session or "", None)
            (broken or self.complaints.say)(error)

        for info in self.infos(list(wanted), not_there):
            del wanted[info.session_id]
            yield info
        for session in wanted:
            self.complaints.say(f"no session {session!r}")

    def _info(self, session: str, reply: list[Any]) -> SessionInfo:
        """Return what is known of a session by what `read.lua` says; a torn one is mended where that is possible."""
        return to_info(self.policy, session, reply[1:]) if reply[0] == 0 else drive(self.core(session).info())

    def of_user(self, user: str) -> Iterator[SessionInfo]:
        """Yield what is known of a user's sessions, the one written last first."""
        before = None
        while True:
            page = self.memory.sessions(user, limit=SLICE, before=before)
            yield from page.sessions
            before = page.next
            if before is None:
                return

    def chosen(self, user: str | None, match: str | None, broken: Broken | None = None) -> Iterator[SessionInfo]:
        """Yield what is known of the sessions of a user, or that match a glob, or both, or of all sessions."""
        if user is not None and match is None:
            yield from self.of_user(user)
            return
        for info in self.infos(self.find(match or "*"), broken):
            if user in (None, info.user):
                yield info


def slices(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most so many."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
