"""What the routes of the AI SDK and of AG-UI share: neither trusts the list of messages that a client sends."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi.sse import ServerSentEvent
from langchain_core.messages import BaseMessage, HumanMessage
from pydantic_core import to_json

from chatmem.core.jsonable import text
from chatmem.errors import ChatMemError, ConflictError
from chatmem.fastapi.answers import Begun, ask
from chatmem.fastapi.bound import Bound
from chatmem.fastapi.errors import ChatProblem, arguments_checked, malformed, refused_for
from chatmem.fastapi.limits import LONGEST_TEXT
from chatmem.history import History
from chatmem.model import Entry

LONGEST_ANSWER = 100
"""Entries that are read at once: few answers have more."""


def asked(messages: list[dict[str, Any]], convert: Callable[..., list[BaseMessage]]) -> HumanMessage:
    """Return the last message of a client's list, which must be the user's. The others are not read.

    Raises:
        Refused: it is somebody else's, it is too long, or there is a system message anywhere.
    """
    roles = [one.get("role") for one in messages]
    if not roles or roles[-1] != "user":
        raise malformed("The last message must be the user's: results of tools and answers are not taken from clients.")
    if {"system", "developer"} & set(map(str, roles)):
        raise malformed("System messages are not taken from clients.")
    with arguments_checked():
        (message,) = convert(messages[-1:])
    if not isinstance(message, HumanMessage) or not message.id or text(message.id) != message.id:
        raise malformed("The user's message must have an id that is a text.")
    if not message.content:
        raise malformed("The user's message must not be empty.")
    if len(message.text) > LONGEST_TEXT:
        raise malformed(f"The user's message must have at most {LONGEST_TEXT:,} characters.")
    return message


async def _shown_up_to(here: Bound, history: History, message: Entry) -> list[Entry]:
    """Return what the chat shows up to a message, newest first.

    A client may name a message that an edit has hidden. Where a shown one stands in its place, what is before both is
    returned.

    Raises:
        ConflictError: the message is hidden elsewhere.
    """
    entries = (await history.page(before=message.seq + 1, limit=LONGEST_ANSWER)).entries
    if entries and entries[0].seq == message.seq:
        return entries
    after = await here.memory.core.reader(history.session_id, here.user).fork_before(message.seq)
    if after is None:
        raise ConflictError("the chat shows another branch", session=history.session_id)
    return (await history.page(before=after + 1, limit=LONGEST_ANSWER)).entries


async def question_at(here: Bound, history: History, message: Entry | None) -> int:
    """Return the position of the question that a message is, or answers; without one, of the last question.

    Raises:
        ConflictError: the chat does not show the answer.
        Refused: there is no question.
    """
    if message is None:
        shown = (await history.page(limit=LONGEST_ANSWER)).entries
    elif isinstance(message.message, HumanMessage):
        return message.seq
    else:
        shown = await _shown_up_to(here, history, message)
    while shown:
        for entry in shown:
            if isinstance(entry.message, HumanMessage):
                return entry.seq
        shown = (await history.page(before=shown[-1].seq, limit=LONGEST_ANSWER)).entries
    raise malformed("There is no question to answer anew.")


async def ask_edited(
    here: Bound, history: History, old: Entry, question: HumanMessage, *, version: int, answer: str | None = None
) -> Begun:
    """Ask an edited question on a branch beside the old one, which keeps its id; see `ask`.

    Raises:
        ConflictError: as for `ask`, or the chat does not show the old question.
    """
    question.id = str(uuid.uuid4())
    shown = await _shown_up_to(here, history, old)
    after = next((entry.seq for entry in shown if entry.seq < old.seq), -1)
    return await ask(here, history, question, version=version, after=after, answer=answer)


async def events(
    sent: AsyncIterator[str], told: Callable[[ChatProblem], dict[str, Any]]
) -> AsyncIterator[ServerSentEvent]:
    """Yield server-sent events, as text, once more as FastAPI takes them: it adds comments that keep a stream open.

    Args:
        sent: the events, each with one line of data.
        told: how the protocol tells a problem.
    """
    try:
        async for event in sent:
            yield ServerSentEvent(raw_data=event.removeprefix("data: ").rstrip("\n"))
    except ChatMemError as error:
        yield ServerSentEvent(raw_data=to_json(told(refused_for(error).problem)).decode())
