"""What all drop-in classes share: they heed what subclasses override, and what callers assign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from chatmem.backends.connection import connection_to
from chatmem.langchain.base import StoredChatMessageHistory
from chatmem.transports.driving import drive


class Replacement(StoredChatMessageHistory):
    """The base of the drop-in classes. Each call looks up the attributes that say where the conversation is.

    The replaced classes have `add_message`, `messages` and `clear` of their own, and LangChain's base class builds all
    other methods on these. If a subclass overrides one of them, all others go through it, here too.
    """

    _client: Any = None
    """a client that the caller gave; None if there is only a URL"""

    @property
    def redis_client(self) -> Any:
        """Your client, else a blocking client for the URL, one for the whole process. Assign a client to use that."""
        return self._open_client() if self._client is None else self._client

    @redis_client.setter
    def redis_client(self, client: Any) -> None:
        self._use(connection_to(client=client))
        self._client = client

    def _open_client(self) -> Any:
        """Return the process's blocking client for the URL."""
        raise NotImplementedError  # with a client there is no URL

    def add_message(self, message: BaseMessage) -> None:
        """Append a message. One round trip."""
        drive(self._sync().append(message))

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages, all or none. One round trip, or none for an empty sequence."""
        if self._is_overridden("add_message", Replacement):
            BaseChatMessageHistory.add_messages(self, messages)
        elif messages:
            drive(self._sync().append(*messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages, all or none. One round trip, or none for an empty sequence."""
        if self._is_overridden("add_message", Replacement) or self._is_overridden("add_messages", Replacement):
            await BaseChatMessageHistory.aadd_messages(self, messages)
        elif messages:
            await self._async.append(*messages)
