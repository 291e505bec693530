"""Items of OpenAI's Responses API, as its Agents SDK keeps them, and LangChain messages that say the same.

What a message says itself (text, an image, a tool's arguments) is not kept beside it again.
"""

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

REST = "openai_rest"
"""Where a message keeps what it does not say of its item, in `additional_kwargs`: the item with None for what it says.

None alone: the item is the message's only block of content. Absent: the message says all of its item.
"""
ITEM = "openai_item"
"""where chatmem up to 0.1 kept the whole item"""
_TEXTS = ("input_text", "output_text", "text")
_CLASSES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "assistant": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}
_OUTPUTS: dict[str, dict[str, Any]] = {
    "function_call_output": {},
    "custom_tool_call_output": {"type": "custom_tool_call_output"},  # as LangChain marks them
}
_OPAQUE = "non_standard"
_STYLES: tuple[dict[str, Any], ...] = tuple(
    {"ensure_ascii": ascii_only, "indent": indent, "separators": separators}
    for ascii_only in (False, True)
    for indent, separators in ((None, (", ", ": ")), (None, (",", ":")), (2, (",", ": ")), (4, (",", ": ")))
)
"""How JSON is usually written. Stored messages hold places in this table: append only."""


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

    The message has no id: gateways number items anew in each response, so an item's id does not say which it is.

    Args:
        item: any dict. What is no message and no call or result of a tool, such as an envelope of the SDK's
            `EncryptedSession`, becomes a block of content.

    Raises:
        ValueError: it is no dict.
    """
    if not isinstance(item, dict):
        raise ValueError(f"an item is a dict, not {type(item).__name__}")
    message = _converted(item)
    if message is None:
        return _holding(AIMessage(""), item)
    if not _says(message, item):
        message.additional_kwargs[REST] = _rest(item, message)
    return message if _says(message, item) else _holding(message, item)


def items_of(message: BaseMessage) -> list[dict[str, Any]]:
    """Return the items that say what a message says: the one it was made of, or such as OpenAI would have made of it.

    Raises:
        UnsupportedError: it says what no item can.
    """
    if ITEM in message.additional_kwargs:
        return [message.additional_kwargs[ITEM]]
    kept = _kept(message.additional_kwargs[REST], message) if REST in message.additional_kwargs else None
    if kept is not None:
        return [kept]
    if isinstance(message, ToolMessage):
        return [{"type": "function_call_output", "call_id": message.tool_call_id, "output": _text(message)}]
    role = next((role for role, kind in _CLASSES.items() if isinstance(message, kind)), None)
    if role is None:
        raise UnsupportedError(f"a {type(message).__name__} is no item of the Responses API")
    calls = _items_of_calls(message) if isinstance(message, AIMessage) else []
    return [*([] if calls and not message.content else [{"role": role, "content": _text(message)}]), *calls]


def _items_of_calls(message: AIMessage) -> list[dict[str, Any]]:
    items = [_item_of_call(call, json.dumps(call["args"], **_STYLES[0])) for call in message.tool_calls]
    return [*items, *(_item_of_call(call, call["args"] or "") for call in message.invalid_tool_calls)]


def _item_of_call(call: ToolCall | InvalidToolCall, arguments: str) -> dict[str, Any]:
    if call["id"] is None or call["name"] is None:
        raise UnsupportedError("a tool call without an id or a name is no item of the Responses API")
    return {"type": "function_call", "call_id": call["id"], "name": call["name"], "arguments": arguments}


def _text(message: BaseMessage) -> str:
    parts = _blocks(message)
    if any(part.get("type") != "text" for part in parts):
        raise UnsupportedError(f"a {type(message).__name__} of more than text is made into no item")
    return "".join(str(part.get("text")) for part in parts)


def _blocks(message: BaseMessage) -> list[dict[str, Any]]:
    content = [message.content] if isinstance(message.content, str) else message.content
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]


def _says(message: BaseMessage, item: dict[str, Any]) -> bool:
    try:
        return items_of(message) == [item]
    except UnsupportedError:
        return False


def _converted(item: dict[str, Any]) -> BaseMessage | None:
    """Return the message that says what an item says to people; None for what LangChain has no message for."""
    kind, role = item.get("type", "message"), item.get("role")
    if not isinstance(kind, str):
        return None
    if kind == "message" and isinstance(role, str) and role in _CLASSES:
        return _CLASSES[role](content=_content(item.get("content")))
    if kind == "function_call" and isinstance(item.get("call_id"), str):
        return _call(item)
    if kind in _OUTPUTS and isinstance(item.get("call_id"), str):
        return ToolMessage(
            content=_content(item.get("output")), tool_call_id=item["call_id"], additional_kwargs=_OUTPUTS[kind]
        )
    return None


def _call(item: dict[str, Any]) -> AIMessage:
    name, arguments, call_id = item.get("name"), item.get("arguments"), item["call_id"]
    try:
        args = json.loads(arguments or "{}")
    except (ValueError, TypeError, RecursionError):
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


def _holding(message: BaseMessage, item: dict[str, Any]) -> BaseMessage:
    """Return a message whose only block is the item."""
    kind = item.get("type")
    block = item if isinstance(kind, str) and kind != _OPAQUE else {"type": _OPAQUE, "value": item}
    return message.model_copy(update={"content": [block], "additional_kwargs": {REST: None}})


def _rest(item: dict[str, Any], message: BaseMessage) -> dict[str, Any]:
    """Return an item with None, or a place in `_STYLES`, for what its message says."""
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
    """Return how the arguments are written: a place in `_STYLES`, or themselves where it is another way."""
    for place, style in enumerate(_STYLES if isinstance(arguments, str) else ()):
        if (style["indent"] is None or "\n" in arguments) and json.dumps(args, **style) == arguments:
            return place
    return arguments


def _kept(rest: Any, message: BaseMessage) -> dict[str, Any] | None:
    """Return the item that a message was made of, as the message says it now; None where the two do not fit."""
    if rest is None:
        return _held(message)
    if not isinstance(rest, dict):
        return None
    if isinstance(message, ToolMessage):
        output = _filled(rest.get("output"), message)
        return None if output is None else {**rest, "call_id": message.tool_call_id, "output": output}
    if isinstance(message, AIMessage) and (calls := [*message.tool_calls, *message.invalid_tool_calls]):
        return _called(rest, calls) if len(calls) == 1 and not message.content else None
    content = _filled(rest.get("content"), message)
    return None if content is None else {**rest, "content": content}


def _held(message: BaseMessage) -> dict[str, Any] | None:
    if not isinstance(message.content, list) or len(message.content) != 1:
        return None
    (block,) = message.content
    item = block.get("value") if isinstance(block, dict) and block.get("type") == _OPAQUE else block
    return item if isinstance(item, dict) else None


def _called(rest: dict[str, Any], calls: list[Any]) -> dict[str, Any] | None:
    (call,), arguments = calls, rest.get("arguments")
    if arguments is None:
        arguments = call["args"]
    elif isinstance(arguments, int):
        arguments = json.dumps(call["args"], **_STYLES[arguments % len(_STYLES)])
    return {**rest, "call_id": call["id"], "name": call["name"], "arguments": arguments}


def _filled(rest: Any, message: BaseMessage) -> Any:
    """Return an item's content or output: what is kept of it, filled with what its message says, or None."""
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
