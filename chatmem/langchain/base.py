"""The base class of `ChatMessageHistory` and of the drop-in classes: LangChain's methods over a message store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from chatmem.backends.connection import Connection
from chatmem.langchain.snapshots import Snapshots
from chatmem.transports.base import Transport
from chatmem.transports.driving import drive


class MessageStore(Protocol):
    """A stored conversation."""

    async def append(self, *messages: BaseMessage) -> Any:
        """Append messages, all or none."""
        ...

    async def messages(self) -> list[BaseMessage]:
        """Return the messages, oldest first."""
        ...

    async def clear(self) -> None:
        """Remove the conversation."""
        ...


class StoredChatMessageHistory(BaseChatMessageHistory):
    """A conversation with LangChain's methods, both the synchronous and the asynchronous ones.

    Synchronous methods use a blocking client, asynchronous ones an asyncio client. If the memory has only your client
    of `redis.asyncio`, synchronous methods raise ValueError; if it has your blocking client, asynchronous methods run
    that in worker threads.

    If a subclass overrides a synchronous method, the asynchronous one calls the override in a worker thread, as in
    LangChain's own base class.
    """

    def __init__(self, connection: Connection, store: Callable[[Transport], MessageStore]) -> None:
        """Open a conversation. No round trip.

        Args:
            connection: leads to the server.
            store: makes the message store over one of the connection's transports.
        """
        super().__init__()
        self._store = store
        self._snapshots = Snapshots()
        self._use(connection)

    def _use(self, connection: Connection) -> None:
        """Use this connection from now on."""
        self._connection = connection
        self._async = self._store(connection.asynchronous())

    def _sync(self) -> MessageStore:
        return self._store(self._connection.blocking())

    def _is_overridden(self, name: str, own: type[BaseChatMessageHistory]) -> bool:
        """Return whether a subclass overrides a method of this class."""
        return getattr(type(self), name) is not getattr(own, name)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # the base class has an attribute
        """The messages, oldest first. One round trip for each access."""
        frame = sys._getframe(1)
        snapshot = self._snapshots.of_exit(frame)
        return snapshot if snapshot is not None else self._snapshots.keep(frame, drive(self._sync().messages()))

    async def aget_messages(self) -> list[BaseMessage]:
        """Return the messages, oldest first. One round trip."""
        if self._is_overridden("messages", StoredChatMessageHistory):
            return await super().aget_messages()
        frame = sys._getframe(1)
        snapshot = self._snapshots.of_exit(frame)
        return snapshot if snapshot is not None else self._snapshots.keep(frame, await self._async.messages())

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages, all or none. One round trip, or none for an empty sequence."""
        if messages:
            drive(self._sync().append(*messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages, all or none. One round trip, or none for an empty sequence."""
        if self._is_overridden("add_messages", StoredChatMessageHistory):
            await super().aadd_messages(messages)
        elif messages:
            await self._async.append(*messages)

    def clear(self) -> None:
        """Remove the session. One round trip."""
        drive(self._sync().clear())

    async def aclear(self) -> None:
        """Remove the session. One round trip."""
        if self._is_overridden("clear", StoredChatMessageHistory):
            await super().aclear()
        else:
            await self._async.clear()
