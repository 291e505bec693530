"""Summaries in a state: those that the memory holds, and those that other middleware made and the memory gets."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from langchain_core.messages import BaseMessage

from chatmem.errors import ConflictError
from chatmem.history import History
from chatmem.langgraph.difference import Known, boundary, digests, id_of, is_stored_summary, is_summary, summary_id


def as_summary(message: BaseMessage) -> BaseMessage:
    """Return a message of the stored summary with an id that tells it from stored messages."""
    name = message.id or digests([message])[""]
    return message.model_copy(update={"id": summary_id(name)})


def names_of_stored(messages: Iterable[BaseMessage]) -> list[str]:
    """Return the ids of the messages that were loaded as the stored summary."""
    return [id_of(one) for one in messages if is_stored_summary(one)]


def new_summaries(messages: Iterable[BaseMessage], known: Container[str], stored: Container[str]) -> list[BaseMessage]:
    """Return the summaries in a state that are not stored. One that is stored as a message is a message like any other.

    Args:
        messages: the state's messages.
        known: the ids of the stored messages.
        stored: the ids in a state of the messages of the stored summary.
    """
    made = [one for one in messages if is_summary(one) and not is_stored_summary(one)]
    return [one for one in made if id_of(one) not in known and summary_id(id_of(one)) not in stored]


class NewSummary(NamedTuple):
    """A summary that the memory is to store."""

    messages: list[BaseMessage]
    up_to: str
    """the id of the last message that it speaks of"""

    @classmethod
    def of(cls, messages: Sequence[BaseMessage], summaries: list[BaseMessage], known: Known) -> NewSummary | None:
        """Return what to store of new summaries in a state; None if no stored message is known that they speak of.

        Args:
            messages: the state's messages.
            summaries: those of them that are new summaries.
            known: the stored messages.
        """
        up_to = boundary(messages[messages.index(summaries[-1]) + 1 :], known) if summaries else None
        return None if up_to is None else cls(summaries, up_to)

    async def store(self, history: History) -> list[str]:
        """Store the summary, unless it is stale; return the ids that its messages have in a state. One round trip."""
        with suppress(ConflictError):
            await history.summarize(up_to=self.up_to, summary=self.messages)
        return [summary_id(id_of(one)) for one in self.messages]
