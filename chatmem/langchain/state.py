"""A conversation in the state of an agent or a graph: begun from a memory, stored as it goes on.

Each message is stored once, whatever the state already holds: it is known by its id, and the state says how far the
conversation is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.messages import BaseMessage, RemoveMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_config
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.runtime import get_runtime

from chatmem import sync
from chatmem.history import History
from chatmem.memory import ChatMemory
from chatmem.transports.blocking import drive
from chatmem.window import StartOn, Window

if TYPE_CHECKING:
    from chatmem.window import TokenCounter

SAVED = "history_saved"
"""The key of the state that holds the id of the last message that is stored, or None."""
_LOADED = "chatmem-stored-"
"""How the ids begin that stored messages without one get in a state."""


class StateHistory:
    """Loads the session of the run under way into its state, and stores what is new there."""

    def __init__(
        self,
        memory: ChatMemory | sync.ChatMemory,
        *,
        messages: int | None,
        turns: int | None,
        tokens: int | None,
        token_counter: TokenCounter,
        start_on: StartOn,
    ) -> None:
        limits = {"messages": messages, "turns": turns, "tokens": tokens}
        self._window: dict[str, Any] = {**limits, "token_counter": token_counter, "start_on": start_on}
        Window(**self._window)
        self._memory = memory

    def load(self, state: Mapping[str, Any], *, store: bool) -> dict[str, Any]:
        """Return the update that begins with the stored conversation; with `store`, what is new is stored at once."""
        return drive(self._load(self._blocking(), state, store))

    async def aload(self, state: Mapping[str, Any], *, store: bool) -> dict[str, Any]:
        """Return the update that begins with the stored conversation; with `store`, what is new is stored at once."""
        return await self._load(self._asynchronous(), state, store)

    def save(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        """Store what is not stored yet, and return the update that says so; None where there was nothing."""
        return drive(self._save(self._blocking(), state))

    async def asave(self, state: Mapping[str, Any]) -> dict[str, Any] | None:
        """Store what is not stored yet, and return the update that says so; None where there was nothing."""
        return await self._save(self._asynchronous(), state)

    def _blocking(self) -> History:
        return History(self._memory._connection.blocking(), self._memory._policy, *_whose())

    def _asynchronous(self) -> History:
        return History(self._memory._connection.asynchronous(), self._memory._policy, *_whose())

    async def _load(self, history: History, state: Mapping[str, Any], store: bool) -> dict[str, Any]:
        window = [_identified(message) for message in await history.window(**self._window)]
        known = {message.id for message in window}
        new = [message for message in _unsaved(state) if message.id not in known]
        if store and new:
            await history.append(*new)
        stored = [*window, *new] if store else window
        messages: list[BaseMessage] = [RemoveMessage(id=REMOVE_ALL_MESSAGES), *window, *new]
        _mark_as_seen(messages)
        return {"messages": messages, SAVED: stored[-1].id if stored else None}

    async def _save(self, history: History, state: Mapping[str, Any]) -> dict[str, Any] | None:
        new = _unsaved(state)
        if not new:
            return None
        await history.append(*new)
        return {SAVED: new[-1].id}


def _unsaved(state: Mapping[str, Any]) -> list[BaseMessage]:
    messages, saved = state["messages"], state.get(SAVED)
    if any(isinstance(message, RemoveMessage) or not getattr(message, "id", None) for message in messages):
        raise ValueError("the state's messages need the reducer add_messages, which gives them ids: see MessagesState")
    for index in range(len(messages) - 1, -1, -1):
        if saved is not None and messages[index].id == saved:
            return list(messages[index + 1 :])
    # nothing is stored, or another step removed what was: then ids tell
    return [message for message in messages if not (message.id or "").startswith(_LOADED)]


def _identified(message: BaseMessage) -> BaseMessage:
    """Return a stored message with an id, as a state needs it."""
    return message if message.id else message.model_copy(update={"id": f"{_LOADED}{uuid4()}"})


def _mark_as_seen(messages: list[BaseMessage]) -> None:
    """Keep loaded messages out of `stream_mode="messages"`: it leaves out what a run of the node's name was given."""
    name = get_config().get("metadata", {}).get("langgraph_node")
    nothing: RunnableLambda[dict[str, Any], None] = RunnableLambda(lambda given: None, name=name)
    nothing.invoke({"messages": messages})


def _whose() -> tuple[str, str | None]:
    """Return the run's session and user."""
    context = get_runtime().context
    configurable: Mapping[str, Any] = get_config().get("configurable", {})
    session = _value(context, "session_id") or configurable.get("session_id") or configurable.get("thread_id")
    if not session:
        raise ValueError('say which session it is: invoke(..., {"configurable": {"session_id": "..."}})')
    return str(session), _value(context, "user") or configurable.get("user")


def _value(context: Any, name: str) -> Any:
    return context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)
