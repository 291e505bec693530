"""The memory that a command works on, and the server under it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

from chatmem import KeyRing, SessionInfo
from chatmem.backends.admin import Server
from chatmem.backends.connection import connection_to
from chatmem.cli.terminal import Problems, console
from chatmem.core.keys import session_keys
from chatmem.core.policy import Policy
from chatmem.core.reader import Reader
from chatmem.core.session import Session
from chatmem.core.state import to_info
from chatmem.core.writer import Writer
from chatmem.errors import ChatMemError, UnavailableError
from chatmem.history import History
from chatmem.scripts.answers import Info, refusal
from chatmem.scripts.calls import Reads
from chatmem.sessions import Sessions
from chatmem.sync import ChatMemory
from chatmem.transports.driving import drive

T = TypeVar("T")
OnBroken = Callable[[ChatMemError], None]
"""Takes the error of a session whose info cannot be read."""

SLICE = 100
"""How many sessions one round trip asks for."""
_logger = logging.getLogger("chatmem")


class Store:
    """A memory and its server, as a context manager. It connects on the first round trip."""

    def __init__(self, url: str | None, prefix: str, keys: str | None) -> None:
        """Describe the memory.

        Args:
            url: the server's URL, as `chatmem.connect` takes it.
            prefix: the prefix of the memory's keys.
            keys: the encryption keys, as `KeyRing.parse` takes them.

        Raises:
            ValueError: an argument is wrong.
        """
        self.policy = Policy(prefix, encryption=KeyRing.parse(keys) if keys else None)
        self.server = Server(url or "")
        """For what a memory cannot do: SCAN, memory usage, times to live."""
        self.sessions = Sessions(connection_to(url), self.policy)
        self.memory = ChatMemory(self.sessions)
        self.err = console(stderr=True)
        self.problems = Problems(self.err)

    def __enter__(self) -> Self:
        _logger.addHandler(self.problems)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _logger.removeHandler(self.problems)
        self.memory.close()
        self.server.close()

    def core(self, session: str, *, user: str | None = None, ttl: float | None = None) -> History:
        """Return the history of a session as coroutines that never suspend; `drive` runs them.

        Args:
            session: the session's id.
            user: the session's owner; a session without an owner gets this one.
            ttl: the time to live, in seconds, that a write sets; None keeps the present one.
        """
        return self._sessions(ttl).history(session, user, claim=user is not None, blocking=True)

    def reader(self, session: str) -> Reader:
        """Return what reads a session below the level of `History`."""
        return self.sessions.reader(session, blocking=True)

    def writer(self, session: str, *, user: str | None = None, ttl: float | None = None) -> Writer:
        """Return what writes to a session below the level of `History`; the arguments are those of `core`."""
        return self._sessions(ttl).writer(session, user, claim=user is not None, blocking=True)

    def session(self, session: str, *, user: str | None = None, ttl: float | None = None) -> Session:
        """Return the session that `writer` would write to."""
        sessions = self._sessions(ttl)
        return Session(sessions.transport(blocking=True), sessions.policy, session, user, claim=user is not None)

    def _sessions(self, ttl: float | None) -> Sessions:
        if ttl is None:
            return self.sessions
        return Sessions(self.sessions.connection, Policy(self.policy.prefix, ttl, encryption=self.policy.encryption))

    def find(self, match: str = "*") -> Iterator[str]:
        """Return the ids of the sessions that match a glob; see `ChatMemory.all_sessions`.

        Raises:
            UnavailableError: the server did not answer, or this user may not run SCAN.
        """
        return self.memory.all_sessions(match)

    def infos(self, sessions: Iterable[str], on_broken: OnBroken | None = None) -> Iterator[SessionInfo]:
        """Yield the info of those sessions that exist. Broken sessions are reported, unless `on_broken` takes them."""
        for part in slices(sessions, SLICE):
            keys = [session_keys(self.policy.prefix, one) for one in part]
            replies = self.server.run(*(Reads(one, b"", b"").info().command for one in keys))
            for session, reply in zip(part, replies, strict=True):
                try:
                    info = self._info(session, reply)
                except UnavailableError:
                    raise
                except ChatMemError as error:  # only this session is affected
                    (on_broken or self.problems.report)(error)
                    continue
                if info.count or info.version or info.created_at:
                    yield info

    def named(self, sessions: Iterable[str], on_broken: OnBroken | None = None) -> Iterator[SessionInfo]:
        """Yield the info of these sessions, and report those that do not exist."""
        wanted = dict.fromkeys(sessions)

        def note(error: ChatMemError) -> None:
            wanted.pop(error.session or "", None)
            (on_broken or self.problems.report)(error)

        for info in self.infos(list(wanted), note):
            del wanted[info.session_id]
            yield info
        for session in wanted:
            self.problems.report(f"no session {session!r}")

    def _info(self, session: str, reply: list[Any]) -> SessionInfo:
        """Return the info in a reply of `read.lua`. A torn session is read again by `History.info`, which mends it."""
        return drive(self.core(session).info()) if refusal(reply) else to_info(self.policy, session, Info(*reply[1:]))

    def of_user(self, user: str) -> list[SessionInfo]:
        """Return the info of a user's sessions, most recently written first, archived ones too."""
        return drive(self.memory.core.of_user(user, blocking=True).every())

    def chosen(self, user: str | None, match: str | None, on_broken: OnBroken | None = None) -> Iterator[SessionInfo]:
        """Yield the info of the sessions of a user, or that match a glob, or both; of all sessions without either."""
        if user is not None and match is None:
            yield from self.of_user(user)
            return
        for info in self.infos(self.find(match or "*"), on_broken):
            if user in (None, info.user):
                yield info


def slices(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of at most `size`."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
