"""Where a memory's sessions may be: a file for each kind, which makes the transports that lead there."""

from __future__ import annotations

from typing import Any, Protocol

from chatmem.transports.base import Transport


class Backend(Protocol):
    """A place that transports lead to. Making one, and making its transports, does no I/O."""

    def asynchronous(self) -> Transport:
        """Return a new transport for coroutines."""
        ...

    def blocking(self) -> Transport:
        """Return a new transport whose coroutines never suspend, for synchronous callers.

        Raises:
            ValueError: there is none.
        """
        ...

    def release(self) -> None:
        """Let go of what the backend itself holds; its transports are closed before."""
        ...


class UrlBackend(Backend, Protocol):
    """A backend whose clients chatmem opens itself."""

    def open_blocking(self) -> Any:
        """Return a new blocking client, which is the caller's to close."""
        ...
