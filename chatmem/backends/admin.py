"""Direct access to a server for tools: any command, and SCAN over keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chatmem.backends.connection import backend_at
from chatmem.transports.base import Command
from chatmem.transports.driving import drive, iterate


class Server:
    """A server at a URL of any kind that chatmem knows, for commands beyond those of a memory."""

    def __init__(self, url: str, token: str | None = None) -> None:
        """Connect to nothing yet.

        Raises:
            ValueError: chatmem does not know the URL's scheme, or the URL or token is wrong.
        """
        self._backend = backend_at(url, token)
        self._transport = self._backend.blocking()

    def run(self, *commands: Command) -> list[Any]:
        """Run commands in one round trip and return their replies; strings in them are bytes.

        Raises:
            ChatMemError: a command failed; it is the first one's error.
        """
        replies = drive(self._transport.run(commands))
        return [reply.encode() if isinstance(reply, str) else reply for reply in replies]

    def scan(self, match: bytes) -> Iterator[bytes]:
        """Yield the keys that match a glob, each once."""
        seen: set[bytes] = set()
        for key in iterate(self._transport.scan(match)):
            if key not in seen:
                seen.add(key)
                yield key

    def close(self) -> None:
        """Close the connections."""
        drive(self._transport.aclose())
        self._backend.release()
