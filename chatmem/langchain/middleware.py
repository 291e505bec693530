"""The conversation of a LangChain agent, kept in a memory: loaded before it runs, stored as it goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, get_args

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import (
    AgentState,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
    PrivateStateAttr,
)
from langchain_core.messages import ToolMessage
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.runtime import Runtime
from langgraph.types import Command

from chatmem.core.window import StartOn
from chatmem.langgraph.state import StateHistory
from chatmem.sessions import Memory

if TYPE_CHECKING:
    from chatmem.core.window import TokenCounter

Save = Literal["step", "end"]


class _State(AgentState[Any]):
    history_saved: NotRequired[Annotated[dict[str, Any] | None, PrivateStateAttr]]


class HistoryMiddleware(AgentMiddleware[AgentState[Any], Any]):
    """Loads a session into an agent's state before it runs, and stores what it says: `create_agent(middleware=[...])`.

    What is stored is what the state holds: what another middleware changes after it was stored is written over, what it
    puts between is put between, and what it removes from the state stays. A model's answer is stored when its tools are
    to run or the run ends, so after all other hooks; put this middleware first, so that its own `after_agent` is last.

    The session is `session_id` of the run's context or of its `configurable`, else the `thread_id` there; its user is
    `user` of either, or whom LangGraph Platform authenticated, if there is one. With a checkpointer the memory stays
    what counts: each run begins with the window that it gives. An agent that runs inside another one's tool, and names
    no session of its own, keeps none.
    """

    state_schema = _State

    def __init__(
        self,
        memory: Memory,
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
            save: "step" stores each message before anything is done with it: what the model is sent before it is sent
                it, and its calls before the tools run. "end" stores all of a run when it ends well, so that a run that
                fails leaves nothing.
            messages: the limits of the window that the agent begins with; see `History.window`. None for all.
            turns: as above.
            tokens: as above.
            token_counter: as above.
            start_on: as above.

        Raises:
            ValueError: an argument is wrong. A run raises it where it names no session, or what names no user; and
                NotFoundError before anything is said where the session is not its user's.
        """
        super().__init__()
        if save not in get_args(Save):
            raise ValueError(f'save must be "step" or "end", not {save!r}')
        self._history = StateHistory(
            memory, messages=messages, turns=turns, tokens=tokens, token_counter=token_counter, start_on=start_on
        )
        self._by_step = save == "step"

    def before_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Begin with the stored conversation. One round trip."""
        return self._history.load(state)

    async def abefore_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Begin with the stored conversation. One round trip."""
        return await self._history.aload(state)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        """Store what the model is sent, which no other middleware changes any more. One round trip, or none."""
        update = self._history.save(request.state, later=not self._by_step, sent=True)
        with self._history.run().around():
            return _with(handler(request), update)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        """Store what the model is sent, which no other middleware changes any more. One round trip, or none."""
        update = await self._history.asave(request.state, later=not self._by_step, sent=True)
        with self._history.run().around():
            return _with(await handler(request), update)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Store the call before the tool runs. One round trip, or none."""
        if self._by_step:
            self._history.save(request.state)
        with self._history.run().around():
            return handler(request)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Store the call before the tool runs. One round trip, or none."""
        if self._by_step:
            await self._history.asave(request.state)
        with self._history.run().around():
            return await handler(request)

    def after_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store what is not stored yet. One round trip, or none."""
        return self._history.save(state)

    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store what is not stored yet. One round trip, or none."""
        return await self._history.asave(state)


def _with(
    response: ModelResponse[Any], update: dict[str, Any] | None
) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
    return response if update is None else ExtendedModelResponse(response, Command(update=update))
