"""The conversation of a LangChain agent, kept in a memory: loaded before it runs, stored as it goes on.

Each message is stored once, whatever the agent's state already holds: it is known by its id, and the state says how far
the conversation is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, cast, get_args
from uuid import uuid4

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import AgentState, PrivateStateAttr
from langchain_core.messages import AnyMessage, BaseMessage, RemoveMessage
from langgraph.config import get_config
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.runtime import Runtime

from chatmem import sync
from chatmem.history import History
from chatmem.memory import ChatMemory
from chatmem.transports.blocking import drive
from chatmem.window import StartOn, Window

if TYPE_CHECKING:
    from chatmem.window import TokenCounter

_LOADED = "chatmem-stored-"
"""How the ids begin that stored messages without one get in an agent's state."""

Save = Literal["step", "end"]


class _State(AgentState[Any]):
    history_saved: NotRequired[Annotated[str | None, PrivateStateAttr]]
    """the id of the last message that is stored"""


class HistoryMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Loads a session into an agent's state before it runs, and stores what it says: `create_agent(middleware=[...])`.

    The session is `session_id` of the run's context or of its `configurable`, else the `thread_id` there; its user is
    `user` of either, if there is one. Put it first among the middleware, so that it stores what the others made of a
    message. With a checkpointer the memory stays what counts: each run begins with the window that it gives.
    """

    state_schema = _State

    def __init__(
        self,
        memory: ChatMemory | sync.ChatMemory,
        *,
        save: Save = "step",
        messages: int | None = None,
        turns: int | None = None,
        tokens: int | None = None,
        token_counter: TokenCounter = "approximate",
        start_on: StartOn = "human",
    ) -> None:
        """Take a memory.

        Args:
            memory: either facade's; runs may be synchronous and asynchronous.
            save: "step" stores each message as soon as it is there, "end" all of a run when it ends well, so that a run
                that fails leaves nothing.
            messages: the limits of the window that the agent begins with; see `History.window`. None for all.
            turns: as above.
            tokens: as above.
            token_counter: as above.
            start_on: as above.

        Raises:
            ValueError: an argument is wrong.
        """
        super().__init__()
        if save not in get_args(Save):
            raise ValueError(f'save must be "step" or "end", not {save!r}')
        limits = {"messages": messages, "turns": turns, "tokens": tokens}
        self._window: dict[str, Any] = {**limits, "token_counter": token_counter, "start_on": start_on}
        Window(**self._window)
        self._memory = memory
        self._by_step = save == "step"

    def before_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any]:
        """Begin with the stored conversation. One round trip; two where what is new is stored at once."""
        return drive(self._begin(self._blocking(runtime), state))

    async def abefore_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any]:
        """Begin with the stored conversation. One round trip; two where what is new is stored at once."""
        return await self._begin(self._asynchronous(runtime), state)

    def before_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store the results of tools. One round trip, or none."""
        return drive(self._save(self._blocking(runtime), state)) if self._by_step else None

    async def abefore_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store the results of tools. One round trip, or none."""
        return await self._save(self._asynchronous(runtime), state) if self._by_step else None

    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store what the model said. One round trip, or none."""
        return drive(self._save(self._blocking(runtime), state)) if self._by_step else None

    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store what the model said. One round trip, or none."""
        return await self._save(self._asynchronous(runtime), state) if self._by_step else None

    def after_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store what is not stored yet. One round trip, or none."""
        return drive(self._save(self._blocking(runtime), state))

    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store what is not stored yet. One round trip, or none."""
        return await self._save(self._asynchronous(runtime), state)

    def _blocking(self, runtime: Runtime[Any]) -> History:
        return History(self._memory._connection.blocking(), self._memory._policy, *_whose(runtime))

    def _asynchronous(self, runtime: Runtime[Any]) -> History:
        return History(self._memory._connection.asynchronous(), self._memory._policy, *_whose(runtime))

    async def _begin(self, history: History, state: AgentState[Any]) -> dict[str, Any]:
        window = [_identified(message) for message in await history.window(**self._window)]
        known = {message.id for message in window}
        new = [message for message in _unsaved(state) if message.id not in known]
        if self._by_step and new:
            await history.append(*new)
        stored = [*window, *new] if self._by_step else window
        update: Sequence[BaseMessage] = [RemoveMessage(id=REMOVE_ALL_MESSAGES), *window, *new]
        return {"messages": update, "history_saved": stored[-1].id if stored else None}

    async def _save(self, history: History, state: AgentState[Any]) -> dict[str, Any] | None:
        new = _unsaved(state)
        if not new:
            return None
        await history.append(*new)
        return {"history_saved": new[-1].id}


def _unsaved(state: AgentState[Any]) -> list[AnyMessage]:
    messages, saved = state["messages"], cast(_State, state).get("history_saved")
    for index in range(len(messages) - 1, -1, -1):
        if saved is not None and messages[index].id == saved:
            return messages[index + 1 :]
    # nothing is stored, or another middleware removed what was: then ids tell
    return [message for message in messages if not (message.id or "").startswith(_LOADED)]


def _identified(message: BaseMessage) -> BaseMessage:
    """Return a stored message with an id, as an agent's state needs it."""
    return message if message.id else message.model_copy(update={"id": f"{_LOADED}{uuid4()}"})


def _whose(runtime: Runtime[Any]) -> tuple[str, str | None]:
    """Return the run's session and user."""
    configurable: Mapping[str, Any] = get_config().get("configurable", {})
    session = _value(runtime.context, "session_id") or configurable.get("session_id") or configurable.get("thread_id")
    if not session:
        raise ValueError('say which session it is: invoke(..., {"configurable": {"session_id": "..."}})')
    return str(session), _value(runtime.context, "user") or configurable.get("user")


def _value(context: Any, name: str) -> Any:
    return context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)
