"""The entries of pydantic-ai's conversations, as messages of a session.

The last message of an entry has the entry's id, and keeps what the message itself does not say: the entry before it,
and of how many messages the entry consists. A request has a message for each of its parts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic_ai.conversation_store import ConversationEntry

from chatmem.core.keys import field
from chatmem.core.reader import LARGEST_PAGE, Reader
from chatmem.errors import EncodingError
from chatmem.model import Entry
from chatmem.pydantic_ai.reading import to_model_messages
from chatmem.pydantic_ai.writing import to_messages

ENTRY = "pydantic_ai_entry"
"""The key in `additional_kwargs` of an entry's last message."""


class BranchChangedError(Exception):
    """The active branch changed while it was read."""


class EntryId(str):
    """An entry's id, with the conversation that it was read from: a fork holds copies of entries under the same ids.

    Attributes:
        conversation_id: the conversation.
    """

    conversation_id: str

    @classmethod
    def of(cls, entry_id: str, conversation_id: str) -> EntryId:
        """Return the id of an entry that was read from a conversation."""
        made = cls(entry_id)
        made.conversation_id = conversation_id
        return made


def home_of(entry_id: str) -> str | None:
    """Return the id of the conversation that holds an entry; None if the entry's id does not say."""
    if isinstance(entry_id, EntryId):
        return entry_id.conversation_id
    return entry_id.rpartition("/")[0] or None


def to_stored(entries: Sequence[ConversationEntry]) -> list[BaseMessage]:
    """Return the messages for entries.

    Raises:
        EncodingError: an entry holds a value that cannot be stored, or that pydantic-ai cannot read back.
    """
    made: list[BaseMessage] = []
    for index, entry in enumerate(entries):
        try:
            messages = to_messages([entry.message])
        except EncodingError as error:
            error.index = index
            raise
        for message in messages:
            message.id = None
        messages[-1].id = str(entry.id)
        kept = {"parent": entry.parent_id and str(entry.parent_id), "parts": len(messages)}
        messages[-1].additional_kwargs[ENTRY] = kept
        made += messages
    return made


async def newest_first(
    reader: Reader, first: int, *, all_branches: bool
) -> AsyncIterator[tuple[str | None, ConversationEntry | None]]:
    """Iterate over a session's entries: the id of each, and the entry, None if it cannot be read.

    Messages that no entry consists of are left out.

    Args:
        reader: reads the session.
        first: how many messages to read first.
        all_branches: whether to go through the entries of all branches, or of the active one.

    Raises:
        BranchChangedError: the active branch changed meanwhile.
    """
    group: list[Entry] = []
    async for one in _messages(reader, first, all_branches=all_branches):
        if group and (one.error or _kept(one) or one.seq <= group[0].seq - _parts(group[0])):
            yield _entry_of(reader, group)
            group = []
        if one.error:
            reader.decoder.readable([one])  # logs it
            yield one.id, None
        elif group or _kept(one):
            group.append(one)
        if group and len(group) == _parts(group[0]):
            yield _entry_of(reader, group)
            group = []
    if group:
        yield _entry_of(reader, group)


async def entry_with(reader: Reader, entry_id: str) -> ConversationEntry | None:
    """Return the entry with an id, whatever branch shows it; None if the session has none."""
    last = await reader.get(b"id", field(str(entry_id)))
    if last is None or last.id != entry_id or _kept(last) is None:
        return None
    group, parts = [last], _parts(last)
    if parts > 1:
        others = await reader.slice(last.seq - parts, last.seq, parts, newest=True, all_branches=True)
        group += reversed(others.entries)
    return _entry_of(reader, group)[1]


async def ends_with_entry(reader: Reader) -> bool:
    """Return whether the last message of a session belongs to an entry."""
    last = await reader.slice(None, None, 1, newest=True, all_branches=True)
    return any(map(_kept, last.entries))


async def _messages(reader: Reader, first: int, *, all_branches: bool) -> AsyncIterator[Entry]:
    before, size, more, edited = None, min(max(first, 1), LARGEST_PAGE), True, None
    while more:
        part = await reader.slice(None, before, size, newest=True, all_branches=all_branches)
        if edited not in (None, part.page.edited) and not all_branches:
            raise BranchChangedError
        if not part.entries:
            return
        for entry in reversed(part.entries):
            yield entry
        before, size, more, edited = part.entries[0].seq, LARGEST_PAGE, part.more, part.page.edited


def _kept(entry: Entry) -> dict[str, object] | None:
    kept = entry.message.additional_kwargs.get(ENTRY) if entry.message else None
    return kept if isinstance(kept, dict) else None


def _parts(entry: Entry) -> int:
    kept = _kept(entry) or {}
    return int(str(kept.get("parts", 1)))


def _entry_of(reader: Reader, group: Sequence[Entry]) -> tuple[str, ConversationEntry]:
    """Return the entry that messages, the last of them first, consist of."""
    home, last, kept = reader.session.id, group[0], _kept(group[0]) or {}
    model, *others = to_model_messages([one.message for one in reversed(group) if one.message])
    if others:  # somebody edited the messages
        parts: Any = [part for one in (model, *others) for part in one.parts]
        model = replace(model, parts=parts)
    parent = kept.get("parent")
    parent_id = EntryId.of(parent, home) if isinstance(parent, str) else None
    entry_id = EntryId.of(last.id or "", home)
    return entry_id, ConversationEntry(id=entry_id, parent_id=parent_id, message=model)
