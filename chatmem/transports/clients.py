"""The clients of blocking transports, for all threads of a process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from chatmem.errors import UnsupportedError
from chatmem.transports.base import closed

C = TypeVar("C")


class _Depth(threading.local):
    """How many calls of this thread are under way."""

    now = 0


class Clients(Generic[C]):
    """A client that all threads share, and others for calls that interrupt a call of their own thread.

    A signal handler may come at any moment, when the interrupted call holds a lock of its client's pool: with that
    client it would wait for itself. There is no lock here for the same reason.
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
            close: closes it; None where that is the caller's, who has only one.
            can_be_interrupted: returns whether the caller's client may be called while a call on it was interrupted.
        """
        self._open = open_client
        self._close = close
        self._can_be_interrupted = can_be_interrupted
        self._clients: dict[tuple[int, int], C] = {}  # by process, and by how many calls of a thread are under way
        self._depth = _Depth()
        self.closed = False

    def enter(self) -> C:
        """Return a client for a call, which is to `leave` in the end.

        Raises:
            UnavailableError: `close` was called.
            UnsupportedError: the caller's client does not bear a call in the middle of another.
        """
        if self.closed:
            raise closed()
        depth = self._depth
        place = os.getpid(), depth.now  # a child must not use its parent's sockets
        client = self._clients.get(place) or self._opened(place)
        depth.now += 1
        return client

    def leave(self) -> None:
        """End a call."""
        self._depth.now -= 1
        if self.closed:  # meanwhile: whatever was opened since
            self.close()

    def _opened(self, place: tuple[int, int]) -> C:
        opened = self._open()
        if self._close is None and place[1] and not self._can_be_interrupted(opened):
            raise UnsupportedError(
                "a call came in the middle of another one of its thread, as from a signal handler, which this client "
                "does not bear: pass one with a ConnectionPool, or a url"
            )
        client = self._clients.setdefault(place, opened)
        if client is not opened and self._close is not None:  # another thread was faster
            self._close(opened)
        return client

    def close(self) -> None:
        """Close what was opened, and open nothing any more; calls under way end with an error."""
        self.closed = True
        for (process, _), client in list(self._clients.items()):
            if self._close is not None and process == os.getpid():
                self._close(client)
