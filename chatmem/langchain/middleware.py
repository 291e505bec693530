"""Middleware for LangChain agents: loads the conversation before a run, and stores what is new as the run goes on."""

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
    """Loads a session before an agent runs, and stores what the agent says: `create_agent(..., middleware=[...])`.

    The memory stores what the agent's state holds, whatever other middleware made of it:

    - A message that another middleware changed after it was stored replaces the stored one.
    - A message that another middleware inserted is inserted.
    - A message that another middleware removed from the state stays in the memory.
    - A summary that SummarizationMiddleware put in place of messages is stored as `History.summarize` does, in one more
      round trip. The next run begins with it. If a newer summary was stored meanwhile, that one stays.

    A model's answer is stored when its tools are about to run, or when the run ends, so after all other hooks. Put this
    middleware first, so that its own `after_agent` runs last.

    The session is `session_id` of the run's context or of its `configurable`, else the `thread_id` there. The user is
    `user` of either, or the one whom LangGraph Platform authenticated. With a user, each run checks that the session
    is the user's, as `ChatMemory.history` does; without one, nothing is checked.

    The memory is authoritative: if the agent has a checkpointer, the memory's window replaces the messages of its
    checkpoint when a run begins.

    An agent that runs inside a tool of another agent, and names no session of its own, stores nothing.

    Runs raise NotYoursError if the session is not the user's, before anything is sent to the model; UnavailableError
    if the server does not confirm; and ValueError if the run names no session, or its session or user is not an id.

    Example:
        >>> agent = create_agent(model, tools, middleware=[HistoryMiddleware(memory, tokens=4000)])
        >>> config = {"configurable": {"session_id": "chat-1", "user": "alice"}}
        >>> await agent.ainvoke({"messages": [("human", "Hello")]}, config)
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
        """Make the middleware. No round trip.

        Args:
            memory: the `ChatMemory` of either facade. Both serve synchronous and asynchronous runs.
            save: "step" stores each message before it is used: the input before the model is called, and tool calls
                before the tools run. "end" stores all messages when the run ends, so a run that fails stores nothing.
            messages: begin with at most this many messages; None for no limit. See `History.window` for this and the
                other limits.
            turns: begin with at most this many turns.
            tokens: begin with at most this many tokens.
            token_counter: how to count tokens.
            start_on: the kind of message that the loaded window must begin with.

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

    def before_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Load the stored conversation. One round trip."""
        return self._history.load(state)

    async def abefore_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Load the stored conversation. One round trip."""
        return await self._history.aload(state)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        """Store what the model is sent, after all other middleware. One round trip, or none if nothing has changed."""
        update = self._history.save(request.state, defer=not self._by_step, sent=True)
        with self._history.run().enclosing():
            return _with(handler(request), update)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
        """Store what the model is sent, after all other middleware. One round trip, or none if nothing has changed."""
        update = await self._history.asave(request.state, defer=not self._by_step, sent=True)
        with self._history.run().enclosing():
            return _with(await handler(request), update)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Store the tool call before the tool runs. One round trip, or none if nothing has changed."""
        if self._by_step:
            self._history.save(request.state)
        with self._history.run().enclosing():
            return handler(request)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Store the tool call before the tool runs. One round trip, or none if nothing has changed."""
        if self._by_step:
            await self._history.asave(request.state)
        with self._history.run().enclosing():
            return await handler(request)

    def after_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store what is not stored yet. One round trip, or none if nothing has changed."""
        return self._history.save(state)

    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Store what is not stored yet. One round trip, or none if nothing has changed."""
        return await self._history.asave(state)


def _with(
    response: ModelResponse[Any], update: dict[str, Any] | None
) -> ModelResponse[Any] | ExtendedModelResponse[Any]:
    return response if update is None else ExtendedModelResponse(response, Command(update=update))
