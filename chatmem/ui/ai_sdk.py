"""Vercel's AI SDK, versions 5 to 7: `UIMessage`s from and to LangChain messages, and answers as UI message streams.

Consecutive messages of a model and of the tools that it called are one `UIMessage` with a step for each message of the
model. On the way back they are the same messages again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from chatmem.model import Entry
from chatmem.ui import shapes
from chatmem.ui.ai_sdk_parts import parts_of_answer, parts_of_text
from chatmem.ui.ai_sdk_reading import messages_of
from chatmem.ui.ai_sdk_stream import HEADERS, stream
from chatmem.ui.kept import Item, facts_in, items_of, metadata_of, mismatch, restored
from chatmem.ui.pieces import Result, role_of

__all__ = ["from_messages", "to_messages", "stream", "HEADERS"]


def from_messages(messages: Iterable[BaseMessage | Entry], *, trusted: bool = False) -> list[dict[str, Any]]:
    """Return the `UIMessage`s for messages, ready for JSON.

    An answer is one `UIMessage`: the messages of a model that follow each other because the model called tools, and the
    results. It has the id of its first message. For entries, `metadata.chatmem.messages` has an object for each
    LangChain message, with `seq`, `createdAt`, `annotations` and `siblings`, and `error` if the record cannot be read.
    `metadata.chatmem.status` says how an answer ended, unless it is complete.

    Args:
        messages: messages, or entries as `page` and `entries` return them.
        trusted: whether who gets the result may see everything: what a model was not shown (artifacts), names, metadata
            of responses. Then `to_messages(..., trusted=True)` returns equal messages. By default, only what can be
            seen in a chat is included.

    Raises:
        ValueError: something else is among the messages.
        EncodingError: with `trusted`, a message has a value that chatmem cannot store.
    """
    return [_ui_message(group, trusted) for group in _groups(items_of(messages))]


def to_messages(messages: Any, *, accept: Collection[str] = ("user",), trusted: bool = False) -> list[BaseMessage]:
    """Return the LangChain messages for `UIMessage`s.

    Args:
        messages: the list that a front end sent, from JSON.
        accept: the roles that may occur: "user", "assistant", "system", and "tool" for results of tools. A client can
            forge all of them, so the default is what only the user says.
        trusted: whether the messages come from your own storage, which nobody else writes. Then all roles are accepted,
            and what `from_messages(..., trusted=True)` kept in `metadata.chatmem` is restored. Otherwise metadata is
            ignored.

    Raises:
        ValueError: the shape is wrong, a role is not accepted, or `metadata.chatmem` is of another message. The error
            names the place.
    """
    accept = shapes.accepted(accept, trusted)
    converted: list[BaseMessage] = []
    for index, ui in enumerate(shapes.objects(messages, "messages")):
        place = f"messages[{index}]"
        derived = messages_of(ui, accept, place)
        facts = facts_in(ui.get("metadata"), place) if trusted else []
        exact = restored(facts, derived, place)
        if exact is not derived and _parts(exact) != ui["parts"]:
            raise mismatch(place)
        converted += exact
    return converted


def _groups(items: Iterable[Item]) -> list[list[Item]]:
    """Return the items of each `UIMessage`."""
    groups: list[list[Item]] = []
    for item in items:
        if groups and _goes_on(groups[-1], item):
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def _goes_on(group: list[Item], item: Item) -> bool:
    """Return whether a message belongs to the answer before it."""
    first, last = group[0].message, group[-1].message
    if not isinstance(last, AIMessage | Result) or not isinstance(first, AIMessage | Result):
        return False
    if isinstance(item.message, Result):
        return True
    if not isinstance(item.message, AIMessage):
        return False
    calls = isinstance(last, AIMessage) and bool(last.tool_calls or last.invalid_tool_calls)
    return calls or isinstance(last, Result) or item.id.startswith(f"{group[0].id}.")


def _ui_message(group: list[Item], trusted: bool) -> dict[str, Any]:
    messages = [item.message for item in group if item.message is not None]
    ui = {"id": group[0].id, "role": _role(messages[0]) if messages else "assistant", "parts": _parts(messages)}
    derived = messages_of(ui, shapes.ROLES, "messages") if trusted else None
    return ui | metadata_of(group, derived)


def _role(message: BaseMessage) -> str:
    role = role_of(message)
    return "system" if role == "developer" else role


def _parts(messages: list[BaseMessage]) -> list[dict[str, Any]]:
    if not messages:
        return []
    if isinstance(messages[0], AIMessage | Result):
        return parts_of_answer(messages)
    if _role(messages[0]) == "assistant":
        return parts_of_answer([AIMessage(messages[0].content)])
    return parts_of_text(messages[0])
