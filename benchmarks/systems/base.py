"""What a system must do to be measured. One file a system; it is imported in the system's own environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from benchmarks.corpus import Message

TTL_SECONDS = 7 * 24 * 3600
"""Every system keeps its sessions for a week from the last append."""
LAST = 50
"""How many messages a turn reads. A system that cannot read a tail reads all: that is its cost."""
CONNECTIONS = 1000
"""Of a shared client at most; redis-py's own limit of 100 would refuse the 101st turn at once."""
SLICE = 1000
"""How many messages are seeded at a time."""


class AsyncSystem(Protocol):
    """A system whose calls are coroutines."""

    def open(self, url: str) -> None:
        """Make what a server makes once: a client, a pool."""
        ...

    def prepare(self, messages: Sequence[Message]) -> list[Any]:
        """Return the messages as an application of this system holds them. Never timed."""
        ...

    async def seed(self, session: str, messages: list[Any]) -> None:
        """Store a history. Never timed."""
        ...

    async def turn(self, session: str, new: list[Any]) -> None:
        """Open the session, read its last messages, append two."""
        ...

    async def read(self, session: str, last: int | None) -> int:
        """Open the session, read the last messages or all; return how many came."""
        ...

    async def append(self, session: str, new: list[Any]) -> None:
        """Open the session, append two."""
        ...

    async def close(self) -> None:
        """Close what was opened."""
        ...


class SyncSystem(Protocol):
    """The same, blocking; many at once are in threads."""

    def open(self, url: str) -> None: ...
    def prepare(self, messages: Sequence[Message]) -> list[Any]: ...
    def seed(self, session: str, messages: list[Any]) -> None: ...
    def turn(self, session: str, new: list[Any]) -> None: ...
    def read(self, session: str, last: int | None) -> int: ...
    def append(self, session: str, new: list[Any]) -> None: ...
    def close(self) -> None: ...


def cluster_and_url(url: str) -> tuple[bool, str]:
    """Return whether the URL is a cluster's, and the URL of the server, or of a node, as redis-py spells it."""
    return url.startswith("redis+cluster://"), url.replace("redis+cluster://", "redis://", 1)


def slices(messages: list[Any]) -> list[list[Any]]:
    """Return the messages in portions that one call takes."""
    return [messages[i : i + SLICE] for i in range(0, len(messages), SLICE)]
