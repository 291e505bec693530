"""A memory's dictionary on its server: there before the first record that needs it, and again where the server lost it.

Servers come back empty, and keys get lost. To ask with each write would be a command more for each, so a memory asks
along with a write, in its round trip, when a second has passed, and when it has not met the session before. And a
session that it has met and that begins anew shows that something was lost.
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

SECONDS = 1.0
"""How long it goes without saying that the server has the dictionary."""
_MOST = 4096
_BEGUN = 1  # the version of a session that a write began


class StoredDictionary:
    """What a memory knows of its dictionary on the server."""

    def __init__(self, prefix: str, dictionary: Dictionary) -> None:
        key = dictionary_key(prefix, dictionary.number)
        self._ask: Command = ("EXISTS", key)
        self._store: Command = ("SET", key, dictionary.data, b"NX")
        self._seen: float | None = None  # when the server had it
        self._met: set[str] = set()

    async def write(self, run: Run, session: str, commands: tuple[Command, ...]) -> list[Any]:
        """Run commands that write to a session, the first of them a script's, and return their replies.

        Args:
            run: runs commands in one round trip.
            session: whose messages they write.
            commands: what writes them.
        """
        if self._seen is None:
            await run(self._store)
            self._saw(session)
            return await run(*commands)
        if session in self._met and time.monotonic() - self._seen < SECONDS:
            replies = await run(*commands)
            if replies[0][0] == _BEGUN:
                await self._restore(run)
            return replies
        is_there, replies = await self._asking(run, commands)
        if is_there:
            self._saw(session)
        else:
            await self._restore(run)
        return replies

    async def _asking(self, run: Run, commands: tuple[Command, ...]) -> tuple[bool, list[Any]]:
        if commands[-1][0] == "WAIT":  # which goes to one node, with what it waits for alone
            (is_there,) = await run(self._ask)
            return is_there, await run(*commands)
        *replies, is_there = await run(*commands, self._ask)
        return is_there, replies

    def _saw(self, session: str) -> None:
        if len(self._met) >= _MOST:
            self._met.clear()
        self._met.add(session)
        self._seen = time.monotonic()

    async def _restore(self, run: Run) -> None:
        self._seen = None  # where that fails, the next write does it first
        try:
            await run(self._store)
        except ChatMemError as error:  # the messages are stored: that is what the caller asked for
            _logger.warning("the server lost the dictionary of compression, and did not take it again: %s", error)
        else:
            self._seen = time.monotonic()
