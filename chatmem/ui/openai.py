"""OpenAI's chat completions: its messages from and to LangChain messages, without ids and metadata."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from chatmem.core.typed import typed
from chatmem.errors import UnsupportedError
from chatmem.ui import calls, shapes
from chatmem.ui.calls import Names
from chatmem.ui.pieces import DATA_URL, File, Text, is_shown_url, pieces_of, role_of, shown_in
from chatmem.ui.values import shown, shown_text

__all__ = ["from_messages", "to_messages"]

_KINDS = {role: role for role in shapes.ROLES} | {"developer": "system", "function": "tool"}
_ROLES = {"human": "user", "ai": "assistant"}
Given = dict[str, Any]


def from_messages(messages: Iterable[BaseMessage]) -> list[dict[str, Any]]:
    """Return the messages of a chat completion for messages, ready for JSON.

    Raises:
        UnsupportedError: the format cannot express a message.
    """
    return [_written(message, f"messages[{index}]") for index, message in enumerate(map(typed, messages))]


def to_messages(messages: Any, *, accept: Collection[str] = ("user",)) -> list[BaseMessage]:
    """Return the LangChain messages for messages of a chat completion.

    Args:
        messages: the list, from JSON.
        accept: the roles that may occur: "user", "assistant", "system" (with "developer"), and "tool". A client can
            forge all of them, so the default is what only the user says.

    Raises:
        ValueError: the shape is wrong, or a role is not accepted. The error names the place.
    """
    accept = shapes.accepted(accept, trusted=False)
    names: Names = {}
    return [
        _read(message, accept, names, f"messages[{index}]")
        for index, message in enumerate(shapes.objects(messages, "messages"))
    ]


def _written(message: BaseMessage, place: str) -> dict[str, Any]:
    name = {"name": shown_text(message.name)} if message.name else {}
    if isinstance(message, AIMessage):
        return {"role": "assistant", "content": _text(message)} | _spoken(message) | name
    if isinstance(message, ToolMessage):
        return {"role": "tool", "content": _text(message), "tool_call_id": shown_text(message.tool_call_id)}
    if isinstance(message, FunctionMessage):
        return {"role": "function", "content": _text(message)} | name
    if isinstance(message, HumanMessage):
        return {"role": "user", "content": _content(message, place)} | name
    if isinstance(message, SystemMessage):
        return {"role": role_of(message), "content": _text(message)} | name
    role = _ROLES.get(message.role, message.role) if isinstance(message, ChatMessage) else ""
    if isinstance(message, RemoveMessage) or role not in ("user", "assistant", "system", "developer"):
        what = f"a {type(message).__name__}" + (f" of role {role!r}" if role else "")
        raise UnsupportedError(f"{place} is {what}, which OpenAI's format cannot express")
    return {"role": role, "content": _content(message, place)} | name


def _spoken(message: AIMessage) -> dict[str, Any]:
    refusal, written = message.additional_kwargs.get("refusal"), calls.written(message, {})
    told: dict[str, Any] = {"refusal": shown_text(refusal)} if isinstance(refusal, str) else {}
    if written:
        told |= {"tool_calls": written} | ({} if message.content else {"content": None})
    return told


def _text(message: BaseMessage) -> Any:
    """Return a text, or parts that are texts: these roles have no others. What a tool returned otherwise is JSON."""
    if isinstance(message.content, str):
        return shown_text(message.content)
    texts = [_text_part(piece) for piece in pieces_of(message) if isinstance(piece, Text)]
    if not texts and message.content and isinstance(message, ToolMessage):
        return json.dumps(shown(message.content), ensure_ascii=False)
    return texts


def _content(message: BaseMessage, place: str) -> Any:
    if isinstance(message.content, str):
        return _text(message)
    return [part for block in message.content for part in _parts(block, place)]


def _parts(block: Any, place: str) -> Iterator[dict[str, Any]]:
    match block:
        case {"type": "file", "file": {"file_id": str(file_id)}} | {"type": "file", "file_id": str(file_id)}:
            yield {"type": "file", "file": {"file_id": shown_text(file_id)}}
        case _:
            for piece in shown_in(block):
                if isinstance(piece, Text):
                    yield _text_part(piece)
                elif isinstance(piece, File):
                    yield _file_part(piece, place)


def _text_part(piece: Text) -> dict[str, Any]:
    return {"type": "text", "text": shown_text(piece.text)}


def _file_part(piece: File, place: str) -> dict[str, Any]:
    kind, _, form = shown_text(piece.mime_type).partition("/")
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": shown_text(piece.url)}}
    match = DATA_URL.fullmatch(shown_text(piece.url))
    if match is None:
        what = f"a file of type {piece.mime_type!r} at a URL"
        raise UnsupportedError(f"{place} has {what}, which OpenAI's format cannot express: send the file itself")
    if kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": match[2], "format": form}}
    name = {} if piece.name is None else {"filename": shown_text(piece.name)}
    return {"type": "file", "file": {"file_data": match[0], **name}}


def _read(message: Given, accept: Collection[str], names: Names, place: str) -> BaseMessage:
    role = shapes.text(message, "role", place)
    if role not in _KINDS:
        raise ValueError(f"{place}.role must be one of {', '.join(_KINDS)}, not {role!r}")
    shapes.refuse(_KINDS[role], accept, place)
    name = shapes.optional(message, "name", str, place)
    given: dict[str, Any] = {} if name is None else {"name": name}
    if role == "assistant":
        return _assistant(message, given, names, place)
    content = _blocks(message.get("content"), f"{place}.content")
    if role == "user":
        return HumanMessage(content=content, **given)
    if role == "function":
        return FunctionMessage(content=content, name=shapes.text(message, "name", place))
    if role == "tool":
        call_id = shapes.text(message, "tool_call_id", place)
        given = {"name": names[call_id]} if call_id in names else given
        return ToolMessage(content=content, tool_call_id=call_id, **given)
    kept: Any = {"additional_kwargs": {"__openai_role__": role}} if role == "developer" else {}
    return SystemMessage(content=content, **given, **kept)


def _assistant(message: Given, given: dict[str, Any], names: Names, place: str) -> AIMessage:
    if message.get("function_call") is not None:
        raise ValueError(f"{place}.function_call is OpenAI's old form of a call: send tool_calls")
    content = "" if message.get("content") is None else _blocks(message["content"], f"{place}.content")
    if (refusal := shapes.optional(message, "refusal", str, place)) is not None:
        given["additional_kwargs"] = {"refusal": refusal}
    given |= calls.read(message.get("tool_calls"), names, f"{place}.tool_calls")
    return AIMessage(content=content, **given)


def _blocks(content: Any, place: str) -> Any:
    """Return the content, with parts as the blocks of LangChain that are the same as OpenAI's."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ValueError(f"{place} must be a string or a list, not {type(content).__name__}")
    return [_block(part, f"{place}[{index}]") for index, part in enumerate(shapes.objects(content, place))]


def _block(part: Given, place: str) -> dict[str, Any]:
    kind = shapes.text(part, "type", place)
    if kind in ("text", "refusal"):
        return {"type": kind, kind: shapes.text(part, kind, place)}
    if kind not in _FIELDS:
        raise ValueError(f"{place}.type must be one of text, refusal, {', '.join(_FIELDS)}, not {kind!r}")
    inner = shapes.check(part.get(kind), dict, f"{place}.{kind}")
    needed, more = _FIELDS[kind]
    values = {name: shapes.text(inner, name, f"{place}.{kind}") for name in needed}
    for name in more:
        if (value := shapes.optional(inner, name, str, f"{place}.{kind}")) is not None:
            values[name] = value
    for name in ("url", "file_data"):
        if name in values and not is_shown_url(values[name]):
            raise ValueError(f'{place}.{kind}.{name} must begin with "https:", "http:" or "data:"')
    return {"type": kind, kind: values}


_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "image_url": (("url",), ("detail",)),
    "input_audio": (("data", "format"), ()),
    "file": ((), ("file_data", "file_id", "filename")),
}
"""for each kind of part, the texts that it must have, and those that it may have"""
