"""Two nodes for a LangGraph `StateGraph`: one loads the conversation, the other stores what is new in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypedDict

from langchain_core.messages import AnyMessage
from langchain_core.runnables import Runnable, RunnableConfig

from chatmem.core.window import StartOn
from chatmem.extras import needed
from chatmem.sessions import Memory

with needed("graphs need", "langgraph", "langgraph"):
    from chatmem.langgraph.state import StateHistory

if TYPE_CHECKING:
    from chatmem.core.window import TokenCounter

__all__ = ["HistoryNodes"]

_Update = dict[str, Any] | None


def _latest(before: dict[str, Any] | None, after: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what the last of several nodes in one step says: they saw the same state."""
    return after


class _State(TypedDict):
    """What the nodes see of a graph's state. LangGraph adds `history_saved` to it, for no other node to see."""

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

    def __call__(self, state: _State) -> _Update:  # LangGraph reads the node's schema off its annotation
        return self.invoke(state)

    def invoke(self, input: _State, config: RunnableConfig | None = None, **kwargs: Any) -> _Update:  # noqa: A002
        return self._blocking(input)

    async def ainvoke(self, input: _State, config: RunnableConfig | None = None, **kwargs: Any) -> _Update:  # noqa: A002
        return await self._asynchronous(input)


class HistoryNodes:
    """The nodes `load` and `save` for a graph whose `messages` have the reducer `add_messages`, as in `MessagesState`.

    `load` makes the state's messages the stored conversation and behind it what is new in the state; put it first.
    `save` stores what differs since: put it behind every node whose messages are to be stored as soon as they are
    there, or once at the end. What a node changes after it was stored is written over by the next `save`, what it puts
    between is put between, and what it removes from the state stays. Each message is stored once, after an interrupt
    and after an error too.

    The session is `session_id` of the run's context or of its `configurable`, else the `thread_id` there; its user is
    `user` of either, or whom LangGraph Platform authenticated, if there is one. With a checkpointer the memory stays
    what counts: each run that comes to `load` goes on from the window that it gives.

    Attributes:
        load: a node for `invoke` and `ainvoke`. One round trip.
        save: a node for `invoke` and `ainvoke`. One round trip, or none where nothing is new.
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
        """Take a memory.

        Args:
            memory: either facade's; runs may be synchronous and asynchronous.
            messages: the limits of the window that `load` gives; see `History.window`. None for all.
            turns: as above.
            tokens: as above.
            token_counter: as above.
            start_on: as above.

        Raises:
            ValueError: an argument is wrong. The nodes raise it where a run names no session, or what names no user, or
                messages have no ids; and NotFoundError where the session is not the run's user's.
        """
        history = StateHistory(
            memory, messages=messages, turns=turns, tokens=tokens, token_counter=token_counter, start_on=start_on
        )
        load, aload = partial(history.load, open_end=True), partial(history.aload, open_end=True)
        self.load = _Node("load_history", load, aload)
        self.save = _Node("save_history", history.save, history.asave)
