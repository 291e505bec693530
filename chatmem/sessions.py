"""The sessions on one backend: a connection, and the rules for what is stored over it.

Both facades and all adapters open conversations here, for coroutines or for synchronous code.
"""

from __future__ import annotations

from typing import Protocol

from chatmem.backends.connection import Connection
from chatmem.core.policy import Policy
from chatmem.core.reader import Reader
from chatmem.core.session import Session
from chatmem.core.user_index import UserIndex
from chatmem.core.writer import Writer
from chatmem.history import History
from chatmem.transports.base import Transport


class Sessions:
    """Opens conversations. No method makes a round trip."""

    def __init__(self, connection: Connection, policy: Policy) -> None:
        self.connection = connection
        self.policy = policy

    def transport(self, *, blocking: bool) -> Transport:
        """Return the transport for synchronous code, or for coroutines."""
        return self.connection.blocking() if blocking else self.connection.asynchronous()

    def history(
        self, session_id: str, user: str | None = None, *, claim: bool = False, blocking: bool = False
    ) -> History:
        """Return a conversation; see `ChatMemory.history`.

        Args:
            session_id: the conversation's id.
            user: the user that it must belong to; None for no check.
            claim: accept a session without a user, and make it this user's with the first write.
            blocking: whether the coroutines of the history never suspend, for `transports.driving.drive`.

        Raises:
            ValueError: the id or the user is empty or not a string, or `claim` is without a user.
        """
        if claim and user is None:
            raise ValueError("claim needs user=: it gives a session without a user to that user")
        return History(self.transport(blocking=blocking), self.policy, session_id, user, claim=claim)

    def reader(self, session_id: str, user: str | None = None, *, blocking: bool = False) -> Reader:
        """Return what reads a session below the level of `History`."""
        return Reader(Session(self.transport(blocking=blocking), self.policy, session_id, user))

    def writer(
        self, session_id: str, user: str | None = None, *, claim: bool = False, blocking: bool = False
    ) -> Writer:
        """Return what writes to a session below the level of `History`."""
        session = Session(self.transport(blocking=blocking), self.policy, session_id, user, claim=claim)
        return Writer(session, Reader(session))

    def of_user(self, user: str, *, blocking: bool = False) -> UserIndex:
        """Return the index of a user's sessions.

        Raises:
            ValueError: `user` is empty or not a string.
        """
        return UserIndex(self.transport(blocking=blocking), self.policy, user)


class Memory(Protocol):
    """Either facade's `ChatMemory`, as adapters take it."""

    @property
    def core(self) -> Sessions:
        """The sessions of the memory."""
        ...
