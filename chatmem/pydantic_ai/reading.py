"""Messages as pydantic-ai's `ModelMessage`s: those that they were made of, else such as say the same."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from pydantic import ValidationError
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

from chatmem.errors import UnsupportedError
from chatmem.pydantic_ai.foreign import dumped_of, said_in

ORIGIN = "pydantic_ai"
"""where a message keeps what of the `ModelMessage` it does not say itself, in `additional_kwargs`"""


def to_model_messages(messages: Iterable[BaseMessage]) -> list[ModelMessage]:
    """Return the `ModelMessage`s that messages say: those they were made of, or such as pydantic-ai would have made.

    Raises:
        UnsupportedError: a message, stored by other means, says what none can.
    """
    dumps: list[dict[str, Any]] = []
    group, tools = None, dict[str, str]()
    for message in messages:
        kept = _kept(message)
        if kept is None:
            dumps.append(dumped_of(message, tools))
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
    raise UnsupportedError(f"this version of pydantic-ai cannot read the session: {why}")  # its cause holds the text


def first_of(error: ValidationError) -> str:
    """Return what the first thing is that pydantic has against a value, and where, without the value."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"


def _kept(message: BaseMessage) -> dict[str, Any] | None:
    """Return what a message keeps of its `ModelMessage`; None where it keeps none, or its content was changed."""
    kept = message.additional_kwargs.get(ORIGIN)
    return kept if isinstance(kept, dict) and _fits(kept, message) else None


def _fits(kept: dict[str, Any], message: BaseMessage) -> bool:
    """Return whether the message has the blocks and the calls that its `ModelMessage`'s parts or items say.

    A window puts an answer and the call behind it into one message, so that there may be blocks before those.
    """
    blocks = _blocks(message)
    if "parts" in kept:
        calls = [part["tool_call_id"] for part in kept["parts"] if _is_call(part)]
        said = [part for part in kept["parts"] if not _is_call(part)]
        pairs = zip(said, blocks[_before(kept, message) :], strict=False)
        fits = len(said) <= len(blocks) and all(_is_said_by(*pair) for pair in pairs)
        return fits and sorted(calls) == sorted(_calls(message))
    part = kept.get("part", {})
    return part.get("part_kind") != "user-prompt" or "content" not in part or len(part["content"]) == len(blocks)


def _is_said_by(part: dict[str, Any] | None, block: dict[str, Any]) -> bool:
    if part is None:
        return "value" in block
    return {"text": "text", "thinking": "reasoning"}.get(part["part_kind"], "base64") in block


def _before(kept: dict[str, Any], message: BaseMessage) -> int:
    """Return how many blocks a response has before those that say its parts."""
    said = sum(not _is_call(part) for part in kept["parts"])
    return max(len(_blocks(message)) - said, 0) if said or message.content else 0


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
    return [*(said_in(block) for block in blocks[:before]), *(_restored_part(part, rest) for part in kept["parts"])]


def _blocks(message: BaseMessage) -> list[Any]:
    content = [message.content] if isinstance(message.content, str) else message.content
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]


def _restored(part: dict[str, Any], message: BaseMessage) -> dict[str, Any]:
    """Return a request's part with what its message says."""
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
    """Return a response's part with what the next of the message's blocks says."""
    if part is None:
        return next(blocks, {"value": None})["value"]
    if part["part_kind"] == "tool-call":
        return part
    block: dict[str, Any] = next(blocks, {})
    if part["part_kind"] == "file":
        return {**part, "content": _restored_item(part["content"], block)}
    return {**part, "content": block.get("text", block.get("reasoning"))}
