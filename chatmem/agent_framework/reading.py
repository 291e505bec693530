"""Converts stored messages to the framework's `Message`s."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from agent_framework import Message
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from chatmem.agent_framework.writing import ORIGIN, is_call
from chatmem.blocks import standard_blocks
from chatmem.core.typed import typed
from chatmem.errors import UnsupportedError

_ROLES: dict[type[BaseMessage], str] = {HumanMessage: "user", AIMessage: "assistant", SystemMessage: "system"}
_FILES = ("image", "audio", "video", "file")


def from_messages(messages: Iterable[BaseMessage]) -> list[Message]:
    """Return the `Message`s for stored messages.

    Args:
        messages: LangChain messages. Those that `to_messages` made become the same `Message`s again; others become
            `Message`s with the same content.

    Raises:
        UnsupportedError: a message that another framework stored cannot be written as a `Message`.
    """
    dumps, results = list[dict[str, Any]](), False
    for message in map(typed, messages):
        kept = message.additional_kwargs.get(ORIGIN)
        contents = _filled(kept["contents"], message) if isinstance(kept, dict) else None
        if kept is None or contents is None:
            dumps.append(_foreign(message))
        elif "message" in kept:
            dumps.append({**kept["message"], "contents": contents})
        elif results:
            dumps[-1]["contents"] += contents
        else:  # the first result was removed
            dumps.append({"role": "tool", "contents": contents})
        results = isinstance(message, ToolMessage) and contents is not None
    return [_message(dump) for dump in dumps]


def _message(dump: dict[str, Any]) -> Message:
    try:
        return Message.from_dict(dump)
    except (TypeError, ValueError) as error:
        why = type(error).__name__
    # Raised outside of the except block, since the error would show the message's text as the context.
    raise UnsupportedError(f"this version of Agent Framework cannot read the message: {why}")


def _filled(rests: list[dict[str, Any]], message: BaseMessage) -> list[dict[str, Any]] | None:
    """Return a message's contents, with its present text; None if they do not fit, because somebody changed it."""
    if isinstance(message, ToolMessage):
        return [_filled_result(rest, message) for rest in rests]
    calls = [one["call_id"] for one in rests if is_call(one)] if isinstance(message, AIMessage) else []
    blocks = _blocks(message)
    if sorted(calls) != sorted(_calls(message)) or len(blocks) != sum(map(_is_moved, rests)):
        return None
    left = iter(blocks)
    filled = [_filled_content(rest, left) if _is_moved(rest) else rest for rest in rests]
    return None if None in filled else [one for one in filled if one is not None]


def _filled_result(rest: dict[str, Any], message: ToolMessage) -> dict[str, Any]:
    text = str(message.text)
    items = {"items": [{"type": "text", "text": text}]} if rest.get("items", ()) is None else {}
    return {**rest, "call_id": message.tool_call_id, "result": text, **items}


def _is_moved(rest: dict[str, Any]) -> bool:
    return any(rest.get(field, "") is None for field in ("text", "uri"))


def _filled_content(rest: dict[str, Any], blocks: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    block = next(blocks)
    if rest["type"] in ("text", "text_reasoning"):
        text = block.get("text" if rest["type"] == "text" else "reasoning")
        return None if text is None else {**rest, "text": text}
    uri = block["url"] if "url" in block else f"data:{block.get('mime_type')};base64,{block.get('base64')}"
    return {**rest, "uri": uri} if block.get("type") in _FILES else None


def _blocks(message: BaseMessage) -> list[Any]:
    if isinstance(message.content, str):
        return [{"type": "text", "text": message.content}] if _has_text(message) else []
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in message.content]


def _has_text(message: BaseMessage) -> bool:
    """Return whether a message with a string as content has a text, which may be empty."""
    kept = message.additional_kwargs.get(ORIGIN, {})
    return bool(message.content) or any(map(_is_moved, kept.get("contents", ())))


def _calls(message: BaseMessage) -> list[str]:
    calls = (*message.tool_calls, *message.invalid_tool_calls) if isinstance(message, AIMessage) else ()
    return [call["id"] or "" for call in calls]


def _foreign(message: BaseMessage) -> dict[str, Any]:
    """Return the dump of a `Message` with the content of a message that it was not made from."""
    if isinstance(message, ToolMessage):
        result = {"type": "function_result", "call_id": message.tool_call_id, "result": _text(message)}
        failed = {"exception": "failed"} if message.status == "error" else {}
        return {"role": "tool", "contents": [{**result, "items": [_said(_text(message))], **failed}]}
    role = next((role for kind, role in _ROLES.items() if isinstance(message, kind)), None)
    if role is None:
        raise UnsupportedError(f"a {type(message).__name__} cannot be written as a Message of Agent Framework")
    blocks = standard_blocks(message) if isinstance(message, HumanMessage) else _blocks(message)
    contents = [_content(block, message) for block in blocks]
    for call in (*message.tool_calls, *message.invalid_tool_calls) if isinstance(message, AIMessage) else ():
        arguments = call["args"] if isinstance(call["args"], str) else json.dumps(call["args"])
        contents.append({"type": "function_call", "call_id": call["id"], "name": call["name"], "arguments": arguments})
    return {"role": role, "contents": contents}


def _content(block: Any, message: BaseMessage) -> dict[str, Any]:
    kind = block.get("type")
    if kind == "text" and isinstance(text := block.get("text") or "", str):
        return _said(text)
    if kind == "reasoning" and isinstance(block.get("reasoning"), str):
        return {"type": "text_reasoning", "text": block["reasoning"]}
    media = {"media_type": block.get("mime_type") or f"{kind}/*"}
    if kind in _FILES and isinstance(block.get("url"), str):
        return {"type": "uri", "uri": block["url"], **media}
    if kind in _FILES and isinstance(block.get("base64"), str):
        return {"type": "data", "uri": f"data:{media['media_type']};base64,{block['base64']}", **media}
    if kind in ("tool_call", "invalid_tool_call"):  # these are among the message's calls as well
        return _said("")
    name = type(message).__name__
    raise UnsupportedError(f"a {name} with a block of type {kind!r} cannot be written as a Message of Agent Framework")


def _text(message: BaseMessage) -> str:
    return "".join(_content(block, message).get("text", "") for block in _blocks(message))


def _said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
