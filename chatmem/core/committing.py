"""Messages and metadata in one step, for adapters whose own records of a conversation must fit its messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage

from chatmem.core.checks import to_json
from chatmem.core.keys import field
from chatmem.core.reader import Reader
from chatmem.core.state import to_info
from chatmem.core.writer import Writer
from chatmem.model import Edited, SessionInfo


class Held(NamedTuple):
    """What is known of a session."""

    info: SessionInfo
    metadata: bytes
    """the metadata as the state holds it, empty for none"""


async def held(reader: Reader) -> Held:
    """Return what is known of a session. One round trip."""
    answer, _ = await reader.ask(reader.session.reads.info())
    return Held(to_info(reader.session.policy, reader.session.id, answer), answer.fields[5] or b"")


async def commit(
    writer: Writer, after: str | None, messages: Sequence[BaseMessage], metadata: dict[str, Any], stored: bytes
) -> Edited:
    """Store messages behind any message of the session, and set the metadata. One round trip, atomic.

    The active branch is then the one that ends with these messages. If others follow `after`, that is another branch,
    or a new one; the messages of the branch before stay.

    Args:
        writer: writes to the session.
        after: the id of the message to go on behind; None for a branch that begins anew.
        messages: the messages.
        metadata: replaces the old metadata.
        stored: the metadata as the state must hold it until then, empty for none.

    Raises:
        ConflictError: the state holds other metadata. Nothing was stored.
        NotFoundError: the session has no message with the id `after`. Nothing was stored.
    """
    session = writer.reader.session
    with session.named:
        text = to_json(metadata)
    if session.sealer is not None:
        text = session.sealer.seal_text("metadata", text)
    where = b"at:-1" if after is None else b"id:" + field(after)
    told = (where, b"%d:%b%b" % (len(stored), stored, text))
    parts = await writer.encode(messages)
    places = range(session.next_position, session.next_position + len(parts))
    return await writer.edit(b"commit", *told, parts=parts, places=places, how="CH")
