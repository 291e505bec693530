"""Messages and metadata in one step, for adapters whose own records of a conversation must fit its messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage

from chatmem.core.checks import to_json
from chatmem.core.healing import mend
from chatmem.core.keys import field
from chatmem.core.reader import Reader
from chatmem.core.session import Session, index_keys
from chatmem.core.state import to_info
from chatmem.core.writer import Writer
from chatmem.errors import ConflictError
from chatmem.model import Edited, SessionInfo
from chatmem.scripts import answers, calls
from chatmem.scripts.answers import Code


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


async def erase(session: Session, stored: bytes) -> None:
    """Erase a session of this session's user, or of nobody, and take it off the user's list. Two round trips.

    If it is gone already, nothing happens, so that the call can be repeated.

    Args:
        session: the session.
        stored: the metadata as the state must hold it.

    Raises:
        ConflictError: the state holds other metadata. Nothing was erased.
    """
    index, name = index_keys(session.policy, session.user_name), field(session.id)
    command = calls.edit(session.written_keys, session.shared(), b"clear", b"", b"=" + stored)
    if session.user is None:
        (reply,) = await session.run(command)
    else:  # who writes in between sets another time, and stays on the list
        time, reply = await session.run(calls.registered(index, name), command)
    refusal = answers.refusal(reply)
    if refusal is not None and refusal.code == Code.CONFLICT:
        with session.named:
            raise ConflictError("the metadata has changed: read it again, then erase the session")
    if refusal is not None:
        await mend(session, refusal)
    elif session.user is not None and time:
        await session.run(calls.unregister(index, [(time, name)]))
