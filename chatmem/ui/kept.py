"""What a front end's messages have no place for, under `metadata.chatmem`: facts to show, and the rest of each message.

The rest is for storage that you trust. It is the message's record in base64, as chatmem stores it, without what the
visible parts express already. So it is exact where JSON is not.
"""

from __future__ import annotations

import copy
import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from chatmem.codec.record import decode, encode
from chatmem.core.typed import typed
from chatmem.errors import CorruptRecordError
from chatmem.model import Entry
from chatmem.ui import shapes
from chatmem.ui.values import is_exact, shown, shown_text

KEY = "chatmem"
_EXPRESSED = ("content", "tool_calls", "id")
"""the fields that a rest may leave to the visible parts"""


class Item:
    """A message to convert, and its entry if there is one. An entry that cannot be read has no message."""

    __slots__ = ("entry", "index", "message")

    def __init__(self, given: BaseMessage | Entry, index: int) -> None:
        """Take a message or an entry, and its index in the list."""
        self.entry = given if isinstance(given, Entry) else None
        message = given.message if isinstance(given, Entry) else given
        self.message = None if message is None else typed(message)
        self.index = index

    @property
    def id(self) -> str:
        """The message's id, or one from its place: front ends need one."""
        if self.message is not None and self.message.id:
            return shown_text(self.message.id)
        return f"message-{self.index if self.entry is None else self.entry.seq}"


def items_of(messages: Iterable[BaseMessage | Entry]) -> list[Item]:
    """Return messages or entries as items.

    Raises:
        ValueError: something else is among them.
    """
    items = []
    for index, one in enumerate(messages):
        if not isinstance(one, BaseMessage | Entry):
            raise ValueError(f"messages[{index}] must be a message or an Entry, not {type(one).__name__}")
        items.append(Item(one, index))
    return items


def metadata_of(items: Sequence[Item], derived: Sequence[BaseMessage] | None) -> dict[str, Any]:
    """Return the metadata of a front end's message, as `{"metadata": ...}`, or an empty dict.

    Args:
        items: the messages that became one.
        derived: the messages that the visible parts alone become again; None to leave the rests out.
    """
    each = [_facts(item.entry) for item in items]
    if derived is not None:
        pairs = derived if _fits(items, derived) else [None] * len(items)
        each = [facts | _rest(item, twin) for facts, item, twin in zip(each, items, pairs, strict=True)]
    kept: dict[str, Any] = {"messages": each} if any(each) else {}
    for item in items:
        status = item.message.response_metadata.get("answer") if item.message is not None else None
        if isinstance(status, str):
            kept["status"] = status
    return {"metadata": {KEY: kept}} if kept else {}


def _facts(entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return {}
    siblings = entry.siblings and {"index": entry.siblings.index, "branches": list(entry.siblings.branches)}
    facts = {
        "createdAt": entry.created_at and entry.created_at.isoformat(),
        "annotations": shown(entry.annotations),
        "siblings": siblings,
        "error": entry.error and shown_text(str(entry.error)),
    }
    return {"seq": entry.seq} | {name: value for name, value in facts.items() if value}


def _fits(items: Sequence[Item], derived: Sequence[BaseMessage]) -> bool:
    return len(items) == len(derived) and all(
        all(isinstance(item.message, kind) == isinstance(twin, kind) for kind in (AIMessage, ToolMessage))
        for item, twin in zip(items, derived, strict=True)
    )


def _rest(item: Item, derived: BaseMessage | None) -> dict[str, Any]:
    message = item.message
    if message is None:
        return {}
    fields = [name for name in _EXPRESSED if name in message.__dict__]
    expressed = [name for name in fields if derived is not None and _is_expressed(name, message, derived)]
    if derived is not None and expressed == fields and _alike(message, derived, item.index):
        return {}
    if expressed:
        message = copy.copy(message)
        blank: dict[str, Any] = {"content": "", "tool_calls": [], "id": None}
        message.__dict__.update({name: blank[name] for name in expressed})
    record = encode(message, item.index, 0).record
    return {"rest": b64encode(record).decode(), "parts": expressed}


def _alike(message: BaseMessage, derived: BaseMessage, index: int) -> bool:
    return type(message) is type(derived) and encode(message, index, 0) == encode(derived, index, 0)


def _is_expressed(name: str, message: BaseMessage, derived: BaseMessage) -> bool:
    """Return whether a field can be read off the parts, also after JavaScript read and wrote them."""
    one, other = message.__dict__.get(name), derived.__dict__.get(name)
    return is_exact(one) and is_exact(other) and json.dumps(one) == json.dumps(other)


def facts_in(metadata: Any, place: str) -> list[dict[str, Any]]:
    """Return what `metadata_of` kept of each message, or an empty list.

    Raises:
        ValueError: the metadata has another shape.
    """
    if not isinstance(metadata, dict) or KEY not in metadata:
        return []
    kept = shapes.check(metadata[KEY], dict, f"{place}.metadata.{KEY}")
    return shapes.objects(kept.get("messages", []), f"{place}.metadata.{KEY}.messages")


def restored(each: Sequence[Mapping[str, Any]], derived: list[BaseMessage], place: str) -> list[BaseMessage]:
    """Return the messages whose rests are in the metadata; `derived` itself if there are none.

    Args:
        each: what `facts_in` returned.
        derived: the messages that the visible parts alone become.
        place: where the front end's message is, for the error.

    Raises:
        ValueError: a rest cannot be read, or does not belong to these parts.
    """
    if not any("rest" in facts for facts in each):
        return derived
    whole = all("rest" in facts and not facts.get("parts") for facts in each)
    if not whole and len(each) != len(derived):
        raise mismatch(place)
    pairs = [None] * len(each) if whole else derived
    return [_restored(facts, twin, place) for facts, twin in zip(each, pairs, strict=True)]


def _restored(facts: Mapping[str, Any], derived: Any, place: str) -> BaseMessage:
    if "rest" not in facts:
        return derived  # type: ignore[no-any-return]
    rest = shapes.check(facts["rest"], str, f"{place}.metadata.{KEY}.messages[].rest")
    try:
        message = decode(b"0:" + rest.encode()).message
    except (CorruptRecordError, UnicodeEncodeError) as error:
        raise ValueError(f"{place}.metadata.{KEY} holds a message that cannot be read: {error}") from error
    for name in shapes.optional(dict(facts), "parts", list, f"{place}.metadata.{KEY}.messages[]") or ():
        if name not in _EXPRESSED or name not in message.__dict__ or name not in derived.__dict__:
            raise mismatch(place)
        message.__dict__[name] = derived.__dict__[name]
    return message


def mismatch(place: str) -> ValueError:
    """Return the error for metadata that is of another message, or of one that was changed since."""
    return ValueError(f"{place}.metadata.{KEY} does not belong to this message: remove it, or pass trusted=False")
