"""A conversation as LangChain's `BaseChatMessageHistory`."""

from __future__ import annotations

from chatmem.connect import Connection
from chatmem.history import History
from chatmem.langchain.facade import Facade
from chatmem.policy import Policy


class ChatMessageHistory(Facade):
    """One conversation, as `memory.langchain(session_id)` returns it. Making one costs no round trip.

    Messages whose ids the session holds already are left out of an append.
    """

    def __init__(self, connection: Connection, policy: Policy, session_id: str, user: str | None = None) -> None:
        super().__init__(connection, lambda transport: History(transport, policy, session_id, user))
        self.session_id = session_id

    def __repr__(self) -> str:
        return f"ChatMessageHistory({self.session_id!r})"
