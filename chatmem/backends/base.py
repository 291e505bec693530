"""The `Backend` protocol. A backend is a place where sessions are stored; it makes the transports that lead there."""

from __future__ import annotations

from typing import Any, Protocol

from chatmem.transports.base import Transport


class Backend(Protocol):
    """A place where sessions are stored. Neither it nor its transports do any I/O when they are made."""

    def asynchronous(self) -> Transport:
        """Return a new transport for coroutines."""
        ...

    def blocking(self) -> Transport:
        """Return a new transport whose coroutines never suspend, for synchronous callers.

        Raises:
            ValueError: the backend has none.
        """
        ...

    def release(self) -> None:
        """Release what the backend itself holds. Close its transports first."""
        ...


class UrlBackend(Backend, Protocol):
    """A backend whose clients chatmem opens itself."""

    def open_blocking(self) -> Any:
        """Return a new blocking client, which is the caller's to close."""
        ...
