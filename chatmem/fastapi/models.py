"""How a model is asked: a chat model, a runnable, an agent, or a function."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, Protocol, TypeAlias

from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.runnables import RunnableConfig


class Streams(Protocol):
    """A chat model, a runnable over messages, or an agent of LangChain's `create_agent`."""

    def astream(self, input: Any, config: RunnableConfig | None = None, /, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: A002 - its name in LangChain
        """Stream an answer."""
        ...


Model: TypeAlias = Streams | Callable[[list[BaseMessage]], AsyncIterable[Any]]


def check_model(model: object) -> None:
    """Check what can be known of a model before it is asked.

    Raises:
        ValueError: it can answer nothing, or remembers chats by itself.
    """
    if not hasattr(model, "astream") and not callable(model):
        what = "with astream (a chat model, a runnable, an agent), or an async function of a list of messages"
        raise ValueError(f"model must be something {what}, not {type(model).__name__}")
    if getattr(model, "checkpointer", None):
        raise ValueError("model must be an agent without a checkpointer: it gets the whole window with each question")


def ask(model: Model, window: list[BaseMessage], system: str | None, config: RunnableConfig) -> AsyncIterable[Any]:
    """Return what a model says: strings, chunks of messages, whole messages, or LangGraph's pairs of these.

    Args:
        model: the model.
        window: the end of the conversation.
        system: what to say before it, in place of a stored system message; None for nothing.
        config: the configuration of the run.
    """
    if system is not None:
        stored = 1 if window and window[0].type == "system" else 0
        window = [SystemMessage(system), *window[stored:]]
    if not hasattr(model, "astream"):
        return model(window)
    if hasattr(model, "aget_state"):  # a graph of LangGraph's, whose input is a state
        return model.astream({"messages": window}, config, stream_mode="messages")
    return model.astream(window, config)
