"""Converts the framework's `Message`s to LangChain messages with the same content, in which form they are stored.

A message becomes one message; a message with tools' results becomes one for each result. What the LangChain message
expresses itself (text, a file's data) is not stored twice.
"""

from __future__ import annotations

import json
import re
from typing import Any

from agent_framework import Message
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call

ORIGIN = "agent_framework"
"""The key in `additional_kwargs` with what a message does not express of the `Message` that it was made from.

It holds "contents" (with None in place of what the message expresses), and "message": the other fields. Further results
of one `Message` have no "message".
"""
_CLASSES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "assistant": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}
_DATA = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)
_KINDS = ("image", "audio", "video")


def to_messages(message: Message) -> list[BaseMessage]:
    """Return LangChain messages for a `Message`; `from_messages` turns them back."""
    dump = message.to_dict()
    dump.pop("type", None)
    contents: list[dict[str, Any]] = dump.pop("contents", [])
    if message.role == "tool" and contents and all(map(_is_result, contents)):
        return [_result(one, {} if number else {"message": dump}) for number, one in enumerate(contents)]
    kind = _CLASSES.get(message.role, AIMessage)
    blocks, rests = list[Any](), list[dict[str, Any]]()
    for content in contents:
        block, rest = _block(content, kind)
        blocks += [] if block is None else [block]
        rests.append(rest)
    text = blocks[0]["text"] if len(blocks) == 1 and blocks[0]["type"] == "text" else None
    calls = [_call(one) for one in contents if is_call(one)] if kind is AIMessage else []
    fields: dict[str, list[Any]] = {"tool_calls": [], "invalid_tool_calls": []} if calls else {}
    for field, call in calls:
        fields[field].append(call)
    kept = {ORIGIN: {"message": dump, "contents": rests}}
    return [kind(content=blocks or "" if text is None else text, additional_kwargs=kept, **fields)]


def is_call(content: dict[str, Any]) -> bool:
    """Return whether a content is a call of a tool that the application runs."""
    own = content["type"] == "function_call" and not content.get("informational_only") and not content.get("hosted")
    return own and all(isinstance(content.get(name), str) for name in ("call_id", "name"))


def media_kind(media_type: str) -> str:
    """Return the type of LangChain's block for a file."""
    kind = media_type.partition("/")[0]
    return kind if kind in _KINDS else "file"


def _is_result(content: dict[str, Any]) -> bool:
    is_result = content["type"] == "function_result"
    return is_result and all(isinstance(content.get(name), str) for name in ("call_id", "result"))


def _result(content: dict[str, Any], kept: dict[str, Any]) -> ToolMessage:
    text, rest = content["result"], {**content, "result": None}
    if content.get("items") == [{"type": "text", "text": text, "additional_properties": {}}]:
        rest["items"] = None
    return ToolMessage(
        text,
        tool_call_id=content["call_id"],
        status="error" if "exception" in content else "success",
        additional_kwargs={ORIGIN: {**kept, "contents": [rest]}},
    )


def _block(content: dict[str, Any], kind: type[BaseMessage]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return the block that expresses a content, or None, and what it does not express."""
    text, uri = content.get("text"), content.get("uri")
    if content["type"] == "text" and isinstance(text, str):
        return {"type": "text", "text": text}, {**content, "text": None}
    if content["type"] == "text_reasoning" and isinstance(text, str) and kind is AIMessage:
        return {"type": "reasoning", "reasoning": text}, {**content, "text": None}
    if content["type"] in ("data", "uri") and isinstance(uri, str) and kind is not SystemMessage:
        media, rest = media_kind(content.get("media_type") or ""), {**content, "uri": None}
        if found := _DATA.fullmatch(uri):
            return {"type": media, "base64": found[2], "mime_type": found[1]}, rest
        return {"type": media, "url": uri}, rest
    return None, content


def _call(content: dict[str, Any]) -> tuple[str, Any]:
    """Return a tool call, and the field of an `AIMessage` that it belongs to."""
    name, given, call_id = content["name"], content.get("arguments"), content["call_id"]
    try:
        args = json.loads(given or "{}") if given is None or isinstance(given, str) else given
    except (ValueError, RecursionError):
        args = None
    if isinstance(args, dict):
        return "tool_calls", tool_call(name=name, args=args, id=call_id)
    error = "the arguments are no JSON object"
    return "invalid_tool_calls", invalid_tool_call(name=name, args=str(given), id=call_id, error=error)
