"""LangChain messages for AG-UI messages, which may come from a browser."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from chatmem.ui import calls, shapes
from chatmem.ui.calls import Names
from chatmem.ui.pieces import File, Piece, Reasoning, Text, content_of, is_shown_url

KEPT = "ag_ui"
"""The key in `additional_kwargs` for what an activity message holds."""
_KINDS = {
    "user": "user",
    "assistant": "assistant",
    "reasoning": "assistant",
    "activity": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
}
_ANY = {"image": "image/*", "audio": "audio/*", "video": "video/*", "document": "application/octet-stream"}
Given = dict[str, Any]


def groups_of(messages: list[Given]) -> Iterator[tuple[int, list[Given]]]:
    """Yield the AG-UI messages of each LangChain message, thoughts before it included, and the index of the first."""
    start = 0
    for index, message in enumerate(messages):
        following = messages[index + 1] if index + 1 < len(messages) else {}
        if message.get("role") != "reasoning" or following.get("role") not in ("reasoning", "assistant"):
            yield start, messages[start : index + 1]
            start = index + 1


def messages_of(group: list[Given], start: int, accept: Collection[str], names: Names) -> list[BaseMessage]:
    """Return the LangChain message of a group.

    Args:
        group: from `groups_of`.
        start: the index of its first message, for errors.
        accept: the roles that may occur.
        names: see `Names`; the message's calls are added.

    Raises:
        ValueError: the shape is wrong, or a role is not accepted.
    """
    thoughts: list[Piece] = []
    for index, message in enumerate(group, start):
        place = f"messages[{index}]"
        role = shapes.text(message, "role", place)
        if role not in _KINDS:
            raise ValueError(f"{place}.role must be one of {', '.join(_KINDS)}, not {role!r}")
        shapes.refuse(_KINDS[role], accept, place)
        if role == "reasoning":
            thoughts.append(Reasoning(shapes.text(message, "content", place)))
    return [_message(group[-1], role, thoughts, names, place)]


def _message(message: Given, role: str, thoughts: list[Piece], names: Names, place: str) -> BaseMessage:
    given: dict[str, Any] = {"id": shapes.text(message, "id", place)}
    if (name := shapes.optional(message, "name", str, place)) is not None:
        given["name"] = name
    if role == "reasoning":
        return AIMessage(content=content_of(thoughts), **given)
    if role == "activity":
        content = shapes.check(message.get("content"), dict, f"{place}.content")
        own = {"activityType": shapes.text(message, "activityType", place), "content": content}
        return ChatMessage(role=role, content="", additional_kwargs={KEPT: own}, **given)
    if role == "assistant":
        content = shapes.optional(message, "content", str, place)
        pieces = [*thoughts, *([Text(content)] if content else [])]
        return AIMessage(
            content=content_of(pieces), **given, **calls.read(message.get("toolCalls"), names, f"{place}.toolCalls")
        )
    if role in ("system", "developer"):
        kept: Any = {"additional_kwargs": {"__openai_role__": role}} if role == "developer" else {}
        return SystemMessage(content=shapes.text(message, "content", place), **given, **kept)
    content = _content(message.get("content"), f"{place}.content")
    if role == "user":
        return HumanMessage(content=content, **given)
    call_id = shapes.text(message, "toolCallId", place)
    given |= {"name": names[call_id]} if call_id in names else {}
    if shapes.optional(message, "error", str, place) is not None:
        given["status"] = "error"
    return ToolMessage(content=content, tool_call_id=call_id, **given)


def _content(content: Any, place: str) -> Any:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ValueError(f"{place} must be a string or a list, not {type(content).__name__}")
    parts = shapes.objects(content, place)
    return content_of([_piece(part, f"{place}[{index}]") for index, part in enumerate(parts)])


def _piece(part: Given, place: str) -> Piece:
    kind = shapes.text(part, "type", place)
    if kind == "text":
        return Text(shapes.text(part, "text", place))
    if kind == "binary":  # of clients before 1.0
        name = shapes.optional(part, "filename", str, place)
        value, by = part.get("data") or part.get("url"), "data" if part.get("data") else "url"
        part = {"source": {"type": by, "value": value, "mimeType": shapes.text(part, "mimeType", place)}}
        return _file(part, "application/octet-stream", place)._replace(name=name)
    if kind not in _ANY:
        raise ValueError(f"{place}.type must be one of text, {', '.join(_ANY)}, not {kind!r}")
    return _file(part, _ANY[kind], place)


def _file(part: Given, mime_type: str, place: str) -> File:
    source = shapes.check(part.get("source"), dict, f"{place}.source")
    value = shapes.text(source, "value", f"{place}.source")
    if source.get("type") == "data":
        mime_type = shapes.text(source, "mimeType", f"{place}.source")
        return File(f"data:{mime_type};base64,{value}", mime_type)
    if source.get("type") != "url" or not is_shown_url(value):
        raise ValueError(f'{place}.source must be data, or a URL that begins with "https:", "http:" or "data:"')
    return File(value, shapes.optional(source, "mimeType", str, f"{place}.source") or mime_type)
