"""How an answer begins: a question is stored, and a task asks the model."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from chatmem.core.jsonable import Text
from chatmem.errors import ChatMemError, ConflictError, DuplicateIdError, NotFoundError
from chatmem.fastapi import models
from chatmem.fastapi.bound import Bound
from chatmem.history import History

LEASE = 15.0
"""Seconds after which an answer counts as interrupted if the process that writes it has died."""


@dataclass(frozen=True, slots=True)
class Begun:
    """An answer that has begun.

    Attributes:
        session_id: the chat.
        answer: the answer's id: `GET /chats/{session_id}/answers/{answer}` follows it.
        seq: the position of the question.
    """

    session_id: Text
    answer: Text
    seq: int


async def begin_chat(
    here: Bound, history: History, question: HumanMessage, *, title: str | None = None, answer: str | None = None
) -> Begun:
    """Begin a chat with a question, and give it a title unless it has one; see `ask`."""
    title = title or here.options.title(str(question.text)) or None
    if title is not None and not isinstance(title, str):
        raise ValueError(f"the function title= must return a string, not {type(title).__name__}")
    begun = await ask(here, history, question, version=0, answer=answer)
    with suppress(ConflictError):  # this request was carried out before
        await history.update(title=title, expected_revision=0)
    return begun


async def ask(
    here: Bound,
    history: History,
    question: HumanMessage,
    *,
    version: int,
    after: int | None = None,
    answer: str | None = None,
) -> Begun:
    """Store a question and begin its answer, in one step and once.

    Args:
        here: the memory and the model.
        history: the chat.
        question: the question, with an id. If it is stored already, this request was carried out before.
        version: the chat's version; 0 for one that is to begin.
        after: the position behind which a branch begins first.
        answer: the answer's id; by default it follows from the question's.

    Raises:
        ConflictError: an answer is being written, or the chat is not at `version`.
        DuplicateIdError: another message has the question's id.
        NotFoundError: the chat shows no message at `after`.
    """
    question_id = str(question.id)
    answer = answer or named(history, question_id)
    entry = await history.get(question_id)
    if entry is None:
        try:
            await _begin(here, history, answer, question, [question], version, after)
        except ConflictError as error:
            entry = await history.get(question_id)
            if entry is None:  # else the same request came twice at once
                raise error
    entry = entry or await history.get(question_id)
    if entry is None:
        raise NotFoundError("the session was deleted meanwhile", session=history.session_id)
    if entry.message is None or entry.message.content != question.content:
        raise DuplicateIdError("another message has this id", message_id=question_id, session=history.session_id)
    return Begun(history.session_id, answer, entry.seq)


async def ask_again(here: Bound, history: History, seq: int, *, version: int, answer: str | None = None) -> Begun:
    """Begin another answer to the question at a position, on a branch of its own.

    Raises:
        ConflictError: an answer is being written, or the chat is not at `version`.
        NotFoundError: the chat shows no question there.
    """
    entry = await history.get(seq)
    if entry is None or not isinstance(entry.message, HumanMessage):
        raise NotFoundError("there is no such question", session=history.session_id)
    answer = answer or str(uuid.uuid4())
    await _begin(here, history, answer, entry.message, [], version, seq)
    return Begun(history.session_id, answer, seq)


def named(history: History, cause: str) -> str:
    """Return the id of the answer to a question or a run: the same each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{history.session_id} {cause}"))


async def _begin(
    here: Bound,
    history: History,
    answer: str,
    question: HumanMessage,
    new: list[BaseMessage],
    version: int,
    after: int | None,
) -> None:
    async with _branched(history, version, after) as version:
        said = _said(here, history, question)
        await here.memory.answers.start(history, said, *new, id=answer, expected_version=version, lease=LEASE)


@asynccontextmanager
async def _branched(history: History, version: int, after: int | None) -> AsyncIterator[int]:
    """Begin a branch, and yield the chat's version. If the block fails, the chat shows again what it showed before."""
    if after is None:
        yield version
        return
    before = next((one.id for one in await history.branches() if one.active), 0)
    branched = await history.branch(after=after, expected_version=version)
    try:
        yield branched.version
    except ChatMemError:
        with suppress(ChatMemError):
            await history.switch(before, expected_version=branched.version)
        raise


async def _said(here: Bound, history: History, question: HumanMessage) -> AsyncGenerator[object]:
    """Yield what the model says to a question at the end of the chat."""
    keep_system = here.options.system is None
    window = await history.window(tokens=here.options.tokens, keep_system=keep_system)
    if question.id not in {message.id for message in window}:  # it alone has more tokens
        window = await history.window(turns=1, keep_system=keep_system)
    run: RunnableConfig = {"configurable": {"session_id": history.session_id, "user": here.user}}
    said = models.ask(here.options.model, window, here.options.system, run)
    try:
        async for chunk in said:
            yield chunk
    finally:
        if isinstance(said, AsyncGenerator):
            await said.aclose()
