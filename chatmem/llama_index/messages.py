"""Converts LlamaIndex's `ChatMessage`s to LangChain messages, in which form they are stored, and back.

A message keeps what it cannot express of its `ChatMessage` in `additional_kwargs`. What the message itself expresses
(text, reasoning, an image's data, calls of tools) is not stored twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import tool_call
from llama_index.core.base.llms.types import ChatMessage, ContentBlock
from pydantic import TypeAdapter, ValidationError

from chatmem.core.typed import typed
from chatmem.errors import CorruptRecordError, UnsupportedError

ORIGIN = "llama_index"
"""The key in `additional_kwargs` with the rest of a `ChatMessage`: its role, its `additional_kwargs`, and its blocks,
with None in place of what the message expresses."""
_CLASSES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "assistant": AIMessage,
    "chatbot": AIMessage,
    "model": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}
_DATA = {"image": ("image", "image_mimetype"), "document": ("data", "document_mimetype")}
"""Blocks that may hold a file -> the fields with its data and its type."""
_FILES = {"image": "image", "document": "file"}
"""LlamaIndex's names of these blocks -> LangChain's."""
_BLOCK: TypeAdapter[Any] = TypeAdapter(ContentBlock)
_KINDS: dict[str, Any] = {kind.model_fields["block_type"].default: kind for kind in get_args(get_args(ContentBlock)[0])}


def to_message(given: ChatMessage) -> BaseMessage:
    """Return the message for a `ChatMessage`, without an id; `to_chat_message` turns it back."""
    role = given.role.value
    kind = _CLASSES.get(role, ToolMessage)
    pairs = [_block_of(_dump(block), kind) for block in given.blocks]
    calls = [made for made, _ in pairs if made["type"] == "tool_call"]
    blocks = [made for made, _ in pairs if made["type"] != "tool_call"]
    is_text = len(blocks) == 1 and blocks[0].get("text")
    more: dict[str, Any] = {}
    if kind is AIMessage:
        more["tool_calls"] = calls
    elif kind is ToolMessage:
        more["tool_call_id"] = str(given.additional_kwargs.get("tool_call_id") or "")
        more["name"] = name if isinstance(name := given.additional_kwargs.get("name"), str) else None
    rest = {"role": role, "kwargs": given.additional_kwargs, "blocks": [left for _, left in pairs]}
    content = blocks[0]["text"] if is_text else blocks or ""
    return kind(content, additional_kwargs={ORIGIN: rest}, **more)


def to_chat_message(message: BaseMessage) -> ChatMessage:
    """Return the `ChatMessage` for a stored message: the one that it was made from, with the message's present content.

    Raises:
        UnsupportedError: another framework stored the message, and no `ChatMessage` can express it.
    """
    message = typed(message)
    rest = message.additional_kwargs.get(ORIGIN)
    if not isinstance(rest, dict):
        return _from_langchain(message)
    blocks, calls = iter(_blocks(message)), iter(message.tool_calls if isinstance(message, AIMessage) else ())
    parts = [_filled(one, calls if one["block_type"] == "tool_call" else blocks) for one in rest["blocks"]]
    if None in parts or next(blocks, None) is not None or next(calls, None) is not None:  # it was changed since
        parts = [{"block_type": "text", "text": str(message.text)}]
    return _made(rest["role"], parts, rest["kwargs"])


def parse(element: bytes) -> BaseMessage:
    """Return the message for a `ChatMessage` in JSON, as LlamaIndex's `RedisChatStore` stores it.

    Raises:
        CorruptRecordError: the element is not a `ChatMessage`.
    """
    try:
        return to_message(ChatMessage.model_validate_json(element))
    except ValueError as error:  # pydantic's errors are ValueErrors
        raise CorruptRecordError("not a ChatMessage of LlamaIndex") from error


def _made(role: str, parts: list[Any], kwargs: dict[str, Any]) -> ChatMessage:
    made = ChatMessage(role=role, blocks=[_validated(part) for part in parts])
    made.additional_kwargs = kwargs  # not validated, since the validator adds blocks for images that it finds there
    return made


def _dump(block: Any) -> dict[str, Any]:
    dump: dict[str, Any] = block.model_dump()
    if dump.get("url") is not None:
        dump["url"] = str(dump["url"])
    return dump


def _validated(part: dict[str, Any]) -> Any:
    """Return the block for a dump; without its checks if they fail, as for a file that this machine does not have."""
    try:
        return _BLOCK.validate_python(part)
    except ValidationError:
        kind = _KINDS.get(part["block_type"])
    if kind is None:
        raise UnsupportedError(f"this version of LlamaIndex has no block of type {part['block_type']!r}")
    return kind.model_construct(**part)


def _block_of(dump: dict[str, Any], kind: type[BaseMessage]) -> tuple[Any, dict[str, Any]]:
    """Return LangChain's block or tool call for a dumped block, and what that does not express of it."""
    match dump:
        case {"block_type": "text", "text": text}:
            return {"type": "text", "text": text}, {**dump, "text": None}
        case {"block_type": "thinking", "content": str(text)}:
            return {"type": "reasoning", "reasoning": text}, {**dump, "content": None}
        case {"block_type": "tool_call", "tool_call_id": str(call), "tool_name": name, "tool_kwargs": dict(args)}:
            if kind is AIMessage:
                rest = {**dump, "tool_call_id": None, "tool_name": None, "tool_kwargs": None}
                return tool_call(name=name, args=args, id=call), rest
        case {"block_type": "image" | "document" as name}:
            data, mime = _DATA[name]
            if isinstance(dump[data], bytes) and dump[data].isascii():
                mime_type = dump[mime] or "application/octet-stream"
                return {"type": _FILES[name], "base64": dump[data].decode(), "mime_type": mime_type}, {
                    **dump,
                    data: None,
                }
            if dump["url"] is not None:
                return {"type": _FILES[name], "url": dump["url"]}, {**dump, "url": None}
    return {"type": "non_standard", "value": dump}, {"block_type": "other"}


def _filled(rest: dict[str, Any], blocks: Iterator[Any]) -> dict[str, Any] | None:
    """Return a dumped block, with the content of the message's next block or call; None if they do not fit."""
    block: Any = next(blocks, {})
    match rest["block_type"]:
        case "other":
            value = block.get("value")
            return value if isinstance(value, dict) else None
        case "text":
            return {**rest, "text": block["text"]} if "text" in block else None
        case "thinking":
            return {**rest, "content": block["reasoning"]} if "reasoning" in block else None
        case "tool_call":
            if not block:
                return None
            return {**rest, "tool_call_id": block["id"], "tool_name": block["name"], "tool_kwargs": block["args"]}
        case name if "base64" in block:
            return {**rest, _DATA[name][0]: str(block["base64"]).encode()}
        case _:
            return {**rest, "url": block["url"]} if "url" in block else None


def _blocks(message: BaseMessage) -> list[Any]:
    if not message.content:
        return []
    content = [message.content] if isinstance(message.content, str) else message.content
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in content]


def _from_langchain(message: BaseMessage) -> ChatMessage:
    """Return a `ChatMessage` with the text, files and calls of a message that LlamaIndex did not make.

    Raises:
        UnsupportedError: no `ChatMessage` can express the message.
    """
    kwargs: dict[str, Any] = {}
    if isinstance(message, ToolMessage):
        role, kwargs = (
            "tool",
            {"tool_call_id": message.tool_call_id, **({"name": message.name} if message.name else {})},
        )
    else:
        found = (role for role, kind in _CLASSES.items() if isinstance(message, kind))
        role = next(found, "")
    if not role:
        raise UnsupportedError(f"a {type(message).__name__} cannot be written as a ChatMessage of LlamaIndex")
    parts = [_part_of(block, type(message).__name__) for block in _blocks(message)]
    for call in message.tool_calls if isinstance(message, AIMessage) else ():
        part = {"tool_call_id": call["id"], "tool_name": call["name"], "tool_kwargs": call["args"]}
        parts.append({"block_type": "tool_call", **part})
    return _made(role, parts, kwargs)


def _part_of(block: dict[str, Any], kind: str) -> dict[str, Any]:
    match block:
        case {"type": "text", "text": str(text)}:
            return {"block_type": "text", "text": text}
        case {"type": "reasoning", "reasoning": str(text)}:
            return {"block_type": "thinking", "content": text}
        case {"type": "image", "base64": str(data), **more}:
            return {"block_type": "image", "image": data.encode(), "image_mimetype": more.get("mime_type")}
        case {"type": "image", "url": str(url)}:
            return {"block_type": "image", "url": url}
        case {"type": "file", "base64": str(data), **more}:
            return {"block_type": "document", "data": data.encode(), "document_mimetype": more.get("mime_type")}
        case {"type": "file", "url": str(url)}:
            return {"block_type": "document", "url": url}
    what = f"a {kind} with a block of type {block.get('type')!r}"
    raise UnsupportedError(f"{what} cannot be written as a ChatMessage of LlamaIndex")
