"""Messages that a window shows otherwise than they are stored, and what to store when one of them changes.

A window is a view: call ids are unique there, a system message between others is a notification, an answer is joined
with the call behind it. A state holds the view, so a change of such a message must be carried over to what is stored.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from copy import copy
from typing import Self, TypedDict

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from chatmem.core.window import Selection, Window
from chatmem.core.window.calls import answering, edited
from chatmem.langgraph.difference import Difference, Known, digests, id_of, with_id


class View(TypedDict):
    """How a message of a window differs from the stored one. Checkpoints hold it, so its keys must not change."""

    calls: dict[str, str]
    """the ids of its calls that differ from the stored ids, each with the stored one"""
    only_calls: bool
    """whether nothing but these ids differs"""
    joined: list[str]
    """the ids of stored messages whose text it begins with"""
    digest: str
    """of the stored message"""


Views = Mapping[str, View]
"""By the id of the message."""


class RecordingWindow(Window):
    """A window that records the stored messages that it was chosen from. All of them get ids."""

    stored: list[BaseMessage]
    """oldest first"""

    def recording(self) -> Self:
        """Return a copy for one read."""
        return copy(self)

    def select(self, pinned: list[BaseMessage]) -> Selection:
        """Begin to choose messages, beside those that are pinned."""
        self.stored = [with_id(one) for one in pinned]
        return _Recording(self, list(self.stored), self.stored)


class _Recording(Selection):
    def __init__(self, window: Window, pinned: list[BaseMessage], stored: list[BaseMessage]) -> None:
        super().__init__(window, pinned)
        self._stored, self._first = stored, len(pinned)

    def take(self, messages: list[BaseMessage]) -> bool:
        messages = [with_id(one) for one in messages]
        self._stored[self._first : self._first] = messages
        return super().take(messages)


def views_of(window: Sequence[BaseMessage], stored: Sequence[BaseMessage]) -> dict[str, View]:
    """Return how the messages of a window differ from the stored ones that it was chosen from."""
    same = {id(one) for one in stored}
    shown = {one.id: one for one in window if one.id}
    views = {one.id for one in window if id(one) not in same and one.id}
    made: dict[str, View] = {}
    for place, original in enumerate(stored if views else ()):
        if original.id in views:
            message = shown[original.id]
            calls, before = _stored_ids(message, original), (stored[at] for at in range(place - 1, -1, -1))
            joined = _joined(message, before, shown)
            made[original.id] = View(
                calls=calls,
                only_calls=_renamed(message, calls) == original,
                joined=joined,
                digest=digests([original])[original.id],
            )
    return made


def _stored_ids(message: BaseMessage, original: BaseMessage) -> dict[str, str]:
    if isinstance(message, ToolMessage) and isinstance(original, ToolMessage):
        pairs = [(message.tool_call_id, original.tool_call_id)]
    elif isinstance(message, AIMessage) and isinstance(original, AIMessage):
        left = [(_without_id(call), call["id"] or "") for call in (*original.tool_calls, *original.invalid_tool_calls)]
        pairs = []
        for call in (*message.tool_calls, *message.invalid_tool_calls):
            found = next((index for index, (what, _) in enumerate(left) if what == _without_id(call)), None)
            if found is not None:
                pairs.append((call["id"] or "", left.pop(found)[1]))
    else:
        pairs = []
    return {new: old for new, old in pairs if new != old}


def _without_id(call: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in call.items() if name != "id"}


def _joined(message: BaseMessage, before: Iterable[BaseMessage], shown: Container[str | None]) -> list[str]:
    """Return the ids of the answers that a call's text begins with: those before it that the window does not show."""
    found: list[str] = []
    for one in before if isinstance(message, AIMessage) and message.tool_calls else ():
        if isinstance(one, ToolMessage):
            continue  # in the window, it follows its call
        if not isinstance(one, AIMessage) or not one.id or one.id in shown or one.text not in message.text:
            break
        if one.text.strip():
            found.append(one.id)
    return found


def _renamed(message: BaseMessage, calls: Mapping[str, str]) -> BaseMessage:
    """Return a message with other ids of its calls, or of the call that it answers."""
    if not calls:
        return message
    if isinstance(message, ToolMessage):
        return answering(message, calls.get(message.tool_call_id, message.tool_call_id))
    if isinstance(message, AIMessage):
        return edited(message, lambda name, _: calls.get(name, name)) or message
    return message


def stored_digests(known: Known, views: Views) -> dict[str, str]:
    """Return digests of what is stored, given those of what a state holds."""
    return {name: views[name]["digest"] if name in views else held for name, held in known.items()}


def views_after(views: Views, written: Iterable[BaseMessage]) -> dict[str, View]:
    """Return the views after messages were written."""
    now = digests(one for one in written if id_of(one) in views)
    return {name: {**view, "digest": now.get(name, view["digest"])} for name, view in views.items()}


def shown_alike(message: BaseMessage, before: Views, now: Views) -> BaseMessage:
    """Return a message of an earlier window with the ids that its calls have in another window."""
    name = id_of(message)
    old = before[name]["calls"] if name in before else {}
    new = now[name]["calls"] if name in now else {}
    if old == new:
        return message
    return _renamed(_renamed(message, old), {stored: shown for shown, stored in new.items()})


def in_stored_form(found: Difference, views: Views, known: Known) -> Difference:
    """Return a difference whose messages are written as they are stored, not as a window shows them.

    Call ids are the stored ones. A message that has not changed is not written, if it would lose something. Messages
    that were joined to a changed one are removed, since that one holds their text.

    Args:
        found: what to write.
        views: how the loaded messages differ from the stored ones.
        known: the stored messages.
    """
    written, removed = list[BaseMessage](), list(found.removed)
    for one in found.written:
        name = id_of(one)
        view = views.get(name)
        if view is None:
            written.append(one)
        elif view["only_calls"] or name in found.removed or found.known[name] != known.get(name):
            written.append(_renamed(one, view["calls"]))
            removed += view["joined"]
    without_id = [_renamed(one, views[id_of(one)]["calls"]) if id_of(one) in views else one for one in found.without_id]
    return found._replace(written=written, removed=removed, without_id=without_id)
