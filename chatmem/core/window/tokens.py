"""Counting tokens: each message by itself where that is the same, else what a model or a function says of a list."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import langchain_core.prompt_values  # noqa: F401 - LangChain's counter imports it on first use, which is in the loop
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel

    Counter = Callable[[list[BaseMessage]], int] | Callable[[BaseMessage], int] | BaseLanguageModel[Any]
    TokenCounter = Counter | Literal["approximate"]

Count = Callable[[list[BaseMessage]], int]


def counter_of(given: TokenCounter) -> tuple[Count, bool]:
    """Return how to count the tokens of a list, and whether that is the sum of those of its messages.

    As `trim_messages` reads its argument: a function whose only argument is annotated as a message counts one.

    Raises:
        ValueError: it cannot count.
    """
    count: Any = given
    if count is count_tokens_approximately or (isinstance(given, str) and given == "approximate"):
        return count_tokens_approximately, True
    if hasattr(count, "get_num_tokens_from_messages"):
        return count.get_num_tokens_from_messages, False
    if not callable(count):
        raise ValueError('token_counter must be a chat model, a function or "approximate"')
    first = next(iter(inspect.signature(count).parameters.values()), None)
    if first is not None and first.annotation is BaseMessage:
        return lambda messages: sum(map(count, messages)), True
    return count, False


def last_within(messages: list[BaseMessage], tokens: int, count: Count) -> tuple[int, int]:
    """Return how many of the last messages have at most so many tokens, and how many they have."""
    total = count(messages)
    if total <= tokens:
        return len(messages), total
    total = 0
    for taken, message in enumerate(reversed(messages)):
        more = count([message])
        if total + more > tokens:
            return taken, total
        total += more
    return len(messages), total
