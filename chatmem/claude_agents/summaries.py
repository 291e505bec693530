"""The SDK's summaries of sessions: folded from the stored entries, and kept in the session's metadata."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from chatmem.claude_agents.entries import entry_of
from chatmem.core.reader import ENTRIES_PER_CALL, Reader
from chatmem.errors import ConflictError
from chatmem.extras import needed
from chatmem.history import History
from chatmem.model import SessionInfo

if TYPE_CHECKING:
    from claude_agent_sdk import SessionKey

SUMMARY = "claude_agents_summary"
"""The metadata key of a session's summary."""


class _Kept(NamedTuple):
    """A summary as it is kept."""

    created: str
    """when the session began: a later session with the same id does not count as the same"""
    version: int
    """the version of the session that the summary is of"""
    last: int
    """the position of the last entry in it"""
    data: dict[str, Any]
    """what the SDK made of the entries"""


async def summary_of(key: SessionKey, info: SessionInfo, reader: Reader, history: History) -> dict[str, Any]:
    """Return what the SDK summarises of a session, and keep it for the next call.

    Args:
        key: the session's key.
        info: what is known of the session. If its metadata has a summary of this version, nothing more is read.
        reader: reads the session.
        history: the same session.
    """
    created, given = str(info.created_at), info.metadata.get(SUMMARY)
    kept = _Kept(**given) if isinstance(given, dict) and given.get("created") == created else None
    if kept is not None and kept.version == info.version:
        return kept.data
    summary = await _folded(key, kept or _Kept(created, info.version, -1, {}), reader)
    with suppress(ConflictError):  # somebody wrote meanwhile, or erased the session: the next call keeps its summary
        await history.update(metadata={SUMMARY: summary._asdict()}, merge=True, expected_version=summary.version)
    return summary.data


async def _folded(key: SessionKey, summary: _Kept, reader: Reader) -> _Kept:
    """Return a summary with all entries behind it."""
    with needed("summaries of Claude sessions need", "claude-agents", "claude_agent_sdk"):
        from claude_agent_sdk import fold_session_summary  # noqa: PLC0415
    part = await reader.slice(summary.last, None, ENTRIES_PER_CALL, newest=False)
    if part.page.edited > summary.version:  # an entry in the summary may have been changed
        summary = summary._replace(last=-1, data={})
        part = await reader.slice(-1, None, ENTRIES_PER_CALL, newest=False)
    # If an entry is changed from here on, the version is older than the change, and the next call begins anew.
    folded: Any = {"session_id": key["session_id"], "mtime": 0, "data": summary.data}
    last = summary.last
    async for stored, _ in reader.stored(part):
        for message in reader.decoder.readable([stored]):
            entry: Any = entry_of(message)
            folded, last = fold_session_summary(folded, key, [entry]), stored.seq
    return _Kept(summary.created, part.page.version, last, folded["data"])
