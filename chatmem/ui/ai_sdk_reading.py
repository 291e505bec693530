"""LangChain messages for the AI SDK's `UIMessage`s, which may come from a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call

from chatmem.ui import shapes
from chatmem.ui.ai_sdk_parts import KEPT, Part, invalid_part, is_final, tool_part
from chatmem.ui.pieces import File, Piece, Reasoning, Text, content_of, is_shown_url

_BESIDE = {"text": ("providerMetadata", "citations"), "reasoning": ("providerMetadata",)}
_BESIDE["file"] = ("providerMetadata", "providerReference")
_OWN = ("source-url", "source-document", "reasoning-file", "custom", "steering-message")
"""parts that LangChain has no block for, with those whose type begins with "data-" """
_OF_USERS = ("text", "file", "data-")
_STATES = (
    *("input-streaming", "input-available", "approval-requested", "approval-responded"),
    *("output-available", "output-error", "output-denied"),
)
_SEPARATE = ("state", "output", "errorText", "rawInput", "toolCallId", "preliminary", "inputEncoding")
_DENIED = "Tool call execution denied."


def messages_of(ui: dict[str, Any], accept: Collection[str], place: str) -> list[BaseMessage]:
    """Return the LangChain messages of a `UIMessage`'s parts.

    Args:
        ui: the `UIMessage`.
        accept: the roles that may occur.
        place: where it is, for errors.

    Raises:
        ValueError: the shape is wrong, or a role is not accepted.
    """
    role, message_id = shapes.text(ui, "role", place), shapes.text(ui, "id", place)
    if role not in ("user", "assistant", "system"):
        raise ValueError(f'{place}.role must be "user", "assistant" or "system", not {role!r}')
    shapes.refuse(role, accept, place)
    parts = shapes.objects(ui.get("parts"), f"{place}.parts")
    if role != "assistant":
        return [_of_user(role, message_id, parts, place)]
    messages: list[BaseMessage] = []
    for start, step in _steps(parts):
        messages += _of_step(step, start, accept, place)
    for number, message in enumerate(messages or [AIMessage("")]):
        message.id = f"{message_id}.{number}" if number else message_id
    return messages or [AIMessage("", id=message_id)]


def _of_user(role: str, message_id: str, parts: list[Part], place: str) -> BaseMessage:
    step = _Step()
    for index, part in enumerate(parts):
        where = f"{place}.parts[{index}]"
        kind = shapes.text(part, "type", where)
        if not kind.startswith(_OF_USERS) or (role == "system" and kind != "text"):
            raise ValueError(f"{where}.type {kind!r} does not belong in a message of role {role!r}")
        step.add(part, kind, where)
    content = content_of(step.pieces)
    kept: Any = {"additional_kwargs": {KEPT: {"parts": step.own}}} if step.own else {}
    cls = SystemMessage if role == "system" else HumanMessage
    return cls(content=content, id=message_id, **kept)


def _steps(parts: list[Part]) -> Iterator[tuple[int, list[Part]]]:
    """Yield the parts of each step of the model that has any, and the index of its first one."""
    start = 0
    for index in range(len(parts) + 1):
        if index == len(parts) or parts[index].get("type") == "step-start":
            if parts[start:index]:
                yield start, parts[start:index]
            start = index + 1


class _Step:
    """What the parts of one message become."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.own: list[list[Any]] = []
        self.count = 0

    def add(self, part: Part, kind: str, place: str) -> bool:
        """Take a part that is no tool's; return False for others."""
        if kind.startswith("data-") or kind in _OWN:
            self.own.append([self.count, part])
        elif kind in _BESIDE:
            self.pieces.append(_piece(part, kind, place))
        else:
            return False
        self.count += 1
        return True


def _piece(part: Part, kind: str, place: str) -> Piece:
    extras = {name: part[name] for name in _BESIDE[kind] if part.get(name) is not None} or None
    if kind == "text":
        return Text(shapes.text(part, "text", place), extras=extras)
    if kind == "reasoning":
        return Reasoning(shapes.text(part, "text", place), extras)
    url = shapes.text(part, "url", place)
    if not is_shown_url(url):
        raise ValueError(f'{place}.url must begin with "https:", "http:" or "data:"')
    name = shapes.optional(part, "filename", str, place)
    return File(url, shapes.text(part, "mediaType", place), name, extras)


def _of_step(parts: list[Part], start: int, accept: Collection[str], place: str) -> list[BaseMessage]:
    step, results = _Step(), list[BaseMessage]()
    calls, invalid, beside = list[Any](), list[Any](), dict[str, Part]()
    for index, part in enumerate(parts, start):
        where = f"{place}.parts[{index}]"
        kind = shapes.text(part, "type", where)
        if step.add(part, kind, where):
            continue
        if not kind.startswith("tool-") and kind != "dynamic-tool":
            raise ValueError(f"{where}.type {kind!r} is no part of a message that this release knows")
        if is_final(part):
            shapes.refuse("tool", accept, where)
        if (made := _tool(part, kind, where)) is None:
            continue
        step.count += 1
        call, result, more = made
        (calls if call["type"] == "tool_call" else invalid).append(call)
        results += [result] if result is not None else []
        beside |= {call["id"]: more} if more else {}
    own = ({"parts": step.own} if step.own else {}) | ({"calls": beside} if beside else {})
    given: dict[str, Any] = {"additional_kwargs": {KEPT: own}} if own else {}
    given |= ({"tool_calls": calls} if calls else {}) | ({"invalid_tool_calls": invalid} if invalid else {})
    return [AIMessage(content=content_of(step.pieces), **given), *results]


def _tool(part: Part, kind: str, place: str) -> tuple[Any, ToolMessage | None, Part] | None:
    """Return the call of a tool's part, its result, and what the part has besides; None if the call is not complete."""
    call_id, state = shapes.text(part, "toolCallId", place), shapes.text(part, "state", place)
    name = kind.removeprefix("tool-") if kind != "dynamic-tool" else shapes.text(part, "toolName", place)
    if state not in _STATES:
        raise ValueError(f"{place}.state must be one of {', '.join(_STATES)}, not {state!r}")
    if state == "input-streaming":
        return None
    given = part.get("input")
    if state == "output-error" and not isinstance(given, dict):
        failed = _invalid(part, name, call_id, place)
        return failed, None, _beside(part, invalid_part(failed, None))
    call = tool_call(name=name, args=given if isinstance(given, dict) else {"input": given}, id=call_id)
    result = _RESULTS[state](part, name, call_id, place) if state in _RESULTS else None
    return call, result, _beside(part, tool_part(call, result))


def _invalid(part: Part, name: str, call_id: str, place: str) -> Any:
    given = part.get("input") if part.get("input") is not None else part.get("rawInput")
    written = given if isinstance(given, str) else json.dumps(given)
    return invalid_tool_call(name=name, args=written, id=call_id, error=shapes.text(part, "errorText", place))


def _beside(part: Part, derived: Part) -> Part:
    """Return what a part has besides what its call and its result express."""
    return {
        key: value
        for key, value in part.items()
        if key not in _SEPARATE and value is not None and derived.get(key) != value
    }


def _output(part: Part, name: str, call_id: str, place: str) -> ToolMessage:
    if "output" not in part:
        raise ValueError(f"{place}.output must be there, since the state is 'output-available'")
    output = part["output"]
    if isinstance(output, str) or (
        output and isinstance(output, list) and all(isinstance(one, dict) for one in output)
    ):
        return ToolMessage(output, name=name, tool_call_id=call_id)
    own = {KEPT: {"output": output}}
    written = json.dumps(output, ensure_ascii=False)
    return ToolMessage(written, name=name, tool_call_id=call_id, additional_kwargs=own)


def _error(part: Part, name: str, call_id: str, place: str) -> ToolMessage:
    text = shapes.text(part, "errorText", place)
    return ToolMessage(text, name=name, tool_call_id=call_id, status="error")


def _denied(part: Part, name: str, call_id: str, place: str) -> ToolMessage:
    approval = shapes.optional(part, "approval", dict, place) or {}
    reason = shapes.optional(approval, "reason", str, f"{place}.approval") or _DENIED
    return ToolMessage(reason, name=name, tool_call_id=call_id, status="error")


_RESULTS: dict[str, Callable[[Part, str, str, str], ToolMessage]] = {
    "output-available": _output,
    "output-error": _error,
    "output-denied": _denied,
}
