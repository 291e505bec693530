"""A conversation as LangChain's `BaseChatMessageHistory`."""

from __future__ import annotations

from langchain_core.messages import BaseMessage

from chatmem.history import History
from chatmem.langchain.facade import Facade
from chatmem.model import Appended
from chatmem.sessions import Sessions


class _Adding:
    """A history that stores every message: one with a known id and other content is one more message."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.messages, self.clear = history.messages, history.clear

    async def append(self, *messages: BaseMessage) -> Appended:
        """Append messages, all or none."""
        return await self._history.append(*messages, on_known_id="add")


class ChatMessageHistory(Facade):
    """One conversation, as `memory.langchain(session_id)` returns it. Making one costs no round trip.

    A message that the session holds already, with the same id and the same content, is left out of an append. With the
    same id and other content it is stored as one more message.
    """

    def __init__(self, core: Sessions, session_id: str, user: str | None = None) -> None:
        super().__init__(core.connection, lambda transport: _Adding(History(transport, core.policy, session_id, user)))
        self.session_id = session_id

    def __repr__(self) -> str:
        return f"ChatMessageHistory({self.session_id!r})"
