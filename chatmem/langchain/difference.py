"""What of a state's messages is not stored as it is there, and what to write so that it is.

Messages are known by their ids and by digests of their content: of a message that is stored, the state keeps both.
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
"""Ids of stored messages in their order, each with the digest of what is stored."""

_NAMELESS = "chatmem-stored-"
"""How the ids begin that stored messages without one get in a state."""


class Difference(NamedTuple):
    """What to write, and what is known when that is done."""

    written: list[BaseMessage]
    """each over the one with its id, else appended, in this order"""
    removed: list[str]
    """ids of those among `written` that come again in another place"""
    nameless: list[BaseMessage]
    """what stored messages without an id have become"""
    known: dict[str, str]
    old: int

    @property
    def is_empty(self) -> bool:
        """Return whether all is stored as the state has it."""
        return not self.written and not self.nameless


def id_of(message: BaseMessage) -> str:
    """Return a message's id; in a state each has one."""
    return message.id or ""


def digests(messages: Iterable[BaseMessage]) -> dict[str, str]:
    """Return the messages' ids, each with a digest of all that would be stored of it."""
    return {id_of(one): hashlib.blake2b(_content(one), digest_size=8).hexdigest() for one in messages}


def _content(message: BaseMessage) -> bytes:
    """Return what is the same for equal messages: of plain values what takes least time, else what would be stored."""
    kind = type(message)
    try:
        values = _values_of(kind)(message.__dict__)
        return marshal.dumps((kind.__name__, values, message.__pydantic_extra__), 2)
    except (ValueError, KeyError):
        return record.encode(message, 0, 0, on_unstorable="repr").record


@cache
def _values_of(kind: type[BaseMessage]) -> Callable[[dict[str, Any]], Any]:
    return itemgetter(*sorted(kind.model_fields))


def named(message: BaseMessage) -> BaseMessage:
    """Return a stored message with an id, as a state needs it."""
    return message if message.id else message.model_copy(update={"id": f"{_NAMELESS}{uuid4()}"})


def is_nameless(message: BaseMessage) -> bool:
    """Return whether a message got its id from `named`, and is stored under none."""
    return id_of(message).startswith(_NAMELESS)


def is_summary(message: BaseMessage) -> bool:
    """Return whether LangChain's SummarizationMiddleware put a message in the place of others: nobody said it."""
    return isinstance(message, HumanMessage) and message.additional_kwargs.get("lc_source") == "summarization"


def unsaved(messages: Iterable[BaseMessage], known: Known) -> list[BaseMessage]:
    """Return the messages that are to be stored and are not."""
    return [one for one in messages if id_of(one) not in known and not is_summary(one)]


def with_gone(messages: Sequence[BaseMessage], gone: Sequence[BaseMessage], known: Known) -> list[BaseMessage]:
    """Return the messages, and where those begin that are not stored, others first that were there and are gone."""
    if not gone:
        return list(messages)
    first = next(iter(unsaved(messages, known)), None)
    place = len(messages) if first is None else messages.index(first)
    return [*messages[:place], *gone, *messages[place:]]


def difference(messages: Sequence[BaseMessage], known: Known, old: int = 0, *, acted: bool = False) -> Difference:
    """Return what makes stored what a state holds, in the state's order.

    What is new behind all that is known is appended. Where it stands before known ones, those come again behind it:
    all of this run's; of earlier runs' only where a tool's result is put right behind its call, so that a message
    which is put at the head of each run's state does not turn over the whole conversation.

    Args:
        messages: those of the state. Of known ones that are not among them nothing changes.
        known: what is stored.
        old: how many of the known ones were stored before this run began.
        acted: whether the last call of tools may be stored though it is not known.
    """
    messages = [one for one in messages if id_of(one) in known or not is_summary(one)]
    now = digests(messages)
    late, again = _displaced(messages, known, old)
    removed = [id_of(one) for one in (*late, *again)]
    if not removed and acted:
        removed = _called(unsaved(messages, known))
    stays = [one for one in messages if id_of(one) not in {*removed}]
    changed = [one for one in stays if known.get(id_of(one), now[id_of(one)]) != now[id_of(one)]]
    fresh = [*unsaved(messages, known)] if not again and not late else [*late, *again]
    written = [*(one for one in changed if not is_nameless(one)), *fresh]
    kept = {name: now.get(name, stored) for name, stored in known.items() if name not in removed}
    return Difference(
        written=written,
        removed=removed,
        nameless=[one for one in changed if is_nameless(one)],
        known=kept | {id_of(one): now[id_of(one)] for one in fresh},
        old=sum(name not in removed for name in list(known)[:old]),
    )


def everything(messages: Sequence[BaseMessage], known: Known) -> Difference:
    """Return what makes all of a state stored, whatever became of what was known."""
    messages = [one for one in messages if id_of(one) in known or not is_summary(one)]
    written = [one for one in messages if not is_nameless(one)]
    return Difference(written, [], [], {**known, **digests(messages)}, len(known))


async def write(writer: Writer, found: Difference, left: Iterable[str] = ()) -> None:
    """Write what differs and has an id, and remove what was left. One round trip, or none."""
    written = {id_of(one) for one in found.written}
    removed = dict.fromkeys((*found.removed, *(name for name in left if name not in written)))
    if found.written or removed:
        await writer.rewrite(found.written, [*removed])


async def write_nameless(history: History, found: Difference, known: Known) -> None:
    """Write over the messages that were stored without an id and changed; they get the id that they have in the state.

    Two round trips for each of them.
    """
    for one in found.nameless:
        name = id_of(one)
        for entry in (await history.page(limit=1000)).entries:
            if entry.message is None or entry.message.id not in (None, name):
                continue
            if digests([entry.message.model_copy(update={"id": name})])[name] == known[name]:
                await history.replace(entry.seq, one)
                break


def _displaced(
    messages: Sequence[BaseMessage], known: Known, old: int
) -> tuple[list[BaseMessage], Sequence[BaseMessage]]:
    """Return the new messages whose place is taken by what must not move, and what comes behind them, once more."""
    rank, start = {name: place for place, name in enumerate(known)}, 0
    while (place := _out_of_place(messages, rank, start)) is not None:
        first = messages[place]
        moves = isinstance(first, ToolMessage) and id_of(first) not in known
        end = place
        for index, one in enumerate(messages[place:], place + 1):
            if is_nameless(one) or (rank.get(id_of(one), old) < old and not moves):
                end = index
        late = unsaved(messages[place:end], known)
        if late or end == place:
            return late, messages[end:]
        start = end
    return [], []


def _out_of_place(messages: Sequence[BaseMessage], rank: Mapping[str, int], start: int) -> int | None:
    """Return the index of the first message from `start` on that must be stored before one that is stored already."""
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


def _called(new: Sequence[BaseMessage]) -> list[str]:
    """Return the ids from the last call of tools on, where something new stands before it."""
    calls = [index for index, one in enumerate(new) if isinstance(one, AIMessage) and one.tool_calls]
    return [id_of(one) for one in new[calls[-1] :]] if calls and calls[-1] > 0 else []
