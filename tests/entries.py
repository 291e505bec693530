"""Entries that tests know to be there and readable."""

from __future__ import annotations

from typing import Any

import chatmem


async def got(history: chatmem.History, message: str | int) -> chatmem.Entry:
    """Return the entry of a message that must be there."""
    entry = await history.get(message)
    assert entry is not None
    return entry


def content_of(entry: chatmem.Entry) -> str | list[str | dict[Any, Any]]:
    """Return the content of a message that must be readable."""
    assert entry.message is not None
    return entry.message.content


async def ttl_of(history: chatmem.History) -> float:
    """Return the seconds after which a session expires that must have a TTL."""
    ttl = (await history.info()).ttl
    assert ttl is not None
    return ttl
