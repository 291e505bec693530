"""pydantic-ai's `ConversationStore`, on sessions with branches."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.run import AgentRunResult

from chatmem.core.committing import Held, commit, erase, held
from chatmem.core.reader import LARGEST_PAGE, Reader
from chatmem.errors import ConflictError, NotFoundError, TornSessionError, UnavailableError, UnsupportedError
from chatmem.memory import ChatMemory
from chatmem.pydantic_ai.entries import (
    BranchChangedError,
    EntryId,
    ends_with_entry,
    entry_with,
    home_of,
    newest_first,
    to_stored,
)
from chatmem.pydantic_ai.records import record_in, to_metadata

_ATTEMPTS = 100
_PARTS_OF_ENTRY = 2  # a request has a message for each of its parts, and most have one or two


class ChatmemConversationStore(ConversationStore):
    """pydantic-ai's conversations, a session each.

    A save is one atomic step: its messages and the record are stored, or neither is. The branches that a conversation
    left are branches of the session, and its scope is the session's user.

    `save` gives entries ids that begin with the conversation's id, so `read_entry` finds an entry by its id alone. A
    fork holds copies of the entries that it shares, under the same ids. So each conversation expires, is encrypted and
    is erased by itself.

    Example:
        >>> store = ChatmemConversationStore(memory)
        >>> conversation = await store.load("chat-1", scope="alice") or Conversation(conversation_id="chat-1")
        >>> await store.save(await agent.run("Hello", conversation=conversation), scope="alice")
    """

    def __init__(self, memory: ChatMemory) -> None:
        """Use a memory. No round trip.

        Args:
            memory: the memory that `chatmem.connect` returned.
        """
        self._memory = memory
        self._names_entries = False

    async def save(
        self, conversation: Conversation | AgentRunResult[Any], *, scope: str | None = None
    ) -> list[ConversationEntry]:
        """Save a conversation; see pydantic-ai's `ConversationStore.save`. Three round trips.

        Raises:
            ConversationConflict: the conversation was saved or deleted since it was loaded, or belongs to another
                scope. Nothing was stored.
            EncodingError: a message holds a value that cannot be stored. Nothing was stored.
            UnavailableError: the server did not confirm: load the conversation to see whether it was saved.
        """
        saving = copy(self)
        saving._names_entries = True
        new = await ConversationStore.save(saving, conversation, scope=scope)
        if isinstance(conversation, AgentRunResult):
            conversation = conversation.conversation
        return _named(conversation.conversation_id, new)

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Return a conversation's record, or None if there is none. One round trip; two for a session without one.

        Raises:
            TornSessionError: the server has lost the session's state, and the record with it. The messages are there.
        """
        reader = self._reader(conversation_id)
        info = (await held(reader)).info
        record = record_in(info)
        if record is None and info.version and await ends_with_entry(reader):
            why = "the record of the conversation was lost with the session's state: save its messages as a new one"
            raise TornSessionError(why, reason="record", session=conversation_id, key=reader.session.key)
        return record

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        """Return the records of a scope, the last saved first. Two round trips for each 1,000 conversations.

        Raises:
            UnsupportedError: `scope` is None. There is no list of all conversations, as it would be one key that each
                save writes; `ChatMemory.all_sessions` goes through all keys.
        """
        if scope is None:
            raise UnsupportedError("conversations are listed by scope: pass scope= to list_conversations")
        infos = await self._memory.core.of_user(scope).every() if limit is None else []
        found = [record for info in infos if (record := record_in(info)) is not None]
        before, more = None, bool(limit)
        while more and limit is not None and len(found) < limit:
            room = min(limit - len(found), LARGEST_PAGE)
            page = await self._memory.sessions(scope, limit=room, before=before, archived=None)
            found += [record for info in page.sessions if (record := record_in(info)) is not None]
            before, more = page.next, page.next is not None
        return sorted(found, key=lambda record: record.updated_at, reverse=True)

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store a record and new entries, or neither. Two round trips, and those of reading the history for a fork.

        Raises:
            ConversationConflict: the stored record has another revision, or there is a session of this id already, or
                the history goes on behind an entry that is gone. Nothing was stored.
            EncodingError: a message holds a value that cannot be stored. Nothing was stored.
            UnavailableError: the server did not confirm; you can repeat the call.
        """
        conversation_id = record.conversation_id
        if self._names_entries and new_entries:
            new_entries = _named(conversation_id, new_entries)
            record = replace(record, head_id=new_entries[-1].id)
        after = new_entries[0].parent_id if new_entries else record.head_id
        dumped = to_metadata(record)
        for _ in range(_ATTEMPTS):
            known = await held(self._reader(conversation_id))
            stored = record_in(known.info)
            if stored is not None and stored.revision == record.revision:  # by this call, before its answer was lost
                return
            _check(conversation_id, known, stored, expected_revision)
            entries = list(new_entries)
            if stored is None and after is not None:
                entries, after = [*await self._shared(conversation_id, after), *entries], None
            try:
                await commit(
                    self._memory.core.writer(conversation_id, record.scope, claim=record.scope is not None),
                    after and str(after),
                    to_stored(entries),
                    {**known.info.metadata, **dumped},
                    known.metadata,
                )
            except ConflictError:  # another writer, or another key of the metadata
                continue
            except NotFoundError:  # the entry to go on behind, or another user's session
                raise ConversationConflict(conversation_id) from None
            return
        raise UnavailableError("the metadata changes faster than the conversation can be saved: try again")

    async def _shared(self, conversation_id: str, head_id: str) -> list[ConversationEntry]:
        """Return the history of another conversation that a new one begins with."""
        try:
            return await self.read_history(head_id)
        except LookupError:
            raise ConversationConflict(conversation_id) from None

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Erase a conversation with all of its messages. Forks keep theirs. Two round trips.

        Raises:
            ConversationConflict: no record with this revision is stored. Nothing was erased.
            UnavailableError: the server did not confirm; you can repeat the call.
        """
        known = await held(self._reader(conversation_id))
        stored = record_in(known.info)
        if stored is None or stored.revision != expected_revision:
            raise ConversationConflict(conversation_id)
        try:
            await erase(self._memory.core.reader(conversation_id, known.info.user).session, known.metadata)
        except (ConflictError, NotFoundError):
            raise ConversationConflict(conversation_id) from None

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Return an entry. One round trip, or two for a request of several parts.

        Args:
            entry_id: the id of an entry that `save` stored, or an id that this store returned.

        Raises:
            KeyError: there is no such entry, or the id does not say which conversation holds it.
        """
        reader = self._reader_of(entry_id)
        entry = await entry_with(reader, entry_id)
        if entry is None:
            raise _missing(reader, entry_id)
        return entry

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """Return the entries up to one of them, oldest first, or the last of them.

        One round trip for each 1,000 messages, or 1 MB. If the entry is not on the active branch, the messages of all
        branches are read.

        Raises:
            KeyError: there is no such entry, or the id does not say which conversation holds it.
        """
        if head_id is None or limit == 0:
            return []
        reader = self._reader_of(head_id)
        try:
            found = await _history(reader, head_id, limit, all_branches=False)
        except BranchChangedError:
            found = []
        found = found or await _history(reader, head_id, limit, all_branches=True)
        if not found:
            raise _missing(reader, head_id)
        return found

    def _reader(self, conversation_id: str) -> Reader:
        return self._memory.core.reader(conversation_id)

    def _reader_of(self, entry_id: str) -> Reader:
        """Return what reads the conversation that holds an entry."""
        home = home_of(entry_id)
        if home is None:
            raise KeyError(f"{entry_id!r} does not say which conversation holds the entry: use load_entries")
        return self._reader(home)


def _missing(reader: Reader, entry_id: str) -> KeyError:
    return KeyError(f"conversation {reader.session.id!r} has no entry {str(entry_id)!r}")


async def _history(reader: Reader, head_id: str, limit: int | None, *, all_branches: bool) -> list[ConversationEntry]:
    """Return the entries up to one of them; none if it is not there.

    What the active branch shows before an entry is its history, whatever was removed from it since. Among the entries
    of all branches, each names the one before it.
    """
    found: list[ConversationEntry] = []
    wanted: str | None = head_id
    first = LARGEST_PAGE if limit is None else _PARTS_OF_ENTRY * limit
    async for entry_id, entry in newest_first(reader, first, all_branches=all_branches):
        is_next = entry_id == wanted or (wanted != head_id and not all_branches)
        if is_next and entry is None:
            wanted = None
        elif is_next and entry is not None:
            found.append(entry)
            wanted = entry.parent_id
            if wanted is None or len(found) == limit:
                break
    return found[::-1]


def _check(conversation_id: str, known: Held, stored: ConversationRecord | None, expected: str | None) -> None:
    is_new = stored is None and known.info.version == 0
    if not (is_new if expected is None else stored is not None and stored.revision == expected):
        raise ConversationConflict(conversation_id)


def _named(conversation_id: str, entries: Sequence[ConversationEntry]) -> list[ConversationEntry]:
    """Return new entries, with ids that say which conversation holds them."""
    names = {one.id: EntryId.of(f"{conversation_id}/{one.id}", conversation_id) for one in entries}
    parents = [one.parent_id and names.get(one.parent_id, one.parent_id) for one in entries]
    return [replace(one, id=names[one.id], parent_id=parent) for one, parent in zip(entries, parents, strict=True)]
