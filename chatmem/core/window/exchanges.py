"""Pairs tool calls with their results: each call has one result, directly after it, and there are no others."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from chatmem.core.window.calls import Call, calls_of, edited
from chatmem.core.window.forms import is_known, known

_Place = tuple[int, int]
"""a message's index, and the number of a call in it"""


class _Result(NamedTuple):
    came: tuple[int, int]
    """the order of results: greater than that of earlier ones"""
    message: ToolMessage


_Answers = dict[int, dict[int, _Result]]
"""results, by the index of the message with the call and the call's number in it"""


def without_halves(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Return all messages of a conversation as `Exchanges` mends them; the list itself if nothing has to change."""
    return Exchanges().mend(messages)


class Exchanges:
    """Mends the tool exchanges of a conversation, walking back through it, some messages at a time.

    - A result is put directly after its call: the nearest earlier call with its id and without a result. Messages
      between the two come after the result. Further results of a call, and results without a call, are left out.
    - A call without a result is left out; the rest of its message stays. If the last message of the conversation still
      waits for results, the results that exist are left out, too.
    - Messages in a form that not every provider knows are converted; see `forms`.

    The mended messages are the same as if the whole conversation had been mended at once.
    """

    def __init__(self) -> None:
        self._late: dict[str, list[_Result]] = {}  # results whose calls are further back, or missing
        self._slice = 0
        self._went_on = False  # whether the messages seen so far include more than results

    def mend(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        """Return mended messages. Call it for the last messages first, then for those before them."""
        self._slice -= 1
        if _is_whole(messages):
            self._went_on = self._went_on or bool(messages)
            return messages
        messages = [one for message in messages for one in known(message)]
        mended = self._paired(messages)
        self._went_on = self._went_on or any(not isinstance(one, ToolMessage) for one in messages)
        return mended

    def _paired(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        calls = {index: calls_of(one) for index, one in enumerate(messages) if isinstance(one, AIMessage)}
        answers = self._answers(messages, calls)
        last = max((index for index, one in enumerate(messages) if not isinstance(one, ToolMessage)), default=-1)
        made: list[BaseMessage] = []
        for index, message in enumerate(messages):
            if isinstance(message, ToolMessage):
                continue
            found, results = calls.get(index), answers.get(index, {})
            if not found or not isinstance(message, AIMessage):
                made.append(message)
                continue
            if index == last and not self._went_on and _waits(found, results):
                results = {}
            left = message if len(results) == len(found) else _with_calls(message, found, results)
            if left is not None:
                made.append(left)
                made += (result.message for result in sorted(results.values(), key=_came))
        return made

    def _answers(self, messages: list[BaseMessage], calls: dict[int, list[Call]]) -> _Answers:
        waiting: dict[str, list[_Place]] = {}
        late: dict[str, list[_Result]] = {}
        answers: _Answers = {}
        for index, message in enumerate(messages):
            if isinstance(message, ToolMessage):
                result = _Result((self._slice, index), message)
                if places := waiting.get(message.tool_call_id):
                    asked, number = places.pop()
                    answers.setdefault(asked, {})[number] = result
                else:
                    late.setdefault(message.tool_call_id, []).append(result)
            for number, call in reversed(list(enumerate(calls.get(index, ())))):
                if call.named:
                    waiting.setdefault(call.id, []).append((index, number))
        for name, places in waiting.items():
            while places and (results := self._late.get(name)):
                asked, number = places.pop()
                answers.setdefault(asked, {})[number] = results.pop(0)
        for name, results in late.items():
            self._late[name] = results + self._late.get(name, [])
        return answers


def _is_whole(messages: list[BaseMessage]) -> bool:
    """Return whether nothing has to change. That is the usual case, and this check is its only cost."""
    waiting: dict[str, int] = {}
    for message in messages:
        if not is_known(message):
            return False
        if isinstance(message, ToolMessage):
            left = waiting.pop(message.tool_call_id, 0) - 1
            if left < 0:
                return False
            if left:
                waiting[message.tool_call_id] = left
            continue
        if waiting:
            return False
        if isinstance(message, AIMessage) and _may_call(message):
            for call in calls_of(message):
                if not (call.id and call.named):
                    return False
                waiting[call.id] = waiting.get(call.id, 0) + 1
    return not waiting


def _may_call(message: AIMessage) -> bool:
    return bool(message.tool_calls or message.invalid_tool_calls) or not isinstance(message.content, str)


def _came(result: _Result) -> tuple[int, int]:
    return result.came


def _waits(calls: list[Call], results: dict[int, _Result]) -> bool:
    return any(call.valid and number not in results for number, call in enumerate(calls))


def _with_calls(message: AIMessage, calls: list[Call], answered: dict[int, _Result]) -> AIMessage | None:
    """Return the message with only the answered ones of its calls."""
    seen, kept = Counter[str](), set[tuple[str, int]]()
    for number, call in enumerate(calls):
        if number in answered:
            kept.add((call.id, seen[call.id]))
        seen[call.id] += 1
    return edited(message, lambda name, number: name if (name, number) in kept else None)
