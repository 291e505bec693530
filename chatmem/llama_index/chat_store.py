"""LlamaIndex's `BaseChatStore`, for its chat memory buffers."""

from __future__ import annotations

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base import BaseChatStore
from pydantic import PrivateAttr

from chatmem.llama_index.chat import Chat, keys_of
from chatmem.repeats import Repeats
from chatmem.sessions import Memory, Sessions
from chatmem.transports.driving import drive


class ChatmemChatStore(BaseChatStore):
    """A chat store for `ChatMemoryBuffer` and `ChatSummaryMemoryBuffer`, in the place of `RedisChatStore`.

    It has both synchronous and asynchronous methods, with the memory of either facade, and works like
    `ChatmemDBChatStore`.

    Example:
        >>> chat = ChatMemoryBuffer.from_defaults(chat_store=ChatmemChatStore(memory), chat_store_key="chat-1")
    """

    _core: Sessions = PrivateAttr()
    _user: str | None = PrivateAttr()
    _repeats: Repeats = PrivateAttr()

    def __init__(self, memory: Memory, *, user: str | None = None) -> None:
        """Make a store. No round trip.

        Args:
            memory: the memory that `chatmem.connect` or `chatmem.sync.connect` returned.
            user: the user that the sessions belong to.
        """
        super().__init__()
        self._core, self._user, self._repeats = memory.core, user, Repeats()

    @classmethod
    def class_name(cls) -> str:
        """Return the class name."""
        return "ChatmemChatStore"

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Replace all messages, in one step."""
        drive(self._chat(key).set(messages))

    async def aset_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Replace all messages, in one step."""
        await self._achat(key).set(messages)

    def get_messages(self, key: str) -> list[ChatMessage]:
        """Return the messages, oldest first."""
        return drive(self._chat(key).get())

    async def aget_messages(self, key: str) -> list[ChatMessage]:
        """Return the messages, oldest first."""
        return await self._achat(key).get()

    def add_message(self, key: str, message: ChatMessage, idx: int | None = None) -> None:
        """Append a message, or insert it at an index as a list does."""
        drive(_add(self._chat(key), message, idx))

    async def async_add_message(self, key: str, message: ChatMessage, idx: int | None = None) -> None:
        """Append a message, or insert it at an index as a list does."""
        await _add(self._achat(key), message, idx)

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        """Remove the session; return its messages, or None if there were none."""
        return drive(_delete_all(self._chat(key)))

    async def adelete_messages(self, key: str) -> list[ChatMessage] | None:
        """Remove the session; return its messages, or None if there were none."""
        return await _delete_all(self._achat(key))

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Remove a message by its index; return it, or None if there is none."""
        return next(iter(drive(self._chat(key).remove(idx))), None)

    async def adelete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Remove a message by its index; return it, or None if there is none."""
        return next(iter(await self._achat(key).remove(idx)), None)

    def delete_last_message(self, key: str) -> ChatMessage | None:
        """Remove the last message; return it, or None if there is none."""
        return next(iter(drive(self._chat(key).remove(slice(-1, None)))), None)

    async def adelete_last_message(self, key: str) -> ChatMessage | None:
        """Remove the last message; return it, or None if there is none."""
        return next(iter(await self._achat(key).remove(slice(-1, None))), None)

    def get_keys(self) -> list[str]:
        """Return the ids of the user's sessions, or of all sessions; see `ChatmemDBChatStore.get_keys`."""
        return drive(keys_of(self._core, self._user, blocking=True))

    async def aget_keys(self) -> list[str]:
        """Return the ids of the user's sessions, or of all sessions; see `ChatmemDBChatStore.get_keys`."""
        return await keys_of(self._core, self._user, blocking=False)

    def _chat(self, key: str) -> Chat:
        return Chat(self._core, key, self._user, self._repeats, blocking=True)

    def _achat(self, key: str) -> Chat:
        return Chat(self._core, key, self._user, self._repeats, blocking=False)


async def _add(chat: Chat, message: ChatMessage, index: int | None) -> None:
    await (chat.add([message]) if index is None else chat.insert(message, index))


async def _delete_all(chat: Chat) -> list[ChatMessage] | None:
    messages = await chat.get(None)
    await chat.clear()
    return messages or None
