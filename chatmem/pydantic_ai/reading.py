"""Converts stored messages to pydantic-ai's `ModelMessage`s."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from pydantic import ValidationError
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

from chatmem.core.typed import typed
from chatmem.errors import UnsupportedError
from chatmem.pydantic_ai.from_langchain import model_message_of, part_of

ORIGIN = "pydantic_ai"
"""The key in `additional_kwargs` with what a message does not express of the `ModelMessage` that it was made from."""


def to_model_messages(messages: Iterable[BaseMessage]) -> list[ModelMessage]:
    """Return the `ModelMessage`s for stored messages.

    Args:
        messages: LangChain messages. Those that `to_messages` made become the same `ModelMessage`s again; others become
            `ModelMessage`s with the same content.

    Raises:
        UnsupportedError: a message that another framework stored cannot be written as a `ModelMessage`.

    Example:
        >>> models = to_model_messages(await memory.history("chat-1").messages())
    """
    dumps: list[dict[str, Any]] = []
    group, tools = None, dict[str, str]()
    for message in map(typed, messages):
        kept = _kept(message)
        if kept is None:
            dumps.append(model_message_of(message, tools))
            group = None
        elif "part" in kept and "message" not in kept and kept["of"] == group:
            dumps[-1]["parts"].append(_restored(kept["part"], message))
        else:
            dumps.append({**kept.get("message", {"kind": "request"}), "parts": _parts(kept, message)})
            group = kept.get("of")
        if isinstance(message, AIMessage):
            calls = (*message.tool_calls, *message.invalid_tool_calls)
            tools.update((call["id"], call["name"]) for call in calls if call["id"] and call["name"])
    try:
        return ModelMessagesTypeAdapter.validate_python(dumps)
    except ValidationError as error:
        why = first_of(error)
    # Raised outside of the except block, since pydantic's error would show the messages' text as the context.
    raise UnsupportedError(f"this version of pydantic-ai cannot read the session: {why}")


def first_of(error: ValidationError) -> str:
    """Return the first problem that pydantic found, and where, without the value."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"


def _kept(message: BaseMessage) -> dict[str, Any] | None:
    """Return what a message keeps of its `ModelMessage`; None if it keeps nothing, or the content has changed since."""
    kept = message.additional_kwargs.get(ORIGIN)
    return kept if isinstance(kept, dict) and _fits(kept, message) else None


def _fits(kept: dict[str, Any], message: BaseMessage) -> bool:
    """Return whether a message still has the blocks and the tool calls of the `ModelMessage` that it was made from.

    There may be more blocks in front of them: a window merges an answer and the call behind it into one message.
    """
    blocks = _blocks(message)
    if "parts" in kept:
        calls = [part["tool_call_id"] for part in kept["parts"] if _is_call(part)]
        parts = [part for part in kept["parts"] if not _is_call(part)]
        pairs = zip(parts, blocks[_before(kept, message) :], strict=False)
        fits = len(parts) <= len(blocks) and all(_matches(*pair) for pair in pairs)
        return fits and sorted(calls) == sorted(_calls(message))
    part = kept.get("part", {})
    return part.get("part_kind") != "user-prompt" or "content" not in part or len(part["content"]) == len(blocks)


def _matches(part: dict[str, Any] | None, block: dict[str, Any]) -> bool:
    if part is None:
        return "value" in block
    return {"text": "text", "thinking": "reasoning"}.get(part["part_kind"], "base64") in block


def _before(kept: dict[str, Any], message: BaseMessage) -> int:
    """Return the number of blocks that a window put in front of the response's own."""
    own = sum(not _is_call(part) for part in kept["parts"])
    return max(len(_blocks(message)) - own, 0) if own or message.content else 0


def _is_call(part: dict[str, Any] | None) -> bool:
    return part is not None and part["part_kind"] == "tool-call"


def _calls(message: BaseMessage) -> list[str]:
    calls = (*message.tool_calls, *message.invalid_tool_calls) if isinstance(message, AIMessage) else ()
    return [call["id"] or "" for call in calls]


def _parts(kept: dict[str, Any], message: BaseMessage) -> list[Any]:
    if "part" in kept:
        return [_restored(kept["part"], message)]
    if "parts" not in kept:
        return []
    blocks, before = _blocks(message), _before(kept, message)
    rest = iter(blocks[before:])
    return [*(part_of(block) for block in blocks[:before]), *(_restored_part(part, rest) for part in kept["parts"])]


def _blocks(message: BaseMessage) -> list[Any]:
    content = [message.content] if isinstance(message.content, str) else message.content
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]


def _restored(part: dict[str, Any], message: BaseMessage) -> dict[str, Any]:
    """Return a request's part, with the content of its message."""
    if "content" not in part and part["part_kind"] in ("system-prompt", "user-prompt", "tool-return"):
        return {**part, "content": str(message.text)}
    if part["part_kind"] != "user-prompt":
        return part
    blocks = iter(_blocks(message))
    return {**part, "content": [_restored_item(item, next(blocks, {})) for item in part["content"]]}


def _restored_item(item: Any, block: dict[str, Any]) -> Any:
    if item is None:
        return block.get("text")
    return {**item, "data": base64.b64decode(block["base64"])} if "base64" in block else item


def _restored_part(part: dict[str, Any] | None, blocks: Iterator[Any]) -> Any:
    """Return a response's part, with the content of the message's next block."""
    if part is None:
        return next(blocks, {"value": None})["value"]
    if part["part_kind"] == "tool-call":
        return part
    block: dict[str, Any] = next(blocks, {})
    if part["part_kind"] == "file":
        return {**part, "content": _restored_item(part["content"], block)}
    return {**part, "content": block.get("text", block.get("reasoning"))}
