"""Converts entries of the Claude Agent SDK's transcripts to LangChain messages and back.

A message keeps what it cannot express of its entry (the rest) in `additional_kwargs`. What the message itself expresses
(text, thinking, images, calls of tools) is not stored twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call

from chatmem.errors import UnsupportedError

REST = "claude_agents_rest"
"""The key in `additional_kwargs` with the rest: the entry, with None in place of what the message expresses."""
ENTRY = "claude_agents_entry"
"""The key with the whole entry, of a message that expresses nothing of it."""
_FILES = {"image": "image", "document": "file"}
"""Anthropic's blocks that hold a file -> LangChain's."""


def message_of(entry: Any) -> BaseMessage:
    """Return the message for an entry; `entry_of` turns it back into an equal entry.

    The message has no id. An entry that is no message of a user or of the model, such as a title, becomes an AI message
    without content, which models and other frameworks accept anywhere.

    Args:
        entry: an entry, as the SDK passes it to `SessionStore.append`.

    Raises:
        ValueError: the entry is not a dict.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"an entry must be a dict, not {type(entry).__name__}")
    message = _converted(entry)
    if message is not None and entry_of(message) == entry:
        return message
    return AIMessage("", additional_kwargs={ENTRY: entry})


def entry_of(message: BaseMessage) -> dict[str, Any]:
    """Return the entry that a message was made from, with the message's present content.

    Raises:
        UnsupportedError: the message was not made from an entry.
    """
    whole, rest = message.additional_kwargs.get(ENTRY), message.additional_kwargs.get(REST)
    if isinstance(whole, dict):
        return whole
    if not isinstance(rest, dict):
        what = f"a {type(message).__name__} that another program stored is no entry of a Claude session"
        raise UnsupportedError(f"{what}: append it to a session of its own")
    return {**rest, "message": {**rest["message"], "content": _content(rest["message"]["content"], message)}}


def _converted(entry: dict[str, Any]) -> BaseMessage | None:
    """Return a message with the entry's content; None if LangChain has no message for it."""
    kind, said = entry.get("type"), entry.get("message")
    if kind not in ("user", "assistant") or not isinstance(said, dict):
        return None
    content = said.get("content")
    if isinstance(content, str):
        message: BaseMessage = HumanMessage(content) if kind == "user" else AIMessage(content)
        rest = None
    elif not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        return None
    elif kind == "assistant":
        message, rest = _answer(content)
    elif [part.get("type") for part in content] == ["tool_result"]:
        message, rest = _result(content[0])
    else:
        blocks, rest = _blocks_of(content)
        message = HumanMessage(blocks)
    message.additional_kwargs[REST] = {**entry, "message": {**said, "content": rest}}
    return message


def _answer(content: list[dict[str, Any]]) -> tuple[AIMessage, list[Any]]:
    blocks, calls, rest = list[Any](), list[Any](), list[Any]()
    for part in content:
        match part:
            case {"type": "tool_use", "id": str(call_id), "name": str(name), "input": dict(args)}:
                calls.append(tool_call(name=name, args=args, id=call_id))
                rest.append({**part, "id": None, "name": None, "input": None})
            case _:
                block, left = _block_of(part)
                blocks.append(block)
                rest.append(left)
    return AIMessage(blocks or "", tool_calls=calls), rest


def _result(part: dict[str, Any]) -> tuple[ToolMessage, list[Any]]:
    content, call_id = part.get("content", ""), part.get("tool_use_id")
    blocks, rest = (content, None) if isinstance(content, str) else _blocks_of(content)
    status = "error" if part.get("is_error") else "success"
    message = ToolMessage(blocks, tool_call_id=str(call_id), status=status)
    return message, [{**part, "tool_use_id": None, **({"content": rest} if "content" in part else {})}]


def _blocks_of(content: Any) -> tuple[list[Any], list[Any]]:
    pairs = [_block_of(part) for part in content] if isinstance(content, list) else []
    return [block for block, _ in pairs], [rest for _, rest in pairs]


def _block_of(part: Any) -> tuple[dict[str, Any], Any]:
    """Return LangChain's block for a part of Anthropic's content, and what the block does not express of it."""
    match part:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}, {**part, "text": None}
        case {"type": "thinking", "thinking": str(text)}:
            return {"type": "reasoning", "reasoning": text}, {**part, "thinking": None}
        case {
            "type": "image" | "document" as kind,
            "source": {"type": "base64", "media_type": str(mime), "data": str(d)},
        }:
            rest = {**part, "source": {**part["source"], "data": None}}
            return {"type": _FILES[kind], "base64": d, "mime_type": mime}, rest
    return {"type": "non_standard", "value": part}, None


def _content(rest: Any, message: BaseMessage) -> Any:
    """Return the content of an entry: its rest, filled with the message's; the message's text if the two do not fit."""
    blocks = [] if message.content == "" else _blocks(message)
    if rest is None:
        return message.content if isinstance(message.content, str) else str(message.text)
    if isinstance(message, ToolMessage):
        return [_filled_result(rest[0], message)]
    calls = iter(message.tool_calls if isinstance(message, AIMessage) else ())
    left = iter(blocks)
    parts = [_filled_call(one, calls) if _is_call(one) else _filled(one, left) for one in rest]
    fits = None not in parts and next(left, None) is None and next(calls, None) is None
    return parts if fits else str(message.text)


def _blocks(message: BaseMessage) -> list[Any]:
    content = [message.content] if isinstance(message.content, str) else message.content
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]


def _filled_result(rest: dict[str, Any], message: ToolMessage) -> dict[str, Any]:
    part = {**rest, "tool_use_id": message.tool_call_id}
    if "content" in rest and rest["content"] is None:
        part["content"] = message.content if isinstance(message.content, str) else str(message.text)
    elif "content" in rest:
        left = iter([] if message.content == "" else _blocks(message))
        parts = [_filled(one, left) for one in rest["content"]]
        part["content"] = parts if None not in parts and next(left, None) is None else str(message.text)
    return part


def _is_call(rest: Any) -> bool:
    return rest is not None and rest["type"] == "tool_use"


def _filled_call(rest: dict[str, Any], calls: Iterator[Any]) -> dict[str, Any] | None:
    call = next(calls, None)
    return None if call is None else {**rest, "id": call["id"], "name": call["name"], "input": call["args"]}


def _filled(rest: Any, blocks: Iterator[Any]) -> Any:
    """Return a part, with the content of the message's next block; None if the block does not fit."""
    block: Any = next(blocks, {})
    if rest is None:
        return block.get("value")
    if rest["type"] in _FILES:
        return {**rest, "source": {**rest["source"], "data": block["base64"]}} if "base64" in block else None
    field, name = ("text", "text") if rest["type"] == "text" else ("thinking", "reasoning")
    return {**rest, field: block[name]} if name in block else None
