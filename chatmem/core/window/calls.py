"""Finds the tool calls of a message, in its fields and its content, and makes copies of it with changed calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage, message_chunk_to_message

Change = Callable[[str, int], str | None]
"""Returns the new id of the n-th call with an id, counted from 0, or None to remove the call."""

_FORMS = {"tool_use", "tool_call", "invalid_tool_call", "function_call", "custom_tool_call", "computer_call"}
"""the types of content blocks that are calls, of Anthropic, LangChain and OpenAI"""
_THOUGHTS = {"reasoning", "thinking", "redacted_thinking", "reasoning_content"}
_ORIGINS = {"pydantic_ai": "tool_call_id", "openai_item": "call_id"}
"""the keys in `additional_kwargs` where adapters keep the original of a message, and the name of a call's id there"""


class Call(NamedTuple):
    """A tool call."""

    id: str
    """empty if it has none"""
    named: bool
    """whether it names its tool; providers refuse calls that do not"""
    valid: bool
    """whether its arguments are valid; other calls need no result"""


def calls_of(message: AIMessage) -> list[Call]:
    """Return the calls in a message's fields, and those that are only in its content."""
    found = [Call(call.get("id") or "", bool(call.get("name")), valid=True) for call in message.tool_calls]
    if message.invalid_tool_calls:
        found += [
            Call(call.get("id") or "", bool(call.get("name")), valid=False) for call in message.invalid_tool_calls
        ]
    content: Any = message.content
    if isinstance(content, list):
        known = {call.id for call in found}
        only_there = (_id_in(block) for block in content if is_call(block))
        found += [Call(one, named=True, valid=True) for one in only_there if one not in known]
    return found


def edited(message: AIMessage, change: Change) -> AIMessage | None:
    """Return a copy of a message with changed calls; None if nothing is left of it.

    Reasoning before a removed call is removed, too: providers refuse reasoning that nothing follows.
    """
    if isinstance(message, AIMessageChunk):  # it also has its calls in parts
        message = message_chunk_to_message(message)  # type: ignore[assignment]  # an AIMessage, but annotated wider
    fields = [*message.tool_calls, *message.invalid_tool_calls]
    changed = list(_changed(fields, "id", change))
    valid = sum(change(old, number) is not None for old, number in _numbered(message.tool_calls, "id"))
    content: Any = message.content
    if isinstance(content, list):
        content = _changed_content(content, change)
        if len(content) < len(message.content) and not changed:
            content = without_last_thoughts(content)
    if not changed and not any(map(is_call, content)) and not says(content):
        return None
    return message.model_copy(
        update={
            "content": content,
            "tool_calls": changed[:valid],
            "invalid_tool_calls": changed[valid:],
            "additional_kwargs": _changed_kwargs(message, changed, change),
        }
    )


def answering(result: ToolMessage, call: str) -> ToolMessage:
    """Return a copy of a result that answers a call with another id."""
    content: Any = result.content
    if isinstance(content, list):  # Anthropic's own form
        content = [
            {**block, "tool_use_id": call} if isinstance(block, dict) and "tool_use_id" in block else block
            for block in content
        ]
    kwargs = _renamed_origin(result.additional_kwargs, lambda *_: call)
    return result.model_copy(update={"content": content, "tool_call_id": call, "additional_kwargs": kwargs})


def _changed(items: Iterable[Any], name: str, change: Change) -> Iterator[Any]:
    items = list(items)
    for item, (old, number) in zip(items, _numbered(items, name), strict=True):
        if (new := change(old, number)) is not None:
            yield item if new == item.get(name) else {**item, name: new}


def _numbered(items: Iterable[Any], name: str) -> Iterator[tuple[str, int]]:
    """Yield the ids of calls, each with the number of earlier calls that have the same id."""
    seen = Counter[str]()
    for item in items:
        old = item.get(name) or ""
        yield old, seen[old]
        seen[old] += 1


def _changed_content(content: list[Any], change: Change) -> list[Any]:
    seen, left = Counter[str](), list[Any]()
    for block in content:
        if not is_call(block):
            if not (isinstance(block, dict) and block.get("type") == "tool_call_chunk"):
                left.append(block)
            continue
        old = _id_in(block)
        new = change(old, seen[old])
        seen[old] += 1
        if new is None:
            left = without_last_thoughts(left)
        else:
            left.append({**block, "call_id" if "call_id" in block else "id": new})
    return left


def _changed_kwargs(message: AIMessage, calls: list[Any], change: Change) -> dict[str, Any]:
    """Return `additional_kwargs` with changed calls, in the provider's form and in the originals that adapters keep."""
    kwargs = _renamed_origin(message.additional_kwargs, change)
    raw = kwargs.get("tool_calls")
    if not calls:
        kwargs.pop("tool_calls", None)
        kwargs.pop("function_call", None)
    elif isinstance(raw, list) and all(isinstance(call, dict) for call in raw):
        kwargs["tool_calls"] = list(_changed(raw, "id", change))
    return kwargs


def _renamed_origin(kwargs: dict[str, Any], change: Change) -> dict[str, Any]:
    kwargs = dict(kwargs)
    for origin, name in _ORIGINS.items():
        kept = kwargs.get(origin)
        if not isinstance(kept, dict):
            continue
        if isinstance(parts := kept.get("parts"), list):
            kwargs[origin] = {**kept, "parts": _changed_parts(parts, name, change)}
        elif isinstance(part := kept.get("part"), dict) and name in part:
            kwargs[origin] = {**kept, "part": {**part, name: change(part[name], 0)}}
        elif name in kept:
            kwargs[origin] = {**kept, name: change(kept[name], 0)}
    return kwargs


def _changed_parts(parts: list[Any], name: str, change: Change) -> list[Any]:
    calls = [part for part in parts if _is_part_call(part)]
    changes = iter([change(*call) for call in _numbered(calls, name)])
    left = []
    for part in parts:
        if not _is_part_call(part):
            left.append(part)
        elif (new := next(changes)) is not None:
            left.append({**part, name: new})
    return left


def _is_part_call(part: Any) -> bool:
    return isinstance(part, dict) and part.get("part_kind") == "tool-call"


def without_last_thoughts(content: list[Any]) -> list[Any]:
    """Return content without reasoning at its end; the list itself if there is none."""
    end = len(content)
    while end and not says(content[end - 1 : end]):
        end -= 1
    return content[:end] if any(map(_is_thought, content[end:])) else content


def says(content: str | list[Any]) -> bool:
    """Return whether content says anything: reasoning and white space do not count."""
    if isinstance(content, str):
        return bool(content) and not content.isspace()
    for block in content:
        kind = "text" if isinstance(block, str) else block.get("type")
        text = block if isinstance(block, str) else block.get("text")
        if kind not in _THOUGHTS and (kind != "text" or str(text or "").strip()):
            return True
    return False


def _is_thought(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in _THOUGHTS


def is_call(block: Any) -> bool:
    """Return whether a content block is a call, of Anthropic, LangChain or OpenAI."""
    return isinstance(block, dict) and block.get("type") in _FORMS


def _id_in(block: dict[str, Any]) -> str:
    found = block.get("call_id") or block.get("id")
    return found if isinstance(found, str) else ""
