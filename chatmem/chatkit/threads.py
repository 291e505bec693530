"""Keeps ChatKit's metadata of a thread in a session's title and metadata.

A thread's own `metadata` is the session's metadata. The thread's other fields are beside it, under one key.
"""

from __future__ import annotations

from typing import Any

from chatkit.types import ThreadMetadata

from chatmem.core.user_index import UserIndex
from chatmem.model import SessionInfo

_KEY = "chatkit"


def title_and_metadata(thread: ThreadMetadata) -> tuple[str, dict[str, Any]]:
    """Return what `History.update` takes, for a thread."""
    dump = ThreadMetadata.model_dump(thread, mode="json", exclude={"id"}, exclude_none=True)
    metadata = dump.pop("metadata")
    if _KEY in metadata:
        dump["own"] = metadata.pop(_KEY)
    title = dump.pop("title", None)
    if title is None:
        dump["title"] = None  # a session keeps its old title, and cannot go without one again
    return title or "", {**metadata, _KEY: dump}


def thread_of(info: SessionInfo) -> ThreadMetadata | None:
    """Return the thread for a session, or None if there is no such session."""
    if info.created_at is None:
        return None
    metadata = dict(info.metadata)
    kept = metadata.pop(_KEY, {})
    if "own" in kept:
        metadata[_KEY] = kept.pop("own")
    untitled = info.title == "" and "title" in kept
    fields = {"created_at": info.created_at, **kept, "title": None if untitled else info.title}
    return ThreadMetadata(id=info.session_id, metadata=metadata, **fields)


async def threads_of(index: UserIndex) -> list[ThreadMetadata]:
    """Return all threads of a user, those that were created first first."""
    threads = [thread for info in await index.every() if (thread := thread_of(info)) is not None]
    return sorted(threads, key=lambda thread: (thread.created_at.timestamp(), thread.id))
