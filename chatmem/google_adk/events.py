"""Converts events of Google's ADK to LangChain messages, in which form they are stored, and back.

An event becomes one message; an event with the results of several tools becomes one message for each result, since
LangChain has a message for each. The first message keeps the rest of the event in `additional_kwargs`: the event in
JSON, without what the message expresses itself (text, a file's bytes, a call's arguments, a tool's result).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from google.adk.events.event import Event
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import ToolCall, tool_call
from pydantic import ValidationError

from chatmem.core.typed import typed
from chatmem.errors import UnsupportedError
from chatmem.google_adk.deltas import storable
from chatmem.google_adk.from_langchain import event_of

KEPT = "google_adk"
"""The key in `additional_kwargs` with the rest of the event, or with what else the adapter stores in a message."""
_KINDS = ("image", "audio", "video")
_TO_URL_SAFE, _TO_STANDARD = str.maketrans("+/", "-_"), str.maketrans("-_", "+/")


def to_messages(event: Event) -> list[BaseMessage]:
    """Return the messages for an event. The first one has the event's id, and `to_event` turns it back.

    Args:
        event: the event. Values that JSON cannot represent are stored as ADK itself writes them.

    Raises:
        EncodingError: the event holds bytes that are no UTF-8, or a value that contains itself.
    """
    dump = _dump(event)
    first, *others = _messages(dump, event)
    rest = _rest(dump, with_results=bool(others))
    first.id = event.id
    first.additional_kwargs[KEPT] = {"event": rest}
    if _restored(rest, first) != dump:
        first.additional_kwargs[KEPT] = {"event": dump, "whole": True}
    for number, other in enumerate(others, 1):
        other.id = f"{event.id} {number}"
        other.additional_kwargs[KEPT] = {"of": event.id}
    return [first, *others]


def to_event(message: BaseMessage) -> Event | None:
    """Return the event for a stored message; None if the message stands for no event, or for a part of one.

    Raises:
        UnsupportedError: another framework stored the message, and no event can express it; or this version of ADK
            cannot read the event.
    """
    message = typed(message)
    kept = message.additional_kwargs.get(KEPT)
    if not isinstance(kept, dict):
        return event_of(message)
    if "event" not in kept:
        return None
    dump = kept["event"] if kept.get("whole") else _restored(kept["event"], message)
    if dump is None:  # the message was changed since
        return event_of(message)
    try:
        return Event.model_validate(dump)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[0]
        why = f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
    # Raised outside of the except block, since pydantic's error would show the messages' text as the context.
    raise UnsupportedError(f"this version of ADK cannot read the event {message.id!r}: {why}")


def _dump(event: Event) -> dict[str, Any]:
    """Return an event in JSON. Fields with their defaults are left out; None inside of a dict stays."""
    with storable("the event"):
        dump: dict[str, Any] = event.model_dump(mode="json", exclude_defaults=True, warnings=False)
    return {name: value for name, value in dump.items() if value is not None}


def _parts(dump: dict[str, Any]) -> list[dict[str, Any]]:
    return (dump.get("content") or {}).get("parts") or []


def _messages(dump: dict[str, Any], event: Event) -> list[BaseMessage]:
    parts = _parts(dump)
    results = [part["function_response"] for part in parts if "function_response" in part]
    if results:
        return [_result(result) for result in results]
    blocks = [block for part in parts if (block := _block(part)) is not None]
    content: Any = blocks[0]["text"] if len(blocks) == 1 and blocks[0]["type"] == "text" else blocks or ""
    calls = [_call(part["function_call"]) for part in parts if "function_call" in part]
    if blocks and not calls and (event.author == "user" or (event.content and event.content.role == "user")):
        return [HumanMessage(content)]
    return [AIMessage(content, tool_calls=calls)]


def _block(part: dict[str, Any]) -> dict[str, Any] | None:
    """Return the content block for a part; None if there is none that other frameworks understand."""
    if "text" in part:
        kind = "reasoning" if part.get("thought") else "text"
        return {"type": kind, kind: part["text"]}
    if (blob := part.get("inline_data")) and isinstance(blob.get("data"), str):
        mime_type = blob.get("mime_type") or "application/octet-stream"
        data = blob["data"].translate(_TO_STANDARD)
        return {"type": _kind(mime_type), "base64": data, "mime_type": mime_type}
    if (file := part.get("file_data")) and file.get("file_uri"):
        return {"type": _kind(file.get("mime_type") or ""), "url": file["file_uri"]}
    return None


def _kind(mime_type: str) -> str:
    return next((kind for kind in _KINDS if mime_type.startswith(f"{kind}/")), "file")


def _call(call: dict[str, Any]) -> ToolCall:
    return tool_call(name=call.get("name") or "", args=call.get("args") or {}, id=call.get("id"))


def _result(result: dict[str, Any]) -> ToolMessage:
    response = result.get("response")
    failed = isinstance(response, dict) and set(response) == {"error"}
    return ToolMessage(
        json.dumps(response, ensure_ascii=False),
        tool_call_id=result.get("id") or "",
        name=result.get("name"),
        status="error" if failed else "success",
    )


def _rest(dump: dict[str, Any], *, with_results: bool) -> dict[str, Any]:
    """Return an event without its id, and with None in place of what its message expresses."""
    rest, parts = {name: value for name, value in dump.items() if name != "id"}, _parts(dump)
    if parts:
        rest["content"] = {**dump["content"], "parts": [_rest_of(part, with_results) for part in parts]}
    return rest


def _rest_of(part: dict[str, Any], with_results: bool) -> dict[str, Any]:
    if "text" in part:
        return {**part, "text": None}
    if "inline_data" in part:
        return {**part, "inline_data": {**part["inline_data"], "data": None}}
    if "function_call" in part:
        return {**part, "function_call": {**part["function_call"], "args": None}}
    if "function_response" in part and not with_results:
        return {**part, "function_response": {**part["function_response"], "response": None}}
    return part


def _restored(rest: dict[str, Any], message: BaseMessage) -> dict[str, Any] | None:
    """Return an event in JSON, with its message's present content; None if the two do not fit."""
    parts, event = _parts(rest), {**rest, "id": message.id}
    if not parts:
        return event
    content = [message.content] if isinstance(message.content, str) and message.content else message.content or []
    blocks = iter([{"type": "text", "text": one} if isinstance(one, str) else one for one in content])
    calls = iter(message.tool_calls if isinstance(message, AIMessage) else [])
    try:
        filled = [_filled(part, blocks, calls, message) for part in parts]
    except (KeyError, StopIteration, ValueError):
        return None
    return {**event, "content": {**rest["content"], "parts": filled}}


def _filled(
    part: dict[str, Any], blocks: Iterator[dict[str, Any]], calls: Iterator[ToolCall], message: BaseMessage
) -> dict[str, Any]:
    if "text" in part:
        return {**part, "text": next(blocks)["reasoning" if part.get("thought") else "text"]}
    if "inline_data" in part:
        data = next(blocks)["base64"].translate(_TO_URL_SAFE)
        return {**part, "inline_data": {**part["inline_data"], "data": data}}
    if "file_data" in part:
        next(blocks)
    elif "function_call" in part:
        return {**part, "function_call": {**part["function_call"], "args": next(calls)["args"]}}
    elif "function_response" in part and "response" in part["function_response"]:
        response = part["function_response"]["response"]
        response = json.loads(str(message.content)) if response is None else response
        return {**part, "function_response": {**part["function_response"], "response": response}}
    return part
