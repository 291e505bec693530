"""Items of OpenAI's Responses API, as its Agents SDK keeps them, and LangChain messages that say the same."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call

from chatmem.errors import CorruptRecordError, UnsupportedError

ITEM = "openai_item"
"""where a message keeps the item it was made of, in `additional_kwargs`, unless the message says all of it"""
_TEXTS = ("input_text", "output_text", "text")
_CLASSES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "assistant": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}


def parse(element: bytes) -> BaseMessage:
    """Return the message that an item in JSON says, as the SDK's own sessions store it.

    Raises:
        CorruptRecordError: it is no item.
    """
    try:
        return message_of(json.loads(element))
    except (ValueError, RecursionError) as error:
        raise CorruptRecordError(f"it is no item of the Responses API: {error}") from error


def message_of(item: Any) -> BaseMessage:
    """Return the message that an item says; `items_of` gives the very item back.

    Raises:
        ValueError: it is no item.
    """
    if not isinstance(item, dict) or not (isinstance(item.get("role"), str) or isinstance(item.get("type"), str)):
        raise ValueError("an item is a dict with a role or a type")
    message = _convert(item)
    if item != {"role": item.get("role"), "content": message.content} or item["role"] == "developer":
        message.additional_kwargs[ITEM] = item
    return message


def items_of(message: BaseMessage) -> list[dict[str, Any]]:
    """Return the items that say what a message says: the one it was made of, or such as OpenAI would have made of it.

    Raises:
        UnsupportedError: it says what no item can.
    """
    if ITEM in message.additional_kwargs:
        return [message.additional_kwargs[ITEM]]
    if isinstance(message, ToolMessage):
        return [{"type": "function_call_output", "call_id": message.tool_call_id, "output": _text(message)}]
    role = next((role for role, kind in _CLASSES.items() if isinstance(message, kind)), None)
    if role is None:
        raise UnsupportedError(f"a {type(message).__name__} is no item of the Responses API")
    calls = _items_of_calls(message) if isinstance(message, AIMessage) else []
    return [*([] if calls and not message.content else [{"role": role, "content": _text(message)}]), *calls]


def _items_of_calls(message: AIMessage) -> list[dict[str, Any]]:
    items = [_item_of_call(call, json.dumps(call["args"], ensure_ascii=False)) for call in message.tool_calls]
    return [*items, *(_item_of_call(call, call["args"] or "") for call in message.invalid_tool_calls)]


def _item_of_call(call: ToolCall | InvalidToolCall, arguments: str) -> dict[str, Any]:
    if call["id"] is None or call["name"] is None:
        raise UnsupportedError("a tool call without an id or a name is no item of the Responses API")
    return {"type": "function_call", "call_id": call["id"], "name": call["name"], "arguments": arguments}


def _text(message: BaseMessage) -> str:
    parts = [message.content] if isinstance(message.content, str) else message.content
    texts = [part if isinstance(part, str) else part.get("text") for part in parts]
    if any(not isinstance(part, str) and part.get("type") != "text" for part in parts):
        raise UnsupportedError(f"a {type(message).__name__} of more than text is made into no item")
    return "".join(str(text) for text in texts)


def _convert(item: dict[str, Any]) -> BaseMessage:
    kind = item.get("type", "message")
    if kind == "message" and item.get("role") in _CLASSES:
        return _CLASSES[item["role"]](content=_content(item.get("content")), id=_id(item))
    if kind == "function_call" and isinstance(item.get("call_id"), str):
        return _call(item)
    if kind == "function_call_output" and isinstance(item.get("call_id"), str):
        return ToolMessage(content=_content(item.get("output")), tool_call_id=item["call_id"], id=_id(item))
    return AIMessage(content=[item], id=_id(item))  # reasoning, searches: LangChain has them as blocks


def _call(item: dict[str, Any]) -> AIMessage:
    name, arguments, call_id = item.get("name"), item.get("arguments"), item["call_id"]
    try:
        args = json.loads(arguments or "{}")
    except (ValueError, TypeError):
        args = None
    if isinstance(args, dict) and isinstance(name, str):
        return AIMessage("", id=_id(item), tool_calls=[tool_call(name=name, args=args, id=call_id)])
    invalid = invalid_tool_call(name=name, args=arguments, id=call_id, error="the arguments are no JSON object")
    return AIMessage("", id=_id(item), invalid_tool_calls=[invalid])


def _id(item: dict[str, Any]) -> str | None:
    """Return the item's id; the SDK gives many items the same one where a provider gives none."""
    found = item.get("id")
    return found if isinstance(found, str) and found != "__fake_id__" else None


def _content(content: Any) -> str | list[Any]:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return "" if content is None else json.dumps(content)
    return [_block(part) for part in content]


def _block(part: Any) -> Any:
    if not isinstance(part, dict):
        return str(part)
    if part.get("type") in _TEXTS and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if part.get("type") == "input_image" and isinstance(part.get("image_url"), str):
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    return part
