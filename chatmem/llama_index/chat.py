"""What both chat stores do with the messages of one key, as coroutines for either facade."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, cast

from langchain_core.messages import BaseMessage
from llama_index.core.base.llms.types import ChatMessage

from chatmem.core.all_sessions import all_sessions
from chatmem.core.reader import LARGEST_PAGE
from chatmem.errors import ConflictError, UnavailableError
from chatmem.llama_index.messages import to_chat_message, to_message
from chatmem.model import Entry
from chatmem.repeats import Repeats
from chatmem.sessions import Sessions

_ATTEMPTS = 100
"""How often a change starts over because others wrote meanwhile."""
_FIRST_PAGE = 100
_ARCHIVED = "llama_index_archived"
"""The key in `additional_kwargs` of archived messages: a token of the call, and whether all in front is archived too.

The token makes what two calls write differ: a repeat of a write that is there already is no conflict.
"""


class _Stored(NamedTuple):
    """The messages of a key as they were at one version."""

    version: int
    messages: list[BaseMessage]
    without_id: list[Entry]
    """those that another framework, or a migration, stored without an id"""

    def of_status(self, archived: bool) -> list[BaseMessage]:
        """Return the archived messages, or the active ones."""
        return [one for one in self.messages if (_ARCHIVED in one.additional_kwargs) is archived]


class Chat:
    """The messages of one key."""

    def __init__(self, core: Sessions, key: str, user: str | None, repeats: Repeats, *, blocking: bool) -> None:
        self._history = core.history(key, user, blocking=blocking)
        self._writer = core.writer(key, user, blocking=blocking)
        self._reader = core.reader(key, user, blocking=blocking)
        self._key, self._repeats = key, repeats

    async def get(self, archived: bool | None = False) -> list[ChatMessage]:
        """Return the active messages, the archived ones, or both."""
        if archived is None:
            return [to_chat_message(message) for message in await self._history.messages()]
        return [to_chat_message(one) for one in (await self._read(archived=archived)).of_status(archived)]

    async def add(self, given: Sequence[ChatMessage], *, archived: bool = False) -> None:
        """Append messages, all or none."""
        with self._repeats.named(self._key, list(given)) as name:
            messages = _named(given, name, archived=archived)
            if messages:
                await self._history.append(*messages)

    async def insert(self, given: ChatMessage, index: int) -> None:
        """Insert a message before the active one with this index, as a list does."""
        with self._repeats.named(self._key, [given, index]) as name:
            for _ in range(_ATTEMPTS):
                stored = await self._to_change()
                behind = stored.of_status(archived=False)[index:]
                start = stored.messages.index(behind[0]) if behind else len(stored.messages)
                moved = stored.messages[start:]
                if await self._put([*_named([given], name), *moved], stored.version, removed=moved):
                    return
        raise self._gave_up()

    async def set(self, given: Sequence[ChatMessage], *, archived: bool = False) -> None:
        """Replace all messages, in one step."""
        with self._repeats.named(self._key, list(given)) as name:
            messages = _named(given, name, archived=archived)
            for _ in range(_ATTEMPTS):
                stored = await self._to_change(archived=True)
                if await self._put(messages, stored.version, removed=stored.messages):
                    return
        raise self._gave_up()

    async def archive(self, count: int) -> list[ChatMessage]:
        """Archive the oldest active messages, in one step, and return them."""
        for _ in range(_ATTEMPTS):
            stored = await self._to_change()
            oldest = stored.of_status(archived=False)[: max(count, 0)]
            # What is in front of the last of them is archived from now on, and later messages come behind it.
            token = secrets.token_urlsafe(6)
            marked = [_archived(one, token, with_all_before=one is oldest[-1]) for one in oldest]
            if not oldest or await self._put(marked, stored.version):
                return [to_chat_message(one) for one in oldest]
        raise self._gave_up()

    async def remove(self, chosen: slice | int, *, archived: bool = False) -> list[ChatMessage]:
        """Remove active or archived messages by their indexes among them, in one step, and return them."""
        for _ in range(_ATTEMPTS):
            stored = await self._to_change(archived=archived)
            found = stored.of_status(archived)
            gone = found[chosen] if isinstance(chosen, slice) else found[chosen : chosen + 1] if chosen >= 0 else []
            if not gone or await self._put([], stored.version, removed=gone):
                return [to_chat_message(one) for one in gone]
        raise self._gave_up()

    async def clear(self) -> None:
        """Remove the session."""
        await self._history.clear()

    async def count(self) -> int:
        """Return the number of all messages."""
        return await self._history.count()

    async def _read(self, *, archived: bool = False) -> _Stored:
        """Return all messages; without `archived`, at least those that are active, read from the end."""
        for _ in range(_ATTEMPTS):
            before, size, entries, version = None, _FIRST_PAGE, list[Any](), None
            while True:
                part = await self._reader.slice(None, before, size, newest=True, size=None)
                if version not in (None, part.page.version):
                    break
                version, entries = part.page.version, [*part.entries, *entries]
                marks = [one.message.additional_kwargs.get(_ARCHIVED) for one in part.entries if one.message]
                if not part.more or (not archived and any(mark[1] for mark in marks if mark)):
                    without_id = [one for one in entries if one.message is not None and one.id is None]
                    return _Stored(version, self._reader.decoder.readable(entries), without_id)
                before, size = part.page.first, min(4 * size, LARGEST_PAGE)
        raise self._gave_up()

    async def _to_change(self, *, archived: bool = False) -> _Stored:
        """Return what `_read` does, once all of these messages have ids, by which they can be moved and removed."""
        for _ in range(_ATTEMPTS):
            stored = await self._read(archived=archived)
            if not stored.without_id:
                return stored
            with suppress(ConflictError):  # somebody else wrote: read again
                version = stored.version
                for entry in stored.without_id:
                    named = cast("BaseMessage", entry.message).model_copy(update={"id": secrets.token_urlsafe(9)})
                    version = (await self._history.replace(entry.seq, named, expected_version=version)).version
        raise self._gave_up()

    async def _put(self, messages: Sequence[BaseMessage], version: int, *, removed: Sequence[BaseMessage] = ()) -> bool:
        """Remove messages and store others, in one step; return False if somebody else was faster."""
        parts, ids = await self._writer.encode(messages), [str(one.id) for one in removed]
        try:
            await self._writer.store(parts, removed=ids, expected_version=version, on_known_id="replace")
        except ConflictError:
            return False
        return True

    def _gave_up(self) -> UnavailableError:
        return UnavailableError("the session changes faster than it can be changed: try again", session=self._key)


def _named(given: Sequence[ChatMessage], name: str, *, archived: bool = False) -> list[BaseMessage]:
    """Return messages with ids that begin with a name."""
    messages = [to_message(one) for one in given]
    for number, message in enumerate(messages):
        message.id = f"{name}{number}"
    return [_archived(one, name) for one in messages] if archived else messages


def _archived(message: BaseMessage, token: str, *, with_all_before: bool = False) -> BaseMessage:
    mark = [token, with_all_before]
    return message.model_copy(update={"additional_kwargs": {**message.additional_kwargs, _ARCHIVED: mark}})


async def keys_of(core: Sessions, user: str | None, *, blocking: bool) -> list[str]:
    """Return the ids of a user's sessions; of all sessions, found by SCAN, for None."""
    if user is None:
        transport = core.transport(blocking=blocking)
        return [key async for key in all_sessions(transport, core.policy.prefix, "*")]
    return [info.session_id for info in await core.of_user(user, blocking=blocking).every()]
