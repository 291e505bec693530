"""A conversation under LangChain's names, the synchronous and the asynchronous ones both native."""

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


class Core(Protocol):
    """What a facade needs of a conversation."""

    async def append(self, *messages: BaseMessage) -> Any:
        """Append messages, all or none."""
        ...

    async def messages(self) -> list[BaseMessage]:
        """Return the messages, oldest first."""
        ...

    async def clear(self) -> None:
        """Remove the conversation."""
        ...


class Facade(BaseChatMessageHistory):
    """LangChain's names for a conversation. Making one costs no round trip.

    Synchronous names use a blocking client, asynchronous ones an asyncio client, both opened once for a connection.
    Where the connection is only a `redis.asyncio.Redis` of the caller's, synchronous names raise a ValueError.
    """

    def __init__(self, connection: Connection, core: Callable[[Transport], Core]) -> None:
        super().__init__()
        self._connection = connection
        self._core = core
        self._snapshots = Snapshots()
        self._async = core(connection.asynchronous())

    def _sync(self) -> Core:
        return self._core(self._connection.blocking())

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """The messages, oldest first. One round trip at every access."""
        frame = sys._getframe(1)
        snapshot = self._snapshots.of_exit(frame)
        return snapshot if snapshot is not None else self._snapshots.keep(frame, drive(self._sync().messages()))

    async def aget_messages(self) -> list[BaseMessage]:
        """Return the messages, oldest first. One round trip."""
        frame = sys._getframe(1)
        snapshot = self._snapshots.of_exit(frame)
        return snapshot if snapshot is not None else self._snapshots.keep(frame, await self._async.messages())

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages, all or none. One round trip, or none for none."""
        if messages:
            drive(self._sync().append(*messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages, all or none. One round trip, or none for none."""
        if messages:
            await self._async.append(*messages)

    def clear(self) -> None:
        """Remove the session. One round trip."""
        drive(self._sync().clear())

    async def aclear(self) -> None:
        """Remove the session. One round trip."""
        await self._async.clear()
