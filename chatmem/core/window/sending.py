"""Gives a window the form in which it is sent: the rules of providers for a request as a whole."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from chatmem.core.window.calls import answering, calls_of, edited, says, without_last_thoughts
from chatmem.core.window.exchanges import without_halves
from chatmem.core.window.forms import notification

_NOTHING = "(empty)"
"""the content of an empty human message, which Anthropic and Gemini would refuse"""
_MOST_ID_CHARACTERS = 40  # OpenAI accepts no longer call ids


def opening(pinned: list[BaseMessage]) -> list[BaseMessage]:
    """Return pinned messages as the beginning of a window: system messages, then summaries.

    A request must begin with a human message, so a summary that is an AI message becomes a human one, marked as
    LangChain marks its own summaries.
    """
    messages = without_halves(pinned)
    said = [message for message in messages if not isinstance(message, SystemMessage)]
    made: list[BaseMessage] = [message for message in messages if isinstance(message, SystemMessage)]
    while said and not isinstance(said[0], HumanMessage):
        message = said.pop(0)
        if isinstance(message, AIMessage) and message.text.strip():
            made.append(notification(message, "summarization"))
    return [*made, *said]


class Request:
    """Takes a window's messages in their order and gives them the form in which they are sent.

    - System messages are only at the head. Later ones become human messages, marked as notifications.
    - An AI message with tool calls is joined with an AI message directly before it. No AI message ends with reasoning.
    - Call ids are unique: an id that repeats or is empty is replaced, in the call and in its result.
    - No human message is empty, and no AI message is only white space.
    """

    def __init__(self) -> None:
        self.messages: list[BaseMessage] = []
        self.is_changed = False  # whether the messages may have more tokens than the stored ones
        self._ids: set[str] = set()
        self._endings: dict[str, int] = {}  # by stored id: the last number appended to make it unique
        self._renamed: dict[str, list[str]] = {}  # by stored id: the ids of the latest message's calls
        self._open: list[AIMessage] = []  # the last answers, which become one message
        self._thinks = False  # whether that ends with reasoning, so that the next answer is joined

    def add(self, messages: list[BaseMessage]) -> None:
        """Add the next messages."""
        for message in messages:
            if isinstance(message, AIMessage):
                self._add_answer(message)
                continue
            self.end()
            if isinstance(message, ToolMessage):
                self._add_result(message)
            elif isinstance(message, SystemMessage):
                self._add_system(message)
            else:
                self._add_said(message)

    def end(self) -> None:
        """Drop reasoning at the end, after which the model neither said nor called anything: providers refuse it."""
        self._close()
        while self.messages and isinstance(last := self.messages[-1], AIMessage) and isinstance(last.content, list):
            content = without_last_thoughts(last.content)
            if content is last.content or calls_of(last):
                return
            self.messages.pop()
            if content:
                self.messages.append(last.model_copy(update={"content": content}))

    def _add_said(self, message: BaseMessage) -> None:
        if not says(message.content):
            message = message.model_copy(update={"content": _NOTHING})
            self.is_changed = True
        self.messages.append(message)

    def _add_system(self, message: SystemMessage) -> None:
        if not self.messages or isinstance(self.messages[-1], SystemMessage):
            self.messages.append(message)
        elif message.text.strip():
            self.messages.append(notification(message, "system"))
            self.is_changed = True

    def _add_answer(self, message: AIMessage) -> None:
        if (
            isinstance(message.content, str) and message.content.isspace()
        ):  # Anthropic refuses that, but accepts an empty one
            message = message.model_copy(update={"content": ""})
        calls = calls_of(message)
        if calls or not self._thinks:
            self._close()
        if calls:
            self._open = [*self._answers_before(), self._with_unique_ids(message, [call.id for call in calls])]
            self._close()
            return
        self._open.append(message)
        self._thinks = _ends_with_thought(message) or (self._thinks and not says(message.content))

    def _answers_before(self) -> list[AIMessage]:
        """Take back the last messages that are answers without calls."""
        end = len(self.messages)
        while end and isinstance(before := self.messages[end - 1], AIMessage) and not calls_of(before):
            end -= 1
        answers: list[Any] = self.messages[end:]
        del self.messages[end:]
        return answers

    def _close(self) -> None:
        """Add the last answers as one message."""
        if self._open:
            self.is_changed = self.is_changed or len(self._open) > 1
            self.messages.append(_joined(self._open))
        self._open, self._thinks = [], False

    def _add_result(self, message: ToolMessage) -> None:
        if names := self._renamed.get(message.tool_call_id):
            name = names.pop(0)
            message = message if name == message.tool_call_id else answering(message, name)
        self.messages.append(message)

    def _with_unique_ids(self, message: AIMessage, stored: list[str]) -> AIMessage:
        self._renamed = {}
        ids = set(stored)
        if len(ids) == len(stored) and "" not in ids and self._ids.isdisjoint(ids):
            self._ids |= ids
            return message
        self.is_changed = True
        for name in stored:
            self._renamed.setdefault(name, []).append(self._unique(name))
        names = {(old, number): new for old, all_new in self._renamed.items() for number, new in enumerate(all_new)}
        return edited(message, lambda old, number: names.get((old, number), old)) or message

    def _unique(self, stored: str) -> str:
        name, number = stored, self._endings.get(stored, 1)
        while not name or name in self._ids:
            number += 1
            ending = f"-{number}"
            name = (stored or "call")[: _MOST_ID_CHARACTERS - len(ending)] + ending
        self._endings[stored] = number
        self._ids.add(name)
        return name


def _joined(answers: list[AIMessage]) -> AIMessage:
    """Return the last message, with the others' content before its own."""
    last = answers[-1]
    contents: list[Any] = [answer.content for answer in answers]
    if len(answers) == 1:
        return last
    if all(isinstance(content, str) for content in contents):
        return last.model_copy(update={"content": "\n\n".join(text for text in contents if text.strip())})
    return last.model_copy(update={"content": [block for content in contents for block in _blocks(content)]})


def _ends_with_thought(message: AIMessage) -> bool:
    content = message.content
    return isinstance(content, list) and without_last_thoughts(content) is not content


def _blocks(content: str | list[Any]) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    return content
