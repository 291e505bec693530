"""The conversation of a LangChain agent, kept in a memory: loaded before it runs, stored as it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, get_args

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import AgentState, PrivateStateAttr
from langgraph.runtime import Runtime

from chatmem import sync
from chatmem.langchain.state import StateHistory
from chatmem.memory import ChatMemory
from chatmem.window import StartOn

if TYPE_CHECKING:
    from chatmem.window import TokenCounter

Save = Literal["step", "end"]


class _State(AgentState[Any]):
    history_saved: NotRequired[Annotated[str | None, PrivateStateAttr]]


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
        self._history = StateHistory(
            memory, messages=messages, turns=turns, tokens=tokens, token_counter=token_counter, start_on=start_on
        )
        self._by_step = save == "step"

    def before_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any]:
        """Begin with the stored conversation. One round trip; two where what is new is stored at once."""
        return self._history.load(state, store=self._by_step)

    async def abefore_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any]:
        """Begin with the stored conversation. One round trip; two where what is new is stored at once."""
        return await self._history.aload(state, store=self._by_step)

    def before_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store the results of tools. One round trip, or none."""
        return self._history.save(state) if self._by_step else None

    async def abefore_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store the results of tools. One round trip, or none."""
        return await self._history.asave(state) if self._by_step else None

    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store what the model said. One round trip, or none."""
        return self._history.save(state) if self._by_step else None

    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store what the model said. One round trip, or none."""
        return await self._history.asave(state) if self._by_step else None

    def after_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store what is not stored yet. One round trip, or none."""
        return self._history.save(state)

    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store what is not stored yet. One round trip, or none."""
        return await self._history.asave(state)
