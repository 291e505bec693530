"""Converts messages that pydantic-ai did not make to dumped `ModelMessage`s, the form in which it stores its own."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from chatmem.blocks import standard_blocks
from chatmem.errors import UnsupportedError

_URLS = {"image": "image-url", "audio": "audio-url", "video": "video-url", "file": "document-url"}
_IDLE = {"id", "index"}
"""fields that a block may have besides its content, and that are not carried over"""


def model_message_of(message: BaseMessage, tools: dict[str, str]) -> dict[str, Any]:
    """Return the `ModelMessage` with a message's content, as pydantic-ai dumps it.

    Args:
        message: a message that LangChain made, or that was made from an item of OpenAI's SDK.
        tools: the names of the tools called so far, by the ids of the calls.

    Raises:
        UnsupportedError: no `ModelMessage` can express the message.
    """
    if isinstance(message, SystemMessage):
        return _request("system-prompt", content=_text(message))
    if isinstance(message, HumanMessage):
        content = message.content
        return _request("user-prompt", content=content if isinstance(content, str) else _items(message))
    if isinstance(message, ToolMessage):
        return _tool_return(message, tools)
    if isinstance(message, AIMessage):
        return {"kind": "response", "parts": [*_parts(message), *_calls(message)], **_usage(message)}
    raise UnsupportedError(f"a {type(message).__name__} cannot be written as a ModelMessage")


def _request(kind: str, **values: Any) -> dict[str, Any]:
    return {"kind": "request", "parts": [{"part_kind": kind, **values}]}


def _tool_return(message: ToolMessage, tools: dict[str, str]) -> dict[str, Any]:
    name = message.name or tools.get(message.tool_call_id)
    if name is None:
        raise UnsupportedError(
            "a ToolMessage without a name cannot be written as a ModelMessage unless the tool call is read with it"
        )
    values = {"tool_name": name, "content": _text(message), "tool_call_id": message.tool_call_id}
    outcome = "failed" if message.status == "error" else "success"
    return _request("tool-return", **values, metadata=message.artifact, outcome=outcome)


def _parts(message: AIMessage) -> list[dict[str, Any]]:
    if isinstance(message.content, str):
        return [{"part_kind": "text", "content": message.content}] if message.content else []
    return [part_of(block) for block in message.content]


def part_of(block: Any) -> dict[str, Any]:
    """Return the part of a response with a block's content.

    Raises:
        UnsupportedError: no part can express the block.
    """
    if isinstance(block, str):
        return {"part_kind": "text", "content": block}
    if isinstance(part := block.get("value"), dict) and isinstance(part.get("part_kind"), str):
        return part  # pydantic-ai made it
    kind = block.get("type")
    if isinstance(kind, str) and kind in _URLS and _only(block, "base64", "mime_type"):
        return {"part_kind": "file", "content": _item(block, "AIMessage")}
    for name, field, part in (("text", "text", "text"), ("reasoning", "reasoning", "thinking")):
        if kind == name and _only(block, field):
            return {"part_kind": part, "content": block[field]}
    raise _unsupported(block, "AIMessage")


def _calls(message: AIMessage) -> list[dict[str, Any]]:
    parts = []
    for call in (*message.tool_calls, *message.invalid_tool_calls):
        if call["id"] is None or call["name"] is None:
            raise UnsupportedError("a tool call without an id or a name cannot be written as a ModelMessage")
        values = {"tool_name": call["name"], "args": call["args"], "tool_call_id": call["id"]}
        parts.append({"part_kind": "tool-call", **values})
    return parts


def _usage(message: AIMessage) -> dict[str, Any]:
    if message.usage_metadata is None:
        return {}
    return {"usage": {name: message.usage_metadata[name] for name in ("input_tokens", "output_tokens")}}


def _text(message: BaseMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    for block in message.content:
        if not isinstance(block, str) and not (block.get("type") == "text" and _only(block, "text")):
            raise _unsupported(block, type(message).__name__)
    return "".join(block if isinstance(block, str) else block["text"] for block in message.content)


def _items(message: HumanMessage) -> list[Any]:
    return [_item(block, type(message).__name__) for block in standard_blocks(message)]


def _item(block: Any, message_kind: str) -> Any:
    kind = block["type"]
    if kind == "text" and _only(block, "text"):
        return block["text"]
    if kind in _URLS and _only(block, "url"):
        return {"kind": _URLS[kind], "url": block["url"]}
    if kind in _URLS and _only(block, "base64", "mime_type"):
        with suppress(ValueError):  # it is no base64
            return {"kind": "binary", "data": base64.b64decode(block["base64"]), "media_type": block["mime_type"]}
    raise _unsupported(block, message_kind)


def _only(block: dict[str, Any], *fields: str) -> bool:
    """Return whether a block has these fields, as strings, and no others."""
    return {"type", *fields} == set(block) - _IDLE and all(isinstance(block[name], str) for name in fields)


def _unsupported(block: Any, message_kind: str) -> UnsupportedError:
    kind = block.get("type")
    return UnsupportedError(f"a {message_kind} with such a block of type {kind!r} cannot be written as a ModelMessage")
