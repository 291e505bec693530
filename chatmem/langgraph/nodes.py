"""Two nodes for a LangGraph `StateGraph`: one loads the conversation, the other stores what is new in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypedDict

from langchain_core.messages import AnyMessage
from langchain_core.runnables import Runnable, RunnableConfig

from chatmem.core.window import StartOn
from chatmem.langgraph.state import StateHistory
from chatmem.sessions import Memory

if TYPE_CHECKING:
    from chatmem.core.window import TokenCounter

__all__ = ["HistoryNodes"]

_Update = dict[str, Any] | None


def _latest(before: dict[str, Any] | None, after: dict[str, Any] | None) -> dict[str, Any] | None:
    """Reduce the updates of several nodes in one step to the last: all of them saw the same state."""
    return after


class _State(TypedDict):
    """The part of a graph's state that the nodes see. LangGraph adds `history_saved`, which no other node sees."""

    messages: list[AnyMessage]
    history_saved: NotRequired[Annotated[dict[str, Any] | None, _latest]]


class _Node(Runnable[_State, _Update]):
    def __init__(
        self,
        name: str,
        blocking: Callable[[_State], _Update],
        asynchronous: Callable[[_State], Awaitable[_Update]],
    ) -> None:
        self.name = name
        self._blocking = blocking
        self._asynchronous = asynchronous

    def __call__(self, state: _State) -> _Update:  # LangGraph reads the node's schema from this annotation
        return self.invoke(state)

    def invoke(self, input: _State, config: RunnableConfig | None = None, **kwargs: Any) -> _Update:  # noqa: A002
        return self._blocking(input)

    async def ainvoke(self, input: _State, config: RunnableConfig | None = None, **kwargs: Any) -> _Update:  # noqa: A002
        return await self._asynchronous(input)


class HistoryNodes:
    """The nodes `load` and `save`, for a graph whose `messages` have the reducer `add_messages`, as in `MessagesState`.

    Put `load` first: it sets the state's messages to the stored conversation, followed by what is new in the state. Put
    `save` after each node whose messages must be stored at once, or once at the end. It stores what has changed since
    the last `save`:

    - A message that a node changed replaces the stored one.
    - A message that a node inserted is inserted.
    - A message that a node removed from the state stays in the memory.
    - A summary that a node put in place of messages, marked as LangChain marks its own, is stored as
      `History.summarize` does, in one more round trip. The next run begins with it. If a newer summary was stored
      meanwhile, that one stays.

    Each message is stored once, even if the run is interrupted or repeated after an error.

    The session is `session_id` of the run's context or of its `configurable`, else the `thread_id` there. The user is
    `user` of either, or the one whom LangGraph Platform authenticated. With a user, the nodes check that the session
    is the user's, as `ChatMemory.history` does; without one, they check nothing.

    The memory is authoritative: if the graph has a checkpointer, `load` replaces the messages of its checkpoint by the
    memory's window.

    The nodes raise NotYoursError if the session is not the user's, UnavailableError if the server does not confirm, and
    ValueError if the run names no session, its session or user is not an id, or the state's messages have no ids.

    Example:
        >>> history = HistoryNodes(memory, tokens=4000)
        >>> graph = StateGraph(MessagesState)
        >>> graph.add_node("load", history.load)
        >>> graph.add_node("model", call_model)
        >>> graph.add_node("save", history.save)
        >>> graph.add_edge(START, "load")
        >>> graph.add_edge("load", "model")
        >>> graph.add_edge("model", "save")
        >>> config = {"configurable": {"session_id": "chat-1", "user": "alice"}}
        >>> await graph.compile().ainvoke({"messages": [("human", "Hello")]}, config)

    Attributes:
        load: the node that loads, for `invoke` and `ainvoke`. One round trip.
        save: the node that stores, for `invoke` and `ainvoke`. One round trip, or none if nothing has changed.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        messages: int | None = None,
        turns: int | None = None,
        tokens: int | None = None,
        token_counter: TokenCounter = "approximate",
        start_on: StartOn = "human",
    ) -> None:
        """Make the nodes. No round trip.

        Args:
            memory: the `ChatMemory` of either facade. Both serve synchronous and asynchronous runs.
            messages: load at most this many messages; None for no limit. See `History.window` for this and the
                other limits.
            turns: load at most this many turns.
            tokens: load at most this many tokens.
            token_counter: how to count tokens.
            start_on: the kind of message that the loaded window must begin with.

        Raises:
            ValueError: an argument is wrong.
        """
        history = StateHistory(
            memory, messages=messages, turns=turns, tokens=tokens, token_counter=token_counter, start_on=start_on
        )
        load, aload = partial(history.load, open_end=True), partial(history.aload, open_end=True)
        self.load = _Node("load_history", load, aload)
        self.save = _Node("save_history", history.save, history.asave)
