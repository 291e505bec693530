"""Gives the parts of a message the types that LangChain's classes declare, where the message bypassed validation.

An assignment such as `message.content = None` is not checked, nor is `model_construct`, nor are the parts of content
blocks. Such a message is stored and read as it is. But what reads its parts needs their types, and one such message
must not stop every window or search of its conversation.
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage

_OPTIONAL = (str, type(None))
_COUNTS = ("input_tokens", "output_tokens", "total_tokens")
_PARTS = {"name", "args", "id"}
_TYPES: tuple[tuple[str, Any], ...] = (
    ("additional_kwargs", dict),
    ("response_metadata", dict),
    ("type", str),
    ("name", _OPTIONAL),
    ("id", _OPTIONAL),
)
_CALLS: tuple[tuple[str, Any], ...] = (("tool_calls", dict), ("invalid_tool_calls", _OPTIONAL))
"""the fields that hold calls, and the types of a call's arguments there"""


def is_typed(message: BaseMessage) -> bool:
    """Return whether the parts of a message have the types that its class declares."""
    values = message.__dict__  # asking for its keys takes a tenth of the time of `isinstance` for a class of pydantic's
    content = values["content"]
    if not (isinstance(content, str) or (isinstance(content, list) and all(map(_is_block, content)))):
        return False
    for name, types in _TYPES:
        if not isinstance(values[name], types):
            return False
    if "tool_calls" in values:
        for name, arguments in _CALLS:
            if values[name] != [] and not _are_calls(values[name], arguments):
                return False
        return _is_usage(values["usage_metadata"])
    if "tool_call_id" in values:
        return isinstance(values["tool_call_id"], str) and isinstance(values["status"], str)
    return isinstance(values.get("role", ""), str)


def typed(message: BaseMessage) -> BaseMessage:
    """Return a message whose parts have the declared types: itself, or a copy without what cannot be converted."""
    if is_typed(message):
        return message
    update: dict[str, Any] = {
        "content": _content(message.content),
        "additional_kwargs": _dict(message.additional_kwargs),
        "response_metadata": _dict(message.response_metadata),
        "type": message.type if isinstance(message.type, str) else type(message).model_fields["type"].default,
        "name": _text(message.name),
        "id": _text(message.id),
    }
    if isinstance(message, AIMessage):
        update |= {name: _calls(getattr(message, name), types) for name, types in _CALLS}
        update["usage_metadata"] = message.usage_metadata if _is_usage(message.usage_metadata) else None
    elif isinstance(message, ToolMessage):
        update["tool_call_id"] = _text(message.tool_call_id) or ""
        update["status"] = message.status if isinstance(message.status, str) else "success"
    elif isinstance(message, ChatMessage):
        update["role"] = _text(message.role) or "user"
    return message.model_copy(update=update)


def _is_block(block: Any) -> bool:
    if not isinstance(block, dict):
        return isinstance(block, str)
    kind = block.get("type", "")
    return isinstance(kind, str) and (kind != "text" or isinstance(block.get("text"), str))


def _content(content: Any) -> str | list[Any]:
    if isinstance(content, dict):
        content = [content]
    if isinstance(content, list | tuple):
        return [made for block in content if (made := _block(block))]
    return _text(content) or ""


def _block(block: Any) -> Any:
    """Return the block; its text, if its type or text has another type; None if nothing is left of it."""
    if _is_block(block):
        return block
    return _text(block.get("text")) if isinstance(block, dict) else _text(block)


def _text(value: Any) -> str | None:
    """Return a text or a number as a text."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_usage(usage: Any) -> bool:
    return usage is None or (isinstance(usage, dict) and all(isinstance(usage.get(name), int) for name in _COUNTS))


def _are_calls(calls: Any, arguments: Any) -> bool:
    return isinstance(calls, list) and all(_is_call(call, arguments) for call in calls)


def _is_call(call: Any, arguments: Any) -> bool:
    if not (isinstance(call, dict) and call.keys() >= _PARTS and isinstance(call["args"], arguments)):
        return False
    return isinstance(call["id"], _OPTIONAL) and isinstance(call["name"], _OPTIONAL)


def _calls(calls: Any, arguments: Any) -> list[dict[str, Any]]:
    given = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list | tuple) else []
    texts = [{"args": None, **call, **{name: _text(call.get(name)) for name in ("name", "id")}} for call in given]
    return [call for call in texts if _is_call(call, arguments)]
