"""Makes a history fit to be sent: each call of a tool has one result, directly behind it, and there are no others."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from agent_framework import Content, Message

_Result = tuple[Message, Content]
"""a result, and the message that it came in"""


def sendable(history: Sequence[Message], given: Iterable[Message]) -> list[Message]:
    """Return messages as models accept them, whatever two runs at once or a killed one left.

    - A result comes directly behind its call: the nearest earlier one with its id and without a result. What was
      between the two comes behind the result. A call that the run is given the result of comes last.
    - Further results of a call, results without a call, and calls without a result are left out, and reasoning that
      then nothing follows.
    - Calls with equal ids, as of gateways that number them anew in each response, and their results get different ones.

    Calls that run elsewhere, and those that a person is asked about, stay as they are.

    Args:
        history: the messages that were loaded.
        given: the messages that the run was given, which may hold results.
    """
    given, pairing = list(given), _Pairing()
    for message in history:
        pairing.add(message)
    pairing.answer(content for message in given for content in message.contents)
    contents = [content for message in (*history, *given) for content in message.contents]
    asked = {name for content in contents if _is_about_a_call(content) for name in _ids(content)}
    return pairing.messages(asked)


@dataclass
class _Call:
    """A call of a tool that the application runs."""

    content: Content
    result: _Result | None = None
    is_given: bool = False
    """whether its result is among what the run was given"""


@dataclass
class _Turn:
    """A message without its results, and its calls."""

    message: Message
    contents: list[Content | _Call] = field(default_factory=list)

    @property
    def calls(self) -> list[_Call]:
        return [one for one in self.contents if isinstance(one, _Call)]


class _Pairing:
    """Pairs the calls of a conversation with their results."""

    def __init__(self) -> None:
        self._turns: list[_Turn] = []
        self._waiting: dict[str, list[_Call]] = {}
        """the calls that have no result yet, by their ids, the last one last"""
        self._elsewhere = set[str]()
        """the ids of calls that run elsewhere, or that a person is asked about"""

    def add(self, message: Message) -> None:
        """Take the next message."""
        turn = _Turn(message)
        self._turns.append(turn)
        for content in message.contents:
            if content.type == "function_result":
                if (call := self._next(content)) is not None:
                    call.result = message, content
                elif content.call_id in self._elsewhere:
                    turn.contents.append(content)
                continue
            if _is_local_call(content):
                turn.contents.append(_Call(content))
            else:
                turn.contents.append(content)
                self._elsewhere |= _ids(content)
        for call in reversed(turn.calls):  # of equal ids in one message, the first is answered first
            if call.content.call_id:
                self._waiting.setdefault(call.content.call_id, []).append(call)

    def answer(self, given: Iterable[Content]) -> None:
        """Take what a run was given, which is sent behind the history."""
        settled = set[str | None]()
        for content in given:
            call = None
            if content.type == "function_result" and content.call_id not in settled:
                call = self._next(content)
            if call is not None:
                call.is_given = True
            if call is not None or _is_local_call(content):
                settled.add(content.call_id)

    def messages(self, asked: set[str]) -> list[Message]:
        """Return the messages. `asked`: the ids of calls that a person is asked about."""
        made, last = list[Message](), list[_Turn]()
        for turn in self._turns:
            turn.contents = [one for one in turn.contents if not isinstance(one, _Call) or _stays(one, asked)]
        calls = [call for turn in self._turns for call in turn.calls]
        names = {call.content.call_id for call in calls if call.result is None}  # what answers these has their ids
        for call in calls:
            _give_own_id(call, names)
        for turn in self._turns:
            if any(call.is_given for call in turn.calls):
                last.append(turn)
            else:
                made += _sent(turn.message, turn.contents)
        if last:  # what the run was given answers them as one
            made += _sent(last[-1].message, [one for turn in last for one in turn.contents])
        return made

    def _next(self, result: Content) -> _Call | None:
        """Return the call that a result answers."""
        calls = self._waiting.get(result.call_id or "")
        return calls.pop() if calls else None


def _is_local_call(content: Content) -> bool:
    return content.type == "function_call" and not content.informational_only and not content.hosted


def _is_about_a_call(content: Content) -> bool:
    """Return whether a content asks a person about a call, or is the answer."""
    return content.user_input_request is True or content.function_call is not None


def _ids(content: Content) -> set[str]:
    """Return the ids of the calls that a content speaks of."""
    spoken_of = (content, content.function_call)  # of which the framework does not check the type
    return {one.call_id for one in spoken_of if isinstance(one, Content) and isinstance(one.call_id, str)}


def _stays(call: _Call, asked: set[str]) -> bool:
    return call.result is not None or call.is_given or call.content.call_id in asked


def _give_own_id(call: _Call, names: set[str | None]) -> None:
    """Give a call and its result an id that no other call has, and add that to the names."""
    if call.result is None:
        return
    message, result = call.result
    name, number = call.content.call_id, 1
    while name in names:
        number += 1
        name = f"{call.content.call_id}-{number}"
    names.add(name)
    if name != call.content.call_id:
        call.content, call.result = _named(call.content, name), (message, _named(result, name))


def _named(content: Content, call_id: str | None) -> Content:
    named = copy.copy(content)
    named.call_id = call_id
    return named


def _sent(message: Message, contents: Sequence[Content | _Call]) -> Iterator[Message]:
    """Yield a message with these contents, and behind it the results of its calls, as they came in messages."""
    kept = [one.content if isinstance(one, _Call) else one for one in contents]
    if not _same(kept, message.contents) and all(one.type == "text_reasoning" for one in kept):
        return
    yield _with(message, kept)
    results = [one.result for one in contents if isinstance(one, _Call) and one.result is not None]
    for _, group in groupby(results, lambda result: id(result[0])):
        found = list(group)
        yield _with(found[0][0], [content for _, content in found])


def _with(message: Message, contents: list[Content]) -> Message:
    """Return a message with other contents; the message itself if they are the same."""
    if _same(contents, message.contents):
        return message
    changed = copy.copy(message)
    changed.contents = contents
    return changed


def _same(contents: Sequence[Content], others: Sequence[Content]) -> bool:
    return len(contents) == len(others) and all(one is other for one, other in zip(contents, others, strict=True))
