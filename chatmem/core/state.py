"""A session's state: version, times, user, title, metadata and marks, as `SessionInfo` shows them."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from chatmem.codec import record
from chatmem.codec.encryption import Sealer, is_sealed_text, not_sealed
from chatmem.core.answering.running import answers_in
from chatmem.core.checks import from_json
from chatmem.core.keys import unescape
from chatmem.core.marks import Marks, marks_of
from chatmem.core.policy import Policy
from chatmem.core.session import sealer_of
from chatmem.errors import CorruptRecordError
from chatmem.model import SessionInfo
from chatmem.scripts.answers import Info

_logger = logging.getLogger("chatmem")
_KINDS = {"title": str, "metadata": dict}


def to_info(policy: Policy, session_id: str, answer: Info) -> SessionInfo:
    """Return the information that a script's answer holds.

    Raises:
        CorruptRecordError: chatmem did not write the session's state.
    """
    try:
        return _to_info(policy, session_id, answer)
    except (ValueError, OverflowError, RecursionError) as error:
        raise CorruptRecordError("chatmem did not write the session's state", session=session_id) from error


def _to_info(policy: Policy, session_id: str, answer: Info) -> SessionInfo:
    version, created, updated, user, title, metadata = answer.fields
    sealer = sealer_of(policy, session_id)
    marks = _marks(session_id, answer.marks or None)
    return SessionInfo(
        session_id=session_id,
        count=answer.length,
        version=int(version or 0),
        created_at=record.to_datetime(int(created)) if created else None,
        updated_at=record.to_datetime(int(updated)) if updated else None,
        ttl=answer.ttl / 1000 if answer.ttl >= 0 else None,
        user=unescape(user) if user else None,
        title=_opened(sealer, session_id, "title", title),
        metadata=_opened(sealer, session_id, "metadata", metadata) or {},
        archived=marks.archived,
        pinned=marks.pinned,
        tags=marks.tags,
        revision=_revision(title, metadata, answer.marks or None),
        answers=answers_in(answer.answers or b""),
    )


def _revision(*fields: bytes | None) -> int:
    """Return what stands for title, metadata and marks, as `edit.lua` counts it."""
    if fields == (None, None, None):
        return 0
    told = b"".join(b"%d:%s" % (len(field or b""), field or b"") for field in fields)
    return int(hashlib.sha1(told, usedforsecurity=False).hexdigest()[:12], 16)


def metadata_in(policy: Policy, session_id: str, answer: Info) -> dict[str, Any]:
    """Return the metadata that a script's answer holds.

    Raises:
        CorruptRecordError: the metadata cannot be decrypted, or chatmem did not write it.
    """
    try:
        metadata = _open(sealer_of(policy, session_id), "metadata", answer.fields[-1])
    except ValueError as error:
        raise CorruptRecordError(f"the metadata cannot be read: {error}", session=session_id) from error
    return metadata or {}


def _marks(session_id: str, stored: bytes | None) -> Marks:
    try:
        return marks_of(stored)
    except ValueError as error:
        _logger.warning("left out the unreadable marks of session %r: %s", session_id, error)
        return Marks()


def _opened(sealer: Sealer | None, session_id: str, name: str, text: bytes | None) -> Any:
    """Return the value of a field; None, with a warning, if it cannot be decrypted or is not JSON."""
    try:
        return _open(sealer, name, text)
    except ValueError as error:
        _logger.warning("left out the unreadable %s of session %r: %s", name, session_id, error)
        return None


def _open(sealer: Sealer | None, name: str, text: bytes | None) -> Any:
    if text and is_sealed_text(text):
        if sealer is None:
            raise ValueError("it is encrypted: connect with encryption=chatmem.KeyRing(...)")
        text = sealer.open_text(name, text)
    elif text and sealer is not None and not sealer.ring.read_plain:
        raise not_sealed()
    return from_json(text, _KINDS[name]) if text else None
