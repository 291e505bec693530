"""Counts tokens: message by message where a counter allows that, otherwise list by list."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import langchain_core.prompt_values  # noqa: F401 - otherwise LangChain's counter imports it in a running event loop
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel

    Counter = Callable[[list[BaseMessage]], int] | Callable[[BaseMessage], int] | BaseLanguageModel[Any]
    TokenCounter = Counter | Literal["approximate"]

Count = Callable[[list[BaseMessage]], int]


def counter_of(given: TokenCounter) -> tuple[Count, bool]:
    """Return a function that counts the tokens of a list, and whether a list's count is the sum of its messages'.

    As in `trim_messages`, a function whose argument is annotated as `BaseMessage` counts one message.

    Raises:
        ValueError: `token_counter` is nothing that can count tokens.
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
    """Return how many of the last messages fit into so many tokens, and the number of their tokens."""
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
