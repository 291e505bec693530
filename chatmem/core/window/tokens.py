"""Counts tokens: message by message where a counter allows that, otherwise list by list."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Real
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

    As in `trim_messages`, a function whose first parameter is annotated as `BaseMessage` counts one message.

    Raises:
        ValueError: `token_counter` is nothing that can count tokens.
    """
    count: Any = given
    if count is count_tokens_approximately or (isinstance(given, str) and given == "approximate"):
        return count_tokens_approximately, True
    if hasattr(count, "get_num_tokens_from_messages"):
        return _checked(count.get_num_tokens_from_messages), False
    if not callable(count):
        raise ValueError('token_counter must be a chat model, a function or "approximate"')
    if _counts_one(count):
        return _checked(lambda messages: sum(map(count, messages))), True
    return _checked(count), False


def _counts_one(count: Callable[..., Any]) -> bool:
    try:
        first = next(iter(inspect.signature(count).parameters.values()), None)
    except (ValueError, TypeError):  # a function of C may have no signature
        return False
    annotation = None if first is None else first.annotation
    if isinstance(annotation, str):  # as `from __future__ import annotations` leaves it
        return annotation.strip("'\"").rpartition(".")[2] == BaseMessage.__name__
    return annotation is BaseMessage


def _checked(count: Callable[..., Any]) -> Count:
    """Return a function that gives the caller's counter a list of its own, and checks what it returns."""

    def checked(messages: list[BaseMessage]) -> int:
        total = count(messages.copy())
        if isinstance(total, Real) and float(total) >= 0:
            return total  # type: ignore[return-value]  # a counter that estimates may return a float
        if inspect.iscoroutine(total):
            total.close()
            raise ValueError("token_counter must return a number of tokens, but it is async: pass one that is not")
        raise ValueError(f"token_counter must return a number of tokens from 0 on, not {total!r:.40}")

    return checked


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
