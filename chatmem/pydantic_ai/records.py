"""The records of pydantic-ai's conversations, in the metadata of their sessions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_ai.conversation_store import ConversationRecord
from pydantic_core import to_jsonable_python

from chatmem.errors import EncodingError, UnsupportedError
from chatmem.model import SessionInfo
from chatmem.pydantic_ai.entries import EntryId

RECORD = "pydantic_ai"
"""The key of a conversation's record in the session's metadata."""

_adapter: TypeAdapter[ConversationRecord] = TypeAdapter(ConversationRecord)


def to_metadata(record: ConversationRecord) -> dict[str, Any]:
    """Return the metadata that holds a record.

    Raises:
        EncodingError: JSON cannot represent a value of the deferred tool requests.
    """
    derived = {"deferred_tool_requests": {"_kinds"}}
    try:
        return {RECORD: to_jsonable_python(record, exclude=derived, bytes_mode="base64", inf_nan_mode="null")}
    except ValueError as error:
        why = str(error)
    # Raised outside of the except block, so that no value shows up as the context.
    raise EncodingError(f"the record of the conversation cannot be stored: {why}")


def record_in(info: SessionInfo) -> ConversationRecord | None:
    """Return the record that a session's metadata holds."""
    dumped = info.metadata.get(RECORD)
    if dumped is None:
        return None
    try:
        record = _adapter.validate_python(dumped)
    except ValidationError:
        record = None
    if record is None:  # raised outside of the except block, since pydantic's error would show values
        raise UnsupportedError(
            f"this version of pydantic-ai cannot read the record of conversation {info.session_id!r}"
        )
    home = info.session_id
    head_id = None if record.head_id is None else EntryId.of(record.head_id, home)
    return replace(
        record, conversation_id=home, head_id=head_id, branches=[EntryId.of(one, home) for one in record.branches]
    )
