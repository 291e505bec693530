"""Converts messages that ADK did not make to its events, as far as they are text, tool calls and their results."""

from __future__ import annotations

from typing import Any

from google.adk.events.event import Event
from google.genai import types
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from chatmem.core.checks import from_json
from chatmem.errors import UnsupportedError

_MODEL = "model"
"""the author of events that another framework's model said, if the message has no name"""


def event_of(message: BaseMessage) -> Event:
    """Return the event with a message's content.

    Raises:
        UnsupportedError: no event can express the message.
    """
    if isinstance(message, ToolMessage):
        response = types.FunctionResponse(
            id=message.tool_call_id, name=message.name, response=_response(_text(message))
        )
        return _event(message, "user", _MODEL, [types.Part(function_response=response)])
    text = [types.Part(text=text)] if (text := _text(message)) else []
    if isinstance(message, AIMessage):
        return _event(message, "model", message.name or _MODEL, [*text, *_calls(message)])
    if isinstance(message, HumanMessage):
        return _event(message, "user", "user", text)
    raise UnsupportedError(f"a {type(message).__name__} cannot be written as an event of ADK")


def _event(message: BaseMessage, role: str, author: str, parts: list[types.Part]) -> Event:
    return Event(id=message.id or "", author=author, content=types.Content(role=role, parts=parts))


def _calls(message: AIMessage) -> list[types.Part]:
    calls = message.tool_calls
    return [
        types.Part(function_call=types.FunctionCall(id=call["id"], name=call["name"], args=call["args"]))
        for call in calls
    ]


def _text(message: BaseMessage) -> str:
    blocks: list[Any] = [message.content] if isinstance(message.content, str) else message.content
    for block in blocks:
        if not isinstance(block, str) and not (block.get("type") == "text" and isinstance(block.get("text"), str)):
            kind = block.get("type")
            raise UnsupportedError(
                f"a {type(message).__name__} with a block of type {kind!r} cannot be written as an event of ADK"
            )
    return "".join(block if isinstance(block, str) else block["text"] for block in blocks)


def _response(text: str) -> dict[str, Any]:
    try:
        value = from_json(text)
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"result": value}
