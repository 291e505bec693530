"""Where a memory's sessions may be: a file a kind of address, each of which makes the transports that lead there."""

from __future__ import annotations

from typing import Any, Protocol

from chatmem.transports.base import Transport


class Address(Protocol):
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
        """Let go of what the address itself holds; its transports are closed before."""
        ...


class UrlAddress(Address, Protocol):
    """An address whose clients chatmem opens itself."""

    def open_blocking(self) -> Any:
        """Return a new blocking client, which is the caller's to close."""
        ...
