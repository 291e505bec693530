"""Items of OpenAI's Responses API, as its Agents SDK keeps them -> LangChain messages."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call

from chatmem.errors import CorruptRecordError

ITEM = "openai_item"
"""where a message keeps the item it was made of, in `additional_kwargs`, unless the message says all of it"""
_TEXTS = ("input_text", "output_text", "text")
_CLASSES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "assistant": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}


def message_of(element: bytes) -> BaseMessage:
    """Return the message that an item of a session says.

    Raises:
        CorruptRecordError: it is no item.
    """
    try:
        item = json.loads(element)
    except (ValueError, RecursionError) as error:
        raise CorruptRecordError(f"it is no JSON: {error}") from error
    if not isinstance(item, dict) or not (isinstance(item.get("role"), str) or isinstance(item.get("type"), str)):
        raise CorruptRecordError("it is no item of the Responses API")
    message = _convert(item)
    if item != {"role": item.get("role"), "content": message.content} or item["role"] == "developer":
        message.additional_kwargs[ITEM] = item
    return message


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
