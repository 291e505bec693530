"""LlamaIndex's `AsyncDBChatStore`, for its `Memory`."""

from __future__ import annotations

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus
from pydantic import PrivateAttr

from chatmem.llama_index.chat import Chat, keys_of
from chatmem.repeats import Repeats
from chatmem.sessions import Memory, Sessions


class ChatmemDBChatStore(AsyncDBChatStore):
    """A chat store for LlamaIndex's `Memory`.

    Messages come back equal to what was added, blocks and `additional_kwargs` included. A key is a session of the
    memory, so LangChain, `memory.search` and `chatmem show` can read it. A session that another adapter wrote can be
    read here as far as it is text, reasoning, files, tool calls and their results.

    Every call is atomic, also those that archive or replace messages. If `add_messages` fails, you can repeat it on the
    same store, as the next change of this key: its messages are then stored once.

    With `user`, every method checks that the session is this user's, as `ChatMemory.history` does, and raises
    NotYoursError if it is not. Without it, nothing is checked.

    Example:
        >>> chat = Memory.from_defaults(session_id="chat-1", chat_store=ChatmemDBChatStore(memory, user="alice"))
    """

    _core: Sessions = PrivateAttr()
    _user: str | None = PrivateAttr()
    _repeats: Repeats = PrivateAttr()

    def __init__(self, memory: Memory, *, user: str | None = None) -> None:
        """Make a store. No round trip.

        Args:
            memory: the memory that `chatmem.connect` returned.
            user: the user that the sessions belong to.
        """
        super().__init__()
        self._core, self._user, self._repeats = memory.core, user, Repeats()

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = MessageStatus.ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[ChatMessage]:
        """Return messages, oldest first. Archived messages are not read with the active ones.

        One round trip for up to 100 active messages, and one for each 1,000 more.

        Args:
            key: the session's id.
            status: active or archived messages; None for all.
            limit: return at most this many.
            offset: leave out this many of the oldest.

        Raises:
            NotYoursError: the session does not belong to `user`.
            UnavailableError: the server did not answer.
            UnsupportedError: a message that another framework stored cannot be written as a `ChatMessage`.
        """
        messages = await self._chat(key).get(_archived(status))
        return messages[offset or 0 :][:limit]

    async def count_messages(self, key: str, status: MessageStatus | None = MessageStatus.ACTIVE) -> int:
        """Return the number of messages with a status. As many round trips as `get_messages`; one for `None`."""
        chat = self._chat(key)
        return await chat.count() if status is None else len(await chat.get(_archived(status)))

    async def add_message(self, key: str, message: ChatMessage, status: MessageStatus = MessageStatus.ACTIVE) -> None:
        """Append a message. One round trip; see `add_messages`."""
        await self.add_messages(key, [message], status)

    async def add_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Append messages, all or none. One round trip.

        Raises:
            EncodingError: a message holds a value that cannot be stored. Nothing was sent.
            NotYoursError: the session does not belong to `user`. Nothing was stored.
            UnavailableError: the server did not confirm; you can repeat the call on the same store.
        """
        await self._chat(key).add(messages, archived=_archived(status) is True)

    async def set_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Replace all messages, archived ones too, in one step. Two round trips, or more for long sessions."""
        await self._chat(key).set(messages, archived=_archived(status) is True)

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Remove one active message by its index in `get_messages(key)`; return it, or None if there is none."""
        return next(iter(await self._chat(key).remove(idx)), None)

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Remove the messages with a status, or the whole session."""
        archived = _archived(status)
        if archived is None:
            await self._chat(key).clear()
        else:
            await self._chat(key).remove(slice(None), archived=archived)

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Remove the oldest active messages in one step, and return them. Two round trips, or more for many."""
        return await self._chat(key).remove(slice(max(n, 0)))

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Archive the oldest active messages in one step, and return them. Two round trips, or more for many.

        Messages that a migration or another framework stored without an id get one first, in a round trip each.
        Archived messages stay where they are: LangChain and pages see them like any other.
        """
        return await self._chat(key).archive(n)

    async def get_keys(self) -> list[str]:
        """Return the ids of the user's sessions, or of all sessions.

        Without a user this looks at every key on the server (SCAN), so it is for maintenance only.
        """
        return await keys_of(self._core, self._user, blocking=False)

    @classmethod
    def class_name(cls) -> str:
        """Return the class name."""
        return "ChatmemDBChatStore"

    def _chat(self, key: str) -> Chat:
        return Chat(self._core, key, self._user, self._repeats, blocking=False)


def _archived(status: MessageStatus | None) -> bool | None:
    return None if status is None else status == MessageStatus.ARCHIVED
