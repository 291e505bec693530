"""A conversation as LangChain's `BaseChatMessageHistory`, for `RunnableWithMessageHistory`."""

from __future__ import annotations

from langchain_core.messages import BaseMessage

from chatmem.history import History
from chatmem.langchain.base import StoredChatMessageHistory
from chatmem.model import Appended
from chatmem.sessions import Sessions


class _KeepAll:
    """A message store that also keeps messages whose id is stored already with other content.

    LangChain's own classes know no ids, and some gateways number messages anew in each response.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self.messages, self.clear = history.messages, history.clear

    async def append(self, *messages: BaseMessage) -> Appended:
        """Append messages, all or none."""
        return await self._history.append(*messages, on_known_id="add")


class ChatMessageHistory(StoredChatMessageHistory):
    """One conversation, as `ChatMemory.langchain` returns it: `RunnableWithMessageHistory(chain, memory.langchain)`.

    A message whose id and content are stored already is not stored again. A message with a known id and other content
    is stored as a new message.

    With `user`, every method checks that the session is this user's, as `ChatMemory.history` does, and raises
    NotYoursError if it is not. Without it, nothing is checked.

    Example:
        >>> chain = RunnableWithMessageHistory(prompt | model, memory.langchain)
        >>> await chain.ainvoke([HumanMessage("Hello")], {"configurable": {"session_id": "chat-1"}})

    Attributes:
        session_id: the id of the conversation.
    """

    def __init__(self, core: Sessions, session_id: str, user: str | None = None) -> None:
        """Open a conversation. No round trip.

        Args:
            core: the sessions of a memory, `ChatMemory.core`.
            session_id: any non-empty string, taken exactly.
            user: the user that the conversation belongs to; see `ChatMemory.history`.

        Raises:
            ValueError: the id or the user is empty or not a string.
        """
        super().__init__(core.connection, lambda transport: _KeepAll(History(transport, core.policy, session_id, user)))
        self.session_id = session_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session_id!r})"
