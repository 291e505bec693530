"""The difference between a state's messages and the stored ones, and the writes that make it disappear.

The state knows the stored messages by their ids and by digests of their content.
"""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from chatmem.codec import record
from chatmem.core.writer import Writer
from chatmem.history import History

Known = Mapping[str, str]
"""The ids of the stored messages, in order, each with the digest of its stored content."""

_TEMPORARY_ID = "chatmem-stored-"
"""The beginning of the ids that messages stored without an id get in a state. States in checkpoints hold such ids."""
_SUMMARY_ID = "chatmem-summary-"
"""The beginning of the ids that messages of a stored summary get in a state. States in checkpoints hold such ids."""
_PAGE = 1000
"""messages read at once in search of one without an id"""


class Difference(NamedTuple):
    """What to write, and what is known after that."""

    written: list[BaseMessage]
    """messages to write, in this order: each replaces the stored one with its id, or is appended"""
    removed: list[str]
    """ids of messages among `written` to remove first, so that they are appended at the end"""
    without_id: list[BaseMessage]
    """changed messages that are stored without an id; in the state they have a temporary one"""
    known: dict[str, str]
    old: int
    """how many of the known messages were stored before this run"""

    @property
    def is_empty(self) -> bool:
        """Return whether the memory already holds what the state holds."""
        return not self.written and not self.without_id


def id_of(message: BaseMessage) -> str:
    """Return the id of a message in a state, where every message has one."""
    return message.id or ""


def digests(messages: Iterable[BaseMessage]) -> dict[str, str]:
    """Return the ids of the messages, each with a digest of everything that is stored of the message."""
    return {id_of(one): hashlib.blake2b(_content(one), digest_size=8).hexdigest() for one in messages}


def _content(message: BaseMessage) -> bytes:
    """Return bytes that are equal for equal messages.

    `marshal` is the fastest way, but takes plain values only; other messages are encoded as for storage.
    """
    kind = type(message)
    try:
        values = _values_of(kind)(message.__dict__)
        return marshal.dumps((kind.__name__, values, message.__pydantic_extra__), 2)
    except (ValueError, KeyError):
        return record.encode(message, 0, 0, on_unstorable="repr").record


@cache
def _values_of(kind: type[BaseMessage]) -> Callable[[dict[str, Any]], Any]:
    return itemgetter(*sorted(kind.model_fields))


def with_id(message: BaseMessage) -> BaseMessage:
    """Return a stored message with an id, as a state needs it: its own, or a temporary one."""
    return message if message.id else message.model_copy(update={"id": f"{_TEMPORARY_ID}{uuid4()}"})


def has_temporary_id(message: BaseMessage) -> bool:
    """Return whether a message got its id from `with_id`, and is stored without one."""
    return id_of(message).startswith(_TEMPORARY_ID)


def summary_id(name: str) -> str:
    """Return the id that a message of a stored summary gets in a state, given the id that it is stored with."""
    return f"{_SUMMARY_ID}{name}"


def is_stored_summary(message: BaseMessage) -> bool:
    """Return whether a message was loaded as part of a stored summary."""
    return id_of(message).startswith(_SUMMARY_ID)


def is_summary(message: BaseMessage) -> bool:
    """Return whether a message stands for others, so that it is not stored as a message.

    It is part of a stored summary, or LangChain's SummarizationMiddleware made it.
    """
    if is_stored_summary(message):
        return True
    return isinstance(message, HumanMessage) and message.additional_kwargs.get("lc_source") == "summarization"


def boundary(messages: Sequence[BaseMessage], known: Known) -> str | None:
    """Return the id of the last stored message that a summary stands for; None if there is none that has an id.

    Args:
        messages: the messages that the state keeps behind the summary.
        known: the stored messages.
    """
    rank = {name: place for place, name in enumerate(known)}
    first = min((rank[id_of(one)] for one in messages if id_of(one) in rank), default=len(rank))
    return next((name for name in reversed([*known][:first]) if not name.startswith(_TEMPORARY_ID)), None)


def unstored(messages: Iterable[BaseMessage], known: Known) -> list[BaseMessage]:
    """Return the messages that must be stored and are not yet."""
    return [one for one in messages if id_of(one) not in known and not is_summary(one)]


def with_dropped(messages: Sequence[BaseMessage], dropped: Sequence[BaseMessage], known: Known) -> list[BaseMessage]:
    """Return a state's messages, with those dropped from it before they were stored put in front of the unstored."""
    if not dropped:
        return list(messages)
    first = next(iter(unstored(messages, known)), None)
    place = len(messages) if first is None else messages.index(first)
    return [*messages[:place], *dropped, *messages[place:]]


def difference(messages: Sequence[BaseMessage], known: Known, old: int = 0, *, acted: bool = False) -> Difference:
    """Return what to write so that the memory holds a state's messages, in the state's order.

    New messages behind all known ones are appended. A new message in front of known ones is appended too, and the
    known ones behind it are removed and appended again, but only those that this run stored. Messages of earlier runs
    stay in place, or else a message that is put at the head of each run's state would move the whole conversation.
    There is one exception: a tool's result that is put right behind its call also moves messages of earlier runs.

    Args:
        messages: the state's messages. Known messages that are not among them stay as they are stored.
        known: the stored messages.
        old: how many of the known messages were stored before this run.
        acted: whether the last tool call may be stored although it is not known.
    """
    messages = [one for one in messages if id_of(one) in known or not is_summary(one)]
    now = digests(messages)
    late, again = _displaced(messages, known, old)
    removed = [id_of(one) for one in (*late, *again)]
    if not removed and acted:
        removed = _from_last_call(unstored(messages, known))
    stays = [one for one in messages if id_of(one) not in {*removed}]
    changed = [one for one in stays if known.get(id_of(one), now[id_of(one)]) != now[id_of(one)]]
    fresh = [*unstored(messages, known)] if not again and not late else [*late, *again]
    written = [*(one for one in changed if not has_temporary_id(one)), *fresh]
    kept = {name: now.get(name, stored) for name, stored in known.items() if name not in removed}
    return Difference(
        written=written,
        removed=removed,
        without_id=[one for one in changed if has_temporary_id(one)],
        known=kept | {id_of(one): now[id_of(one)] for one in fresh},
        old=sum(name not in removed for name in list(known)[:old]),
    )


def full_difference(messages: Sequence[BaseMessage], known: Known) -> Difference:
    """Return what writes all of a state's messages, as if nothing were known of the stored ones."""
    messages = [one for one in messages if id_of(one) in known or not is_summary(one)]
    written = [one for one in messages if not has_temporary_id(one)]
    return Difference(written, [], [], {**known, **digests(messages)}, len(known))


async def write(writer: Writer, found: Difference, abandoned: Iterable[str] = ()) -> None:
    """Write the messages that have an id of their own, and remove abandoned ones. One round trip, or none."""
    written = {id_of(one) for one in found.written}
    removed = dict.fromkeys((*found.removed, *(name for name in abandoned if name not in written)))
    if found.written or removed:
        await writer.rewrite(found.written, [*removed])


async def write_without_id(history: History, found: Difference, known: Known) -> None:
    """Replace the changed messages that are stored without an id. They keep the id that they have in the state.

    Two round trips for each of them, or more where a thousand messages follow it.

    Args:
        history: the session.
        found: what to write.
        known: the stored messages, with the digests of what is stored.
    """
    for one in found.without_id:
        place = await _place(history, id_of(one), known)
        if place is not None:
            await history.replace(place, one)


async def _place(history: History, name: str, known: Known) -> int | None:
    """Return the position of a message that is stored without an id, or with its temporary one; None if it is gone.

    Its content tells which one it is. Of several with this content, it is the one that as many follow as in the state.
    """
    names = list(known)
    behind = [other for other in names[names.index(name) + 1 :] if other.startswith(_TEMPORARY_ID)]
    equal: int | None = None
    page = await history.page(limit=_PAGE)
    while True:
        for entry in page.entries:
            message = entry.message
            if message is None or message.id not in (None, name) or not _is(message, name, known):
                continue
            if equal is None:
                equal = sum(_is(message, other, known) for other in behind)
            if message.id == name or not equal:
                return entry.seq
            equal -= 1
        if page.next is None:
            return None
        page = await history.page(before=page.next, limit=_PAGE)


def _is(message: BaseMessage, name: str, known: Known) -> bool:
    """Return whether a stored message may be the one that has this temporary id in the state."""
    return digests([message.model_copy(update={"id": name})])[name] == known[name]


def _displaced(
    messages: Sequence[BaseMessage], known: Known, old: int
) -> tuple[list[BaseMessage], Sequence[BaseMessage]]:
    """Return the messages to append again because one in front of them is not stored in its place.

    Returns:
        The new messages that cannot be stored in their place, since a message that must not move follows them; and
        the messages behind.
    """
    rank, start = {name: place for place, name in enumerate(known)}, 0
    while (place := _out_of_place(messages, rank, start)) is not None:
        first = messages[place]
        moves = isinstance(first, ToolMessage) and id_of(first) not in known
        end = place
        for index, one in enumerate(messages[place:], place + 1):
            if has_temporary_id(one) or (rank.get(id_of(one), old) < old and not moves):
                end = index
        late = unstored(messages[place:end], known)
        if late or end == place:
            return late, messages[end:]
        start = end
    return [], []


def _out_of_place(messages: Sequence[BaseMessage], rank: Mapping[str, int], start: int) -> int | None:
    """Return the index, from `start` on, at which the state's order first differs from the stored order.

    There, a new message precedes a stored one, or a stored message follows one that is stored behind it.
    """
    new, highest = None, max((rank.get(id_of(one), -1) for one in messages[:start]), default=-1)
    for index, one in enumerate(messages[start:], start):
        mine = rank.get(id_of(one))
        if mine is None:
            new = index if new is None else new
        elif new is not None:
            return new
        elif mine < highest:
            return index
        else:
            highest = mine
    return None


def _from_last_call(new: Sequence[BaseMessage]) -> list[str]:
    """Return the ids from the last tool call on if new messages precede it, else none."""
    calls = [index for index, one in enumerate(new) if isinstance(one, AIMessage) and one.tool_calls]
    return [id_of(one) for one in new[calls[-1] :]] if calls and calls[-1] > 0 else []
