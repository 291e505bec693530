"""How a model is asked: a chat model, a runnable, an agent, or a function."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from inspect import iscoroutinefunction, isgeneratorfunction
from typing import Any, TypeAlias

from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig

Model: TypeAlias = Runnable[Any, Any] | Callable[[list[BaseMessage]], AsyncIterable[Any]]


def check_model(model: object) -> None:
    """Check what can be known of a model before it is asked.

    Raises:
        ValueError: it can answer nothing, or remembers chats by itself.
    """
    yields = callable(model) and not iscoroutinefunction(model) and not isgeneratorfunction(model)
    if not isinstance(model, Runnable) and not yields:
        kinds = "a chat model, a runnable, an agent, or an async function of a list of messages that yields the answer"
        raise ValueError(f"model must be {kinds}, not {type(model).__name__}")
    if getattr(model, "checkpointer", None):
        raise ValueError("model must be an agent without a checkpointer: it gets the whole window with each question")


def ask(model: Model, window: list[BaseMessage], system: str | None, run: RunnableConfig) -> AsyncIterable[Any]:
    """Return what a model says: strings, chunks of messages, whole messages, or LangGraph's pairs of these.

    Args:
        model: the model.
        window: the end of the conversation.
        system: what to say before it; None for nothing.
        run: the configuration of the run.
    """
    if system is not None:
        window = [SystemMessage(system), *window]
    if not isinstance(model, Runnable):
        return model(window)
    if hasattr(model, "aget_state"):  # a graph of LangGraph's, whose input is a state
        return model.astream({"messages": window}, run, stream_mode="messages")
    return model.astream(window, run)
