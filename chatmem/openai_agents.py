"""A session of OpenAI's Agents SDK on any server that chatmem knows. The SDK itself is not imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatmem.errors import UnsupportedError
from chatmem.history import History
from chatmem.memory import ChatMemory
from chatmem.openai_items import items_of, message_of

if TYPE_CHECKING:
    from agents import SessionSettings


class ChatmemSession:
    """A `Session` of the SDK: `Runner.run(agent, text, session=ChatmemSession(memory, "user-123"))`.

    Items come back exactly. They are stored as messages that say the same, so that LangChain can read the session; a
    session of LangChain's is read as items where it is text and tool calls, and is an UnsupportedError where not.
    """

    def __init__(
        self,
        memory: ChatMemory,
        session_id: str,
        *,
        user: str | None = None,
        session_settings: SessionSettings | None = None,
    ) -> None:
        """Open a session. No round trip.

        Args:
            memory: what `chatmem.connect` returned.
            session_id: any non-empty string, taken exactly.
            user: whose session it is; see `ChatMemory.history`.
            session_settings: the SDK's `SessionSettings`, whose limit `get_items` has by default.

        Raises:
            ValueError: the id or the user is empty or no string.
        """
        self._history: History = memory.history(session_id, user=user)
        self.session_id = session_id
        self.session_settings = session_settings

    def __repr__(self) -> str:
        return f"ChatmemSession({self.session_id!r})"

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """Return the items, oldest first. One round trip.

        Args:
            limit: only so many from the end; by default what the settings say, else all.

        Raises:
            UnavailableError: the server did not answer.
            UnsupportedError: a message, stored by other means, says what no item can.
        """
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        if limit is not None and limit <= 0:
            return []
        messages = await self._history.messages(last=limit)
        items = [item for message in messages for item in items_of(message)]
        return items if limit is None else items[-limit:]

    async def add_items(self, items: list[Any]) -> None:
        """Append items: all of them, or none; those whose id is stored already are left out. One round trip.

        Raises:
            EncodingError: an item holds what cannot be stored. Nothing was sent.
            UnavailableError: the server did not confirm.
            ValueError: a value is no item.
        """
        if items:
            await self._history.append(*map(message_of, items))

    async def pop_item(self) -> Any | None:
        """Remove the last item and return it; None where there is none. Two round trips, more where others pop too.

        Raises:
            UnavailableError: the server did not confirm.
            UnsupportedError: it is a message, stored by other means, that is no single item; it stays.
        """
        while True:
            page = await self._history.page(limit=1)
            if not page.entries:
                return None
            (entry,) = page.entries
            items = [] if entry.message is None else items_of(entry.message)
            if len(items) > 1:
                raise UnsupportedError("the last message is several items: remove it with History.delete")
            if (await self._history.delete(entry.seq)).count and items:
                return items[0]

    async def clear_session(self) -> None:
        """Remove the session. One round trip, two for a session of a user."""
        await self._history.clear()
