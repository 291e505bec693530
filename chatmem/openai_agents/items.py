"""Converts items of OpenAI's Responses API, as its Agents SDK keeps them, to LangChain messages and back.

A message keeps what it cannot express of its item (the rest) in `additional_kwargs`. What the message itself expresses
(text, an image, a tool's arguments) is not stored twice.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
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

from chatmem.core.typed import typed
from chatmem.errors import CorruptRecordError, UnsupportedError

REST = "openai_rest"
"""The key in `additional_kwargs` with the rest: the item, with None in place of what the message expresses.

If the value is None, the item is the message's only content block. If the key is absent, the message expresses all.
"""
ITEM = "openai_item"
"""The key in `additional_kwargs` where chatmem up to 0.1 stored the whole item."""
_TEXTS = ("input_text", "output_text", "text")
_CLASSES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "assistant": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}
_OUTPUTS: dict[str, dict[str, Any]] = {
    "function_call_output": {},
    "custom_tool_call_output": {"type": "custom_tool_call_output"},  # LangChain's mark for them
}
_OPAQUE = "non_standard"
_STYLES: tuple[dict[str, Any], ...] = tuple(
    {"ensure_ascii": ascii_only, "indent": indent, "separators": separators}
    for ascii_only in (False, True)
    for indent, separators in ((None, (", ", ": ")), (None, (",", ":")), (2, (",", ": ")), (4, (",", ": ")))
)
"""The usual ways to write JSON. Stored messages hold indexes into this table, so only append to it."""


def parse(element: bytes) -> BaseMessage:
    """Return the message for an item in JSON, as the SDK's own sessions store it.

    Raises:
        CorruptRecordError: the element is not an item.
    """
    try:
        return message_of(json.loads(element))
    except (ValueError, RecursionError) as error:
        raise CorruptRecordError(f"not an item of the Responses API: {error}") from error


def message_of(item: Any) -> BaseMessage:
    """Return the message for an item; `items_of` turns it back into the same item.

    The message has no id: gateways number items anew in each response, so equal ids do not mean equal items.

    Args:
        item: any dict. If it is not a message, a tool call or a tool's result, it becomes a content block, as an
            envelope of the SDK's `EncryptedSession` does.

    Raises:
        ValueError: the item is not a dict.
    """
    if not isinstance(item, dict):
        raise ValueError(f"an item must be a dict, not {type(item).__name__}")
    message = _converted(item)
    if message is None:
        return _with_item_as_block(AIMessage(""), item)
    if not _is_exact(message, item):
        message.additional_kwargs[REST] = _rest(item, message)
    return message if _is_exact(message, item) else _with_item_as_block(message, item)


def messages_of(items: Sequence[Any], name: str | None = None) -> list[BaseMessage]:
    """Return messages for items, each with an id that no other message has.

    Args:
        items: see `message_of`.
        name: the beginning of the ids; by default a random one.

    Raises:
        ValueError: an item is not a dict.
    """
    name = secrets.token_urlsafe(9) if name is None else name
    messages = [message_of(item) for item in items]
    for number, message in enumerate(messages):
        message.id = f"{name}{number}"
    return messages


def items_of(message: BaseMessage) -> list[dict[str, Any]]:
    """Return the items for a message: the one that it was made from, else items as OpenAI would have written them.

    Raises:
        UnsupportedError: no item can express the message.
    """
    kept = message.additional_kwargs if isinstance(message.additional_kwargs, dict) else {}
    if ITEM in kept:
        return [kept[ITEM]]
    original = _original(kept[REST], message) if REST in kept else None
    if original is not None:
        return [original]
    message = typed(message)
    if isinstance(message, ToolMessage):
        return [{"type": "function_call_output", "call_id": message.tool_call_id, "output": _text(message)}]
    role = next((role for role, kind in _CLASSES.items() if isinstance(message, kind)), None)
    if role is None:
        raise UnsupportedError(f"a {type(message).__name__} cannot be written as an item of the Responses API")
    calls = _items_of_calls(message) if isinstance(message, AIMessage) else []
    return [*([] if calls and not message.content else [{"role": role, "content": _text(message)}]), *calls]


def _items_of_calls(message: AIMessage) -> list[dict[str, Any]]:
    items = [_item_of_call(call, json.dumps(call["args"], **_STYLES[0])) for call in message.tool_calls]
    return [*items, *(_item_of_call(call, call["args"] or "") for call in message.invalid_tool_calls)]


def _item_of_call(call: ToolCall | InvalidToolCall, arguments: str) -> dict[str, Any]:
    if call["id"] is None or call["name"] is None:
        raise UnsupportedError("a tool call without an id or a name cannot be written as an item of the Responses API")
    return {"type": "function_call", "call_id": call["id"], "name": call["name"], "arguments": arguments}


def _text(message: BaseMessage) -> str:
    parts = _blocks(message)
    if any(part.get("type") != "text" for part in parts):
        raise UnsupportedError(
            f"a {type(message).__name__} with more than text cannot be written as an item of the Responses API"
        )
    return "".join(str(part.get("text")) for part in parts)


def _blocks(message: BaseMessage) -> list[dict[str, Any]]:
    content = [message.content] if isinstance(message.content, str) else message.content
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]


def _is_exact(message: BaseMessage, item: dict[str, Any]) -> bool:
    try:
        return items_of(message) == [item]
    except UnsupportedError:
        return False


def _converted(item: dict[str, Any]) -> BaseMessage | None:
    """Return a message with the item's text and tool calls; None if LangChain has no message for the item."""
    kind, role = item.get("type", "message"), item.get("role")
    if not isinstance(kind, str):
        return None
    if kind == "message" and isinstance(role, str) and role in _CLASSES:
        return _CLASSES[role](content=_content(item.get("content")))
    if kind == "function_call" and isinstance(item.get("call_id"), str):
        is_call = all(isinstance(item.get(name), str | None) for name in ("name", "arguments"))
        return _call(item) if is_call else None
    if kind in _OUTPUTS and isinstance(item.get("call_id"), str):
        return ToolMessage(
            content=_content(item.get("output")), tool_call_id=item["call_id"], additional_kwargs=_OUTPUTS[kind]
        )
    return None


def _call(item: dict[str, Any]) -> AIMessage:
    name, arguments, call_id = item.get("name"), item.get("arguments"), item["call_id"]
    try:
        args = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        args = None
    if isinstance(args, dict) and isinstance(name, str):
        return AIMessage("", tool_calls=[tool_call(name=name, args=args, id=call_id)])
    invalid = invalid_tool_call(name=name, args=arguments, id=call_id, error="the arguments are no JSON object")
    return AIMessage("", invalid_tool_calls=[invalid])


def _content(content: Any) -> str | list[Any]:
    if isinstance(content, str):
        return content
    return [_block(part) for part in content] if isinstance(content, list) else ""


def _block(part: Any) -> Any:
    if not isinstance(part, dict):
        return str(part)
    if part.get("type") in _TEXTS and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if part.get("type") == "input_image" and isinstance(part.get("image_url"), str):
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    return part


def _with_item_as_block(message: BaseMessage, item: dict[str, Any]) -> BaseMessage:
    """Return the message with the item as its only content block."""
    kind = item.get("type")
    block = item if isinstance(kind, str) and kind != _OPAQUE else {"type": _OPAQUE, "value": item}
    return message.model_copy(update={"content": [block], "additional_kwargs": {REST: None}})


def _rest(item: dict[str, Any], message: BaseMessage) -> dict[str, Any]:
    """Return the item with None, or an index into `_STYLES`, in place of what its message expresses."""
    if isinstance(message, ToolMessage):
        return {**item, "call_id": None, "output": _rest_of(item.get("output"))}
    if isinstance(message, AIMessage) and message.tool_calls:
        style = _style(item.get("arguments"), message.tool_calls[0]["args"])
        return {**item, "call_id": None, "name": None, "arguments": style}
    if isinstance(message, AIMessage) and message.invalid_tool_calls:
        return {**item, "call_id": None, "name": None, "arguments": None}
    return {**item, "content": _rest_of(item.get("content"))}


def _rest_of(content: Any) -> list[Any] | None:
    return [_rest_of_part(part) for part in content] if isinstance(content, list) else None


def _rest_of_part(part: Any) -> dict[str, Any] | None:
    block = _block(part)
    if block is part or not isinstance(part, dict):
        return None
    return {**part, "text" if block["type"] == "text" else "image_url": None}


def _style(arguments: Any, args: Any) -> Any:
    """Return how the arguments are written, as an index into `_STYLES`; the arguments themselves if in no usual way."""
    for place, style in enumerate(_STYLES if isinstance(arguments, str) else ()):
        if (style["indent"] is None or "\n" in arguments) and json.dumps(args, **style) == arguments:
            return place
    return arguments


def _original(rest: Any, message: BaseMessage) -> dict[str, Any] | None:
    """Return the item that a message was made from, with the message's present content; None if they do not fit."""
    if rest is None:
        return _item_in_block(message)
    if not isinstance(rest, dict):
        return None
    if isinstance(message, ToolMessage):
        output = _filled(rest.get("output"), message)
        return None if output is None else {**rest, "call_id": message.tool_call_id, "output": output}
    if isinstance(message, AIMessage) and (calls := [*message.tool_calls, *message.invalid_tool_calls]):
        return _filled_call(rest, calls) if len(calls) == 1 and not message.content else None
    content = _filled(rest.get("content"), message)
    return None if content is None else {**rest, "content": content}


def _item_in_block(message: BaseMessage) -> dict[str, Any] | None:
    if not isinstance(message.content, list) or len(message.content) != 1:
        return None
    (block,) = message.content
    item = block.get("value") if isinstance(block, dict) and block.get("type") == _OPAQUE else block
    return item if isinstance(item, dict) else None


def _filled_call(rest: dict[str, Any], calls: list[Any]) -> dict[str, Any]:
    (call,), arguments = calls, rest.get("arguments")
    if arguments is None:
        arguments = call["args"]
    elif isinstance(arguments, int):
        arguments = json.dumps(call["args"], **_STYLES[arguments % len(_STYLES)])
    return {**rest, "call_id": call["id"], "name": call["name"], "arguments": arguments}


def _filled(rest: Any, message: BaseMessage) -> Any:
    """Return an item's content or output: its rest, filled with the message's content; None if the two do not fit."""
    if rest is None:
        return message.content if isinstance(message.content, str) else None
    content = [message.content] if isinstance(message.content, str) else message.content
    if not isinstance(rest, list) or len(rest) != len(content):
        return None
    parts = [_filled_part(*pair) for pair in zip(rest, content, strict=True)]
    return None if None in parts else parts


def _filled_part(rest: Any, block: str | dict[str, Any]) -> Any:
    if rest is None:
        return block
    said = {"text": block} if isinstance(block, str) else block
    if "text" in rest and said.get("text") is not None:
        return {**rest, "text": said["text"]}
    if isinstance(image := said.get("image_url"), dict) and "image_url" in rest:
        return {**rest, "image_url": image.get("url")}
    return None
