"""The clients that the threads of a process share, for blocking transports."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from chatmem.errors import UnsupportedError
from chatmem.transports.base import closed

C = TypeVar("C")


class _Depth(threading.local):
    """How many calls of this thread are under way: more than one where a signal handler interrupted a call."""

    now = 0


class SharedClients(Generic[C]):
    """One client for all threads of a process, and further ones for calls that interrupt a call of their own thread.

    A signal handler may run at any moment, also while the call that it interrupts holds a lock of its client's pool. A
    call on the same client would then wait for itself, so it gets another client. This class has no lock for the same
    reason.
    """

    def __init__(
        self,
        open_client: Callable[[], C],
        close: Callable[[C], None] | None,
        can_be_interrupted: Callable[[C], bool],
    ) -> None:
        """Open nothing yet.

        Args:
            open_client: makes a client.
            close: closes a client; None if there is only one, which is the caller's and stays open.
            can_be_interrupted: returns whether a call on the caller's client may interrupt another call on it.
        """
        self._open = open_client
        self._close = close
        self._can_be_interrupted = can_be_interrupted
        self._clients: dict[tuple[int, int], C] = {}  # by process, and by the depth of calls in a thread
        self._depth = _Depth()
        self.closed = False

    def enter(self) -> C:
        """Return a client for a call. `leave` must follow when the call ends.

        Raises:
            UnavailableError: `close` was called.
            UnsupportedError: the call interrupts another one, and the caller's client does not allow that.
        """
        if self.closed:
            raise closed()
        depth = self._depth
        place = os.getpid(), depth.now  # a child process must not use its parent's sockets
        client = self._clients.get(place) or self._opened(place)
        depth.now += 1
        return client

    def leave(self) -> None:
        """End a call."""
        self._depth.now -= 1
        if self.closed:  # `close` was called during this call, which may have opened a client since
            self.close()

    def _opened(self, place: tuple[int, int]) -> C:
        opened = self._open()
        if self._close is None and place[1] and not self._can_be_interrupted(opened):
            raise UnsupportedError(
                "a call was made in the middle of another one of the same thread, as from a signal handler, and client "
                "does not allow that: pass a client with a plain ConnectionPool, or a url"
            )
        client = self._clients.setdefault(place, opened)
        if client is not opened and self._close is not None:  # another thread opened one first
            self._close(opened)
        return client

    def close(self) -> None:
        """Close the clients that were opened here, and open no more. Calls under way end with an error."""
        self.closed = True
        for (process, _), client in list(self._clients.items()):
            if self._close is not None and process == os.getpid():
                self._close(client)
