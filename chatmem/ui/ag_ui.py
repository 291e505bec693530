"""AG-UI: its messages from and to LangChain messages, pages of a conversation as snapshots, and answers as events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage

from chatmem.model import Entry, Page
from chatmem.ui import calls, shapes
from chatmem.ui.ag_ui_reading import groups_of, messages_of
from chatmem.ui.ag_ui_stream import HEADERS, content_of_result, events, stream
from chatmem.ui.calls import Ids, Names
from chatmem.ui.kept import Item, facts_in, items_of, metadata_of, mismatch, restored
from chatmem.ui.pieces import Reasoning, Result, call_id_of, pieces_of, role_of, text_of
from chatmem.ui.values import shown, shown_text

__all__ = ["from_messages", "to_messages", "snapshot", "events", "stream", "HEADERS"]


def from_messages(messages: Iterable[BaseMessage | Entry], *, trusted: bool = False) -> list[dict[str, Any]]:
    """Return the AG-UI messages for messages, ready for JSON.

    Each message is one of AG-UI's, and what a model thought is a message of role "reasoning" before it.
    `metadata.chatmem` is as for `ai_sdk.from_messages`.

    Args:
        messages: messages, or entries as `page` and `entries` return them.
        trusted: whether who gets the result may see everything, so that `to_messages(..., trusted=True)` returns equal
            messages. By default, only what can be seen in a chat is included.

    Raises:
        ValueError: something else is among the messages.
        EncodingError: with `trusted`, a message has a value that chatmem cannot store.
    """
    names: Names = {}
    ids = Ids()
    return [one for item in items_of(messages) for one in _converted(item, trusted, names, ids)]


def to_messages(messages: Any, *, accept: Collection[str] = ("user",), trusted: bool = False) -> list[BaseMessage]:
    """Return the LangChain messages for AG-UI messages.

    Args:
        messages: the `messages` of a `RunAgentInput`, from JSON.
        accept: the roles that may occur: "user", "assistant" (with "reasoning" and "activity"), "system" (with
            "developer"), and "tool". A client can forge all of them, so the default is what only the user says.
        trusted: whether the messages come from your own storage, which nobody else writes. Then all roles are accepted,
            and what `from_messages(..., trusted=True)` kept is restored. Otherwise metadata is ignored.

    Raises:
        ValueError: the shape is wrong, a role is not accepted, or `metadata.chatmem` is of another message. The error
            names the place.
    """
    accept = shapes.accepted(accept, trusted)
    converted: list[BaseMessage] = []
    names: Names = {}
    ids = Ids()
    for start, group in groups_of(shapes.objects(messages, "messages")):
        place = f"messages[{start + len(group) - 1}]"
        derived = messages_of(group, start, accept, names)
        facts = facts_in(group[-1].get("metadata"), place) if trusted else []
        exact = restored(facts, derived, place)
        again = _shown(exact[0], group[-1]["id"], {}, ids) if trusted else group
        if exact is not derived and (len(exact) != 1 or [_without_metadata(one) for one in group] != again):
            raise mismatch(place)
        converted += exact
    return converted


def snapshot(*pages: Page) -> dict[str, Any]:
    """Return the event MESSAGES_SNAPSHOT for a conversation's newest pages.

    A snapshot takes the place of all messages that a client shows. So when it asks for an older page, pass the pages
    that it shows, too. `metadata.chatmem.next` is the cursor of the next older page, or None.

    Args:
        pages: what `page` returned, in the order in which they were read with `before`.
    """
    entries = sorted((entry for page in pages for entry in page.entries), key=lambda entry: entry.seq)
    next_page = pages[-1].next if pages else None
    return {
        "type": "MESSAGES_SNAPSHOT",
        "messages": from_messages(entries),
        "metadata": {"chatmem": {"next": next_page}},
    }


def _converted(item: Item, trusted: bool, names: Names, ids: Ids) -> list[dict[str, Any]]:
    if item.message is None:
        return [{"id": item.id, "role": "assistant"} | metadata_of([item], None)]
    known = dict(names)
    group = _shown(item.message, item.id, names, ids)
    derived = messages_of(group, 0, shapes.ROLES, known) if trusted else None
    return [*group[:-1], group[-1] | metadata_of([item], derived)]


def _shown(message: BaseMessage, message_id: str, names: Names, ids: Ids) -> list[dict[str, Any]]:
    name = {} if not message.name or isinstance(message, Result) else {"name": shown_text(message.name)}
    if isinstance(message, AIMessage):
        return [*_thoughts(message, message_id), _assistant(message, message_id, names, ids) | name]
    if isinstance(message, Result):
        error = isinstance(message, ToolMessage) and message.status == "error"
        content = content_of_result(message)
        call_id = ids.returned(call_id_of(message)) or call_id_of(message)
        told = {"id": message_id, "role": "tool", "toolCallId": call_id, "content": content}
        return [told | ({"error": shown_text(text_of(message))} if error else {})]
    match message:
        case ChatMessage(
            role="activity", additional_kwargs={"ag_ui": {"activityType": str(kind), "content": dict(what)}}
        ):
            return [{"id": message_id, "role": "activity", "activityType": shown_text(kind), "content": shown(what)}]
    role = role_of(message)
    if role == "user":
        return [{"id": message_id, "role": "user", "content": content_of_result(message)} | name]
    return [{"id": message_id, "role": role, "content": shown_text(text_of(message))} | name]


def _thoughts(message: AIMessage, message_id: str) -> Iterator[dict[str, Any]]:
    thoughts = [piece for piece in pieces_of(message) if isinstance(piece, Reasoning)]
    for number, thought in enumerate(thoughts, 1):
        yield {"id": f"{message_id}-reasoning-{number}", "role": "reasoning", "content": shown_text(thought.text)}


def _assistant(message: AIMessage, message_id: str, names: Names, ids: Ids) -> dict[str, Any]:
    told: dict[str, Any] = {"id": message_id, "role": "assistant"}
    if text := text_of(message):
        told["content"] = shown_text(text)
    written = calls.written(message, names, ids)
    return told | ({"toolCalls": written} if written else {})


def _without_metadata(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "metadata"}
