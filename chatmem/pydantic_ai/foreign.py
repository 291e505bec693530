"""Messages that pydantic-ai did not make, in the form in which it stores its own."""

from __future__ import annotations

import base64
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from chatmem.errors import UnsupportedError

_URLS = {"image": "image-url", "audio": "audio-url", "video": "video-url", "file": "document-url"}
_IDLE = {"id", "index"}
"""what a block may have beside what it says"""


def dumped_of(message: BaseMessage, tools: dict[str, str]) -> dict[str, Any]:
    """Return the `ModelMessage` that a message says, as pydantic-ai dumps it.

    Args:
        message: of LangChain, or made of an item of OpenAI's.
        tools: the names of the tools called before it, by the ids of the calls.

    Raises:
        UnsupportedError: it says what none can.
    """
    if isinstance(message, SystemMessage):
        return _request("system-prompt", content=_text(message))
    if isinstance(message, HumanMessage):
        content = message.content
        return _request("user-prompt", content=content if isinstance(content, str) else _items(message))
    if isinstance(message, ToolMessage):
        return _tool_return(message, tools)
    if isinstance(message, AIMessage):
        return {"kind": "response", "parts": [*_said(message), *_calls(message)], **_usage(message)}
    raise UnsupportedError(f"a {type(message).__name__} is no ModelMessage of pydantic-ai")


def _request(kind: str, **values: Any) -> dict[str, Any]:
    return {"kind": "request", "parts": [{"part_kind": kind, **values}]}


def _tool_return(message: ToolMessage, tools: dict[str, str]) -> dict[str, Any]:
    name = message.name or tools.get(message.tool_call_id)
    if name is None:
        raise UnsupportedError("a ToolMessage without a name, whose call is not read with it, is no ModelMessage")
    values = {"tool_name": name, "content": _text(message), "tool_call_id": message.tool_call_id}
    outcome = "failed" if message.status == "error" else "success"
    return _request("tool-return", **values, metadata=message.artifact, outcome=outcome)


def _said(message: AIMessage) -> list[dict[str, Any]]:
    if isinstance(message.content, str):
        return [{"part_kind": "text", "content": message.content}] if message.content else []
    return [said_in(block) for block in message.content]


def said_in(block: Any) -> dict[str, Any]:
    """Return the part of a response that a block says.

    Raises:
        UnsupportedError: it says what none can.
    """
    if isinstance(block, str):
        return {"part_kind": "text", "content": block}
    if isinstance(part := block.get("value"), dict) and isinstance(part.get("part_kind"), str):
        return part  # of pydantic-ai
    if block.get("type") in _URLS and _only(block, "base64", "mime_type"):
        return {"part_kind": "file", "content": _item(block, "AIMessage")}
    for kind, field, part in (("text", "text", "text"), ("reasoning", "reasoning", "thinking")):
        if block.get("type") == kind and _only(block, field):
            return {"part_kind": part, "content": block[field]}
    raise _unsupported(block, "AIMessage")


def _calls(message: AIMessage) -> list[dict[str, Any]]:
    parts = []
    for call in (*message.tool_calls, *message.invalid_tool_calls):
        if call["id"] is None or call["name"] is None:
            raise UnsupportedError("a tool call without an id or a name is no ModelMessage of pydantic-ai")
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
    return [_item(block, type(message).__name__) for block in message.content_blocks]


def _item(block: Any, said_by: str) -> Any:
    kind = block["type"]
    if kind == "text" and _only(block, "text"):
        return block["text"]
    if kind in _URLS and _only(block, "url"):
        return {"kind": _URLS[kind], "url": block["url"]}
    if kind in _URLS and _only(block, "base64", "mime_type"):
        return {"kind": "binary", "data": base64.b64decode(block["base64"]), "media_type": block["mime_type"]}
    raise _unsupported(block, said_by)


def _only(block: dict[str, Any], *fields: str) -> bool:
    """Return whether a block says these fields and nothing else."""
    return {"type", *fields} == set(block) - _IDLE and all(isinstance(block[name], str) for name in fields)


def _unsupported(block: Any, said_by: str) -> UnsupportedError:
    kind = block.get("type")
    return UnsupportedError(f"a {said_by} with a block {kind!r} like this is no ModelMessage of pydantic-ai")
