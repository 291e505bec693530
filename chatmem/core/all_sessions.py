"""All sessions of a memory, found by SCAN: for maintenance, never on a path that serves a conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator

from chatmem.core.keys import escape, session_glob, session_of
from chatmem.transports.base import Transport


async def all_sessions(transport: Transport, prefix: str, match: str) -> AsyncIterator[str]:
    """Iterate over the ids of all sessions; see `ChatMemory.all_sessions`.

    Raises:
        ValueError: `match` is not a non-empty string.
    """
    if not isinstance(match, str) or not match:
        raise ValueError('match must be a glob such as "user-1*"; "*" matches all sessions')
    seen = set[str]()
    async for key in transport.scan(session_glob(prefix, escape(match))):
        session = session_of(prefix, key)
        if session is not None and session not in seen:
            seen.add(session)
            yield session
