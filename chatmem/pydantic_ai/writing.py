"""Converts pydantic-ai's `ModelMessage`s to LangChain messages with the same content, in which form they are stored.

A response becomes one message. Each part of a request becomes a message, since LangChain has a message for each prompt
and for each tool's result. What a message expresses itself (text, a file's data) is not stored twice.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any
from uuid import NAMESPACE_OID, uuid4, uuid5

import msgspec
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call
from pydantic import ValidationError
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_core import from_json, to_jsonable_python

from chatmem.codec.values import NotStorableError, to_storable
from chatmem.errors import EncodingError
from chatmem.pydantic_ai.reading import ORIGIN, first_of

_FAILED = ("failed", "retried")
_KINDS = ("image", "audio", "video")
_URLS = {"image-url": "image", "audio-url": "audio", "video-url": "video", "document-url": "file"}


def to_messages(models: Sequence[ModelMessage]) -> list[BaseMessage]:
    """Return LangChain messages for `ModelMessage`s; `to_model_messages` turns them back.

    Messages of an agent's run get ids that are made from their content, so a session stores them once, however often
    they are appended. Equal messages in one call get different ids.

    Args:
        models: the messages, as `result.new_messages()` returns them.

    Raises:
        EncodingError: a message holds a value that cannot be stored, or that pydantic-ai cannot read back.

    Example:
        >>> await memory.history("chat-1").append(*to_messages(result.new_messages()))
    """
    seen = Counter[str]()
    return [message for index, model in enumerate(models) for message in _converted(model, index, seen)]


def _converted(given: ModelMessage, index: int, seen: Counter[str]) -> list[BaseMessage]:
    model, dump, name = _read_back(given, index)
    if name is not None:
        seen[name] += 1
        if seen[name] > 1:
            name = str(uuid5(NAMESPACE_OID, f"{name} again {seen[name]}"))
    parts = dump.pop("parts")
    if isinstance(model, ModelResponse):
        return [_response(model, dump, parts, name)]
    made: list[BaseMessage] = []
    group = {"of": name or str(uuid4())} if len(parts) > 1 else {}
    for number, (part, rest) in enumerate(zip(model.parts, parts, strict=True)):
        message = _REQUESTS.get(part.part_kind, _other)(part, rest)
        message.id = name and str(uuid5(NAMESPACE_OID, f"{name} {number}"))
        whole = {} if number else {"message": dump}
        message.additional_kwargs[ORIGIN] = {**whole, **group, "part": rest}
        made.append(message)
    return made or [HumanMessage("", id=name, additional_kwargs={ORIGIN: {"message": dump}})]


def _read_back(given: ModelMessage, index: int) -> tuple[ModelMessage, dict[str, Any], str | None]:
    """Return the message as pydantic-ai reads it back from its own dump, the dump of that, and an id.

    So a message gets the same id again if it is read from a session and appended to it.

    Raises:
        EncodingError: the message holds a value that cannot be stored, or that pydantic-ai cannot read back.
    """
    try:
        (model,) = ModelMessagesTypeAdapter.validate_python(_plain(_dump(given)))
        dump = _dumped(model)
        return model, dump, _name(dump)
    except NotStorableError as error:
        why = f"{error.path}: {error.reason}"
    except (ValueError, RecursionError) as error:  # pydantic's errors are ValueErrors
        why = first_of(error) if isinstance(error, ValidationError) else str(error)
    # Raised outside of the except block, since the error would show the message's text as the context.
    raise EncodingError(f"this message cannot be stored: {why}", index=index)


def _dump(model: ModelMessage) -> Any:
    return ModelMessagesTypeAdapter.dump_python([model], warnings=False)


def _dumped(model: ModelMessage) -> dict[str, Any]:
    """Return a message as pydantic-ai dumps it, in Python's types and without defaults."""
    (dump,) = _plain(_dump(model))
    dump["parts"] = [_short(*pair) for pair in zip(model.parts, dump["parts"], strict=True)]
    if isinstance(model, ModelResponse):
        dump["usage"] = _short(model.usage, dump["usage"])
    return _short(model, dump)


def _short(source: Any, dump: dict[str, Any]) -> dict[str, Any]:
    """Return a dump without fields that have their defaults. String defaults stay: they tell the kind."""
    defaults = {field.name: field.default for field in fields(source) if not isinstance(field.default, str)}
    return {name: value for name, value in dump.items() if name not in defaults or defaults[name] != value}


def _plain(value: Any) -> Any:
    """Return a value with what the codec cannot store, such as a path, replaced by what pydantic writes in JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    try:
        to_storable(value, "")
    except NotStorableError:
        return to_jsonable_python(value)
    return value


def _name(dump: dict[str, Any]) -> str | None:
    """Return an id made from all of a message, its times to the microsecond included; None if it is not of a run."""
    if dump.get("run_id") is None:
        return None
    digest = hashlib.sha256(msgspec.msgpack.encode(to_storable(dump, "")))
    return str(uuid5(NAMESPACE_OID, digest.hexdigest()))


def _system(part: Any, rest: dict[str, Any]) -> BaseMessage:
    return SystemMessage(rest.pop("content"))


def _user(part: Any, rest: dict[str, Any]) -> BaseMessage:
    if isinstance(part.content, str):
        return HumanMessage(rest.pop("content"))
    blocks: list[Any] = [_block(item, kept) for item, kept in zip(part.content, rest["content"], strict=True)]
    rest["content"] = [None if isinstance(item, str) else item for item in rest["content"]]
    return HumanMessage(blocks)


def _tool_return(part: Any, rest: dict[str, Any]) -> BaseMessage:
    content: Any = rest.pop("content") if isinstance(part.content, str) else part.model_response_str()
    if part.files:
        files = [_block(file, {"data": getattr(file, "data", b"")}) for file in part.files]
        content = [{"type": "text", "text": content}, *files]
    status = "error" if getattr(part, "outcome", "success") in _FAILED else "success"
    return ToolMessage(content, tool_call_id=part.tool_call_id, name=part.tool_name, status=status)


def _retry(part: Any, rest: dict[str, Any]) -> BaseMessage:
    tool = getattr(part, "tool_name", None)
    if tool is None:
        return HumanMessage(part.model_response())
    return ToolMessage(part.model_response(), tool_call_id=part.tool_call_id, name=tool, status="error")


def _speech(part: Any, rest: dict[str, Any]) -> BaseMessage:
    """Return the message for speech, or for the summary of a compaction."""
    return HumanMessage(part.content or "")


def _other(part: Any, rest: dict[str, Any]) -> BaseMessage:
    """Return the message for any other part, such as one with tools or instructions."""
    return SystemMessage(part.content if isinstance(getattr(part, "content", None), str) else "")


_REQUESTS: dict[str, Callable[[Any, dict[str, Any]], BaseMessage]] = {
    "system-prompt": _system,
    "user-prompt": _user,
    "tool-return": _tool_return,
    "retry-prompt": _retry,
    "retry-feedback": _retry,
    "speech": _speech,
    "compaction": _speech,
}


def _response(model: ModelResponse, dump: dict[str, Any], parts: list[Any], name: str | None) -> AIMessage:
    blocks, calls, invalid = list[Any](), list[Any](), list[Any]()
    for index, (part, rest) in enumerate(zip(model.parts, parts, strict=True)):
        if part.part_kind == "tool-call":
            valid, call = _call(part)
            (calls if valid else invalid).append(call)
        elif part.part_kind == "text":
            blocks.append({"type": "text", "text": rest.pop("content")})
        elif part.part_kind == "thinking":
            blocks.append({"type": "reasoning", "reasoning": rest.pop("content")})
        elif part.part_kind == "file":
            blocks.append(_block(part.content, rest["content"]))
        else:
            blocks.append({"type": "non_standard", "value": rest})
            parts[index] = None
    is_text = len(blocks) == 1 and blocks[0]["type"] == "text"
    return AIMessage(
        blocks[0]["text"] if is_text else blocks or "",
        id=name,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=_usage(model),
        additional_kwargs={ORIGIN: {"message": dump, "parts": parts}},
    )


def _call(part: Any) -> tuple[bool, ToolCall | InvalidToolCall]:
    args = part.args or {}
    try:
        args = from_json(args) if isinstance(args, str) else args
    except ValueError:
        args = None
    if isinstance(args, dict):
        return True, tool_call(name=part.tool_name, args=args, id=part.tool_call_id)
    error = "the arguments are no JSON object"
    return False, invalid_tool_call(name=part.tool_name, args=part.args, id=part.tool_call_id, error=error)


def _usage(model: ModelResponse) -> UsageMetadata | None:
    usage = model.usage
    if not usage.total_tokens:
        return None
    return UsageMetadata(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens
    )


def _block(item: Any, rest: Any) -> dict[str, Any]:
    """Return the content block for an item of content. A file's data moves out of `rest`."""
    if isinstance(item, str):
        return {"type": "text", "text": item}
    if item.kind == "text-content":
        return {"type": "text", "text": item.content}
    if item.kind == "binary":
        kind = next((one for one in _KINDS if item.media_type.startswith(f"{one}/")), "file")
        data = base64.b64encode(rest.pop("data")).decode()
        return {"type": kind, "base64": data, "mime_type": item.media_type}
    if item.kind in _URLS:
        return {"type": _URLS[item.kind], "url": item.url}
    if item.kind == "uploaded-file":
        return {"type": "file", "file_id": item.file_id}
    return {"type": "non_standard", "value": rest}
