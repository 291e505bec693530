"""Which of the last messages a model may be sent: within limits, and no half of a tool exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, FunctionMessage, HumanMessage, ToolMessage, trim_messages
from langchain_core.messages.utils import count_tokens_approximately

from chatmem.policy import check_count

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel

    Counter = Callable[[list[BaseMessage]], int] | Callable[[BaseMessage], int] | BaseLanguageModel[Any]
    TokenCounter = Counter | Literal["approximate"]

StartOn = str | type[BaseMessage] | Sequence[str | type[BaseMessage]] | None

_LEAST, _MOST = 16, 512  # messages in the first slice
_MESSAGES_A_TURN, _TOKENS_A_MESSAGE = 6, 64  # a guess for its size; where it is too small, another slice is read


class Window:
    """The limits of a window, checked. They hold for the messages together with the system message at the head."""

    def __init__(
        self,
        *,
        messages: int | None,
        turns: int | None,
        tokens: int | None,
        token_counter: TokenCounter,
        start_on: StartOn,
    ) -> None:
        for name, value in (("messages", messages), ("turns", turns), ("tokens", tokens)):
            check_count(name, value)
        self._messages, self._turns, self._tokens = messages, turns, tokens
        self._counter: Any = count_tokens_approximately if token_counter == "approximate" else token_counter
        if not callable(self._counter) and not hasattr(self._counter, "get_num_tokens_from_messages"):
            raise ValueError('token_counter must be a chat model, a function or "approximate"')
        self._start_on = start_on

    def first_slice(self) -> int:
        """Return how many messages to read first."""
        guesses = [_MOST]
        if self._messages is not None:
            guesses.append(self._messages)
        if self._turns is not None:
            guesses.append(max(self._turns * _MESSAGES_A_TURN, _LEAST))
        if self._tokens is not None:
            guesses.append(max(self._tokens // _TOKENS_A_MESSAGE, _LEAST))
        return min(guesses)

    def reaches_beyond(self, system: BaseMessage | None, tail: list[BaseMessage]) -> bool:
        """Return whether the limits leave room for more than these last messages."""
        if self._messages is not None and len(tail) + bool(system) >= self._messages:
            return False
        if self._turns is not None and sum(isinstance(one, HumanMessage) for one in tail) >= self._turns:
            return False
        return len(self._within_tokens(system, tail)) == len(tail)

    def choose(self, system: BaseMessage | None, tail: list[BaseMessage]) -> list[BaseMessage]:
        """Return the window.

        Args:
            system: the system message at the head of the conversation, where it is wanted.
            tail: the last messages, as many as the limits can leave, or all, without `system`.
        """
        part = tail
        if self._messages is not None:
            part = part[max(len(part) + bool(system) - self._messages, 0) :]
        if self._turns is not None:
            part = _last_turns(part, self._turns)
        part = self._safe(self._within_tokens(system, part))
        return part if system is None else [system, *part]

    def _within_tokens(self, system: BaseMessage | None, part: list[BaseMessage]) -> list[BaseMessage]:
        if self._tokens is None:
            return part
        head = [] if system is None else [system]
        kept: list[BaseMessage] = trim_messages(
            [*head, *part],
            max_tokens=self._tokens,
            token_counter=self._counter,
            strategy="last",
            include_system=system is not None,
        )
        return kept[len(head) :]

    def _safe(self, part: list[BaseMessage]) -> list[BaseMessage]:
        while True:
            if self._start_on is not None:
                part = trim_messages(part, max_tokens=len(part), token_counter=len, start_on=self._start_on)
            kept = without_halves(part)
            if len(kept) == len(part):
                return kept
            part = kept


def _last_turns(messages: list[BaseMessage], turns: int) -> list[BaseMessage]:
    starts = [index for index, message in enumerate(messages) if isinstance(message, HumanMessage)]
    return messages[starts[-turns] :] if len(starts) >= turns else messages


def without_halves(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Return the messages without tool results whose call is not among them, and calls whose results are not.

    A message with several calls goes, with such results as there are, unless all of them are answered.
    """
    caller: dict[str, int] = {}
    waiting: dict[int, set[str]] = {}
    results: dict[int, list[int]] = {}
    halves: set[int] = set()
    for index, message in enumerate(messages):
        if isinstance(message, AIMessage):
            wanted = set(_calls(message))
            caller.update(dict.fromkeys((*wanted, *_invalid_calls(message)), index))
            waiting[index], results[index] = wanted, []
        elif (answered := _answered(message)) is not None:
            call = caller.get(answered)
            if call is None:
                halves.add(index)
            else:
                waiting[call].discard(answered)
                results[call].append(index)
    for call, missing in waiting.items():
        if missing:
            halves.update((call, *results[call]))
    return [message for index, message in enumerate(messages) if index not in halves] if halves else messages


def _calls(message: AIMessage) -> Iterator[str]:
    for call in message.tool_calls:
        if call["id"] is not None:
            yield call["id"]
    if function := message.additional_kwargs.get("function_call"):  # OpenAI's older form
        yield f"function {function.get('name')}"


def _invalid_calls(message: AIMessage) -> Iterator[str]:
    """Yield the calls that may be answered, with an error, but need not be."""
    for call in message.invalid_tool_calls:
        if call["id"] is not None:
            yield call["id"]


def _answered(message: BaseMessage) -> str | None:
    if isinstance(message, ToolMessage):
        return message.tool_call_id
    return f"function {message.name}" if isinstance(message, FunctionMessage) else None
