"""Converts ChatKit's thread items to LangChain messages with the same text, in which form they are stored, and back.

A message keeps its item in `additional_kwargs`, without the texts that the message itself expresses.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, TypeGuard

from chatkit.types import ThreadItem
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from pydantic import TypeAdapter, ValidationError

from chatmem.core.typed import typed
from chatmem.errors import CorruptRecordError, UnsupportedError
from chatmem.history import History
from chatmem.model import Entry

ORIGIN = "chatkit"
"""The key in `additional_kwargs` with the item, and the name of the item's field that the message expresses."""
_ITEMS: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)
_POSITION = re.compile(r"position_([0-9]{1,15})")
_SAID: dict[str, tuple[type[BaseMessage], str]] = {
    "user_message": (HumanMessage, "content"),
    "assistant_message": (AIMessage, "content"),
    "hidden_context_item": (SystemMessage, "content"),
    "sdk_hidden_context": (SystemMessage, "content"),
    "widget": (AIMessage, "copy_text"),
}
"""The message for each type of item with text, and the field with the text."""
_PARTS: dict[str, dict[str, Any]] = {
    "user_message": {"type": "input_text"},
    "assistant_message": {"type": "output_text", "annotations": []},
}


def message_of(item: ThreadItem) -> BaseMessage:
    """Return the message for an item; `item_of` turns it back into an equal item.

    The message has the item's id. Items without text, such as a task or a client's tool call, become an empty
    `AIMessage`.
    """
    dump = _dumped(item)
    name = dump.pop("id")
    kind, field = _SAID.get(item.type, (AIMessage, ""))
    said = dump.get(field)
    content: Any
    if isinstance(said, str):
        content, dump[field] = said, None
    elif _is_text(said):
        content = [{"type": "text", "text": part["text"]} for part in said]
        dump[field] = [{**part, "text": None} for part in said]
    else:
        kind, content, field = AIMessage, "", ""
    if isinstance(content, list) and len(content) == 1:
        content = content[0]["text"]
    return kind(content=content or "", id=name, additional_kwargs={ORIGIN: {"item": dump, "said": field}})


def item_of(entry: Entry, thread_id: str) -> ThreadItem:
    """Return the item for a stored message: the one that it was made from, else one with the same text.

    If the message's text was changed since, the item has the new text.

    Raises:
        CorruptRecordError: the message cannot be read.
        UnsupportedError: another framework stored the message, and no item can express it.
    """
    message = typed(message_in(entry))
    kept = message.additional_kwargs.get(ORIGIN)
    if isinstance(kept, dict):
        dump = {**_filled(kept["item"], kept["said"], message), "id": item_id(entry)}
    else:
        created = entry.created_at or datetime.fromtimestamp(0, UTC)
        dump = {**_foreign(message), "id": item_id(entry), "thread_id": thread_id, "created_at": created}
    try:
        return _ITEMS.validate_python(dump)
    except ValidationError as error:
        why = error.errors(include_url=False, include_context=False, include_input=False)[0]
    # Raised outside of the except block, since pydantic's error would show the item's text as the context.
    raise UnsupportedError(f"this version of ChatKit cannot read the item: {why['loc']}: {why['msg']}")


def message_in(entry: Entry) -> BaseMessage:
    """Return the message of an entry.

    Raises:
        CorruptRecordError: the message cannot be read.
    """
    if entry.message is None:
        raise entry.error or CorruptRecordError("the message cannot be read")
    return entry.message


def item_id(entry: Entry) -> str:
    """Return the id of the item for a stored message; by its position if another framework stored it without an id."""
    return entry.id or f"position_{entry.seq}"


async def entry_with(history: History, name: str) -> Entry | None:
    """Return the entry of the item with an id, as `item_id` gives it; None if there is none.

    One round trip, or two for an id that looks like a position.
    """
    if not name:
        return None
    entry = await history.get(name)
    if entry is None and (found := _POSITION.fullmatch(name)):
        entry = await history.get(int(found[1]))
        if entry is not None and item_id(entry) != name:
            return None
    return entry


def _dumped(item: ThreadItem) -> dict[str, Any]:
    """Return an item as Python values, without fields that are None, if ChatKit reads that as the same item."""
    dump: dict[str, Any] = _ITEMS.dump_python(item, exclude_none=True, warnings=False)
    try:
        if _ITEMS.validate_python(dump) == item:
            return dump
    except ValidationError:
        pass
    whole: dict[str, Any] = _ITEMS.dump_python(item, warnings=False)
    return whole


def _is_text(said: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(said, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in said)


def _filled(item: dict[str, Any], field: str, message: BaseMessage) -> dict[str, Any]:
    if not field:
        return item
    said = item[field]
    if said is None:
        return {**item, field: str(message.text)}
    texts = [message.content] if isinstance(message.content, str) else [_text(block) for block in message.content]
    if not said and texts == [""]:
        return item
    if len(texts) != len(said):  # somebody changed the message
        return {**item, field: [{**_PARTS.get(item["type"], {}), "text": str(message.text)}]}
    return {**item, field: [{**part, "text": text} for part, text in zip(said, texts, strict=True)]}


def _foreign(message: BaseMessage) -> dict[str, Any]:
    """Return an item with the text of a message that another framework stored."""
    calls = isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls)
    blocks = [message.content] if isinstance(message.content, str) else message.content
    if not calls and all(isinstance(block, str) or block.get("type") == "text" for block in blocks):
        text = "".join(map(_text, blocks))
        if isinstance(message, SystemMessage):
            return {"type": "hidden_context_item", "content": text}
        kind = "user_message" if isinstance(message, HumanMessage) else "assistant_message"
        if isinstance(message, HumanMessage | AIMessage):
            return {"type": kind, "content": [{**_PARTS[kind], "text": text}], "inference_options": {}}
    raise UnsupportedError(f"a {type(message).__name__} with more than text cannot be written as an item of ChatKit")


def _text(block: str | dict[str, Any]) -> str:
    return block if isinstance(block, str) else str(block.get("text", ""))
