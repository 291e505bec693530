"""Stores a memory's compression dictionary on its server, before the first record that needs it.

Servers may restart empty, or lose keys, so the memory also checks that the dictionary is still there. The check is part
of a write's round trip. It is made once a second, and with the first write to each session. Also, a known session that
begins anew shows that the server lost data.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from chatmem.codec.compression import Dictionary
from chatmem.core.keys import dictionary_key
from chatmem.errors import ChatMemError
from chatmem.transports.base import Command

Run = Callable[..., Awaitable[list[Any]]]

_logger = logging.getLogger("chatmem")

CHECK_SECONDS = 1.0
"""After a check, the server counts as having the dictionary for this long."""
_MOST_SESSIONS = 4096
_FIRST_VERSION = 1  # the version of a session after the write that created it


class StoredDictionary:
    """A memory's compression dictionary on its server, and what the memory knows of it."""

    def __init__(self, prefix: str, dictionary: Dictionary) -> None:
        key = dictionary_key(prefix, dictionary.number)
        self._ask: Command = ("EXISTS", key)
        self._store: Command = ("SET", key, dictionary.data, b"NX")
        self._seen: float | None = None  # when the server was last known to have it
        self._sessions: set[str] = set()  # with a checked write

    async def write(self, run: Run, session: str, commands: tuple[Command, ...]) -> list[Any]:
        """Run commands that write to a session, and return their replies. The first command calls a script.

        Args:
            run: runs commands in one round trip.
            session: the session's id.
            commands: the commands.
        """
        if self._seen is None:
            await run(self._store)
            self._saw(session)
            return await run(*commands)
        if session in self._sessions and time.monotonic() - self._seen < CHECK_SECONDS:
            replies = await run(*commands)
            if replies[0][0] == _FIRST_VERSION:
                await self._restore(run)
            return replies
        is_there, replies = await self._asking(run, commands)
        if is_there:
            self._saw(session)
        else:
            await self._restore(run)
        return replies

    async def _asking(self, run: Run, commands: tuple[Command, ...]) -> tuple[bool, list[Any]]:
        if commands[-1][0] == "WAIT":  # only the write and its WAIT may be sent together, to one node
            (is_there,) = await run(self._ask)
            return is_there, await run(*commands)
        *replies, is_there = await run(*commands, self._ask)
        return is_there, replies

    def _saw(self, session: str) -> None:
        if len(self._sessions) >= _MOST_SESSIONS:
            self._sessions.clear()
        self._sessions.add(session)
        self._seen = time.monotonic()

    async def _restore(self, run: Run) -> None:
        self._seen = None  # if this fails, the next write stores it first
        try:
            await run(self._store)
        except ChatMemError as error:  # the caller's messages are stored, so the call succeeds
            _logger.warning("the server lost the compression dictionary, and storing it again failed: %s", error)
        else:
            self._seen = time.monotonic()
