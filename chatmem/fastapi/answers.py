"""How an answer begins: a question is stored, and a task asks the model."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from langchain_core.messages import BaseMessage, HumanMessage

from chatmem.core.jsonable import Text
from chatmem.errors import ChatMemError, ConflictError, NotFoundError
from chatmem.fastapi import models
from chatmem.fastapi.bound import Bound
from chatmem.history import History


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


async def ask(here: Bound, history: History, question: HumanMessage, *, version: int, after: int | None = None) -> Begun:
    """Store a question and begin its answer, in one step and once.

    Args:
        here: the memory and the model.
        history: the chat.
        question: the question, with an id. If it is stored already, this request was carried out before.
        version: the chat's version; 0 for one that is to begin.
        after: the position behind which a branch begins first.

    Raises:
        ConflictError: an answer is being written, or the chat is not at `version`.
        NotFoundError: the chat shows no message at `after`.
    """
    question_id = str(question.id)
    answer = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{history.session_id} {question_id}"))
    entry = await history.get(question_id)
    if entry is None:
        try:
            await _begin(here, history, answer, [question], version, after)
        except ConflictError as error:
            if error.answer != answer:  # else the same request has come twice at once
                raise
        entry = await history.get(question_id)
    if entry is None:
        raise NotFoundError("the session was deleted meanwhile", session=history.session_id)
    return Begun(history.session_id, answer, entry.seq)


async def ask_again(here: Bound, history: History, seq: int, *, version: int) -> Begun:
    """Begin another answer to the question at a position, on a branch of its own.

    Raises:
        ConflictError: an answer is being written, or the chat is not at `version`.
        NotFoundError: the chat shows no question there.
    """
    entry = await history.get(seq)
    if entry is None or not isinstance(entry.message, HumanMessage):
        raise NotFoundError("there is no such question", session=history.session_id)
    answer = str(uuid.uuid4())
    await _begin(here, history, answer, [], version, seq)
    return Begun(history.session_id, answer, seq)


async def _begin(
    here: Bound, history: History, answer: str, asked: list[BaseMessage], version: int, after: int | None
) -> None:
    async with _branched(history, version, after) as version:
        said = _said(here, history)
        await here.memory.answers.start(history, said, *asked, id=answer, expected_version=version)


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


async def _said(here: Bound, history: History) -> AsyncGenerator[object]:
    """Yield what the model says to the end of the chat."""
    window = await history.window(tokens=here.options.tokens)
    run = {"configurable": {"session_id": history.session_id, "user": here.user}}
    said = models.ask(here.options.model, window, here.options.system, run)
    try:
        async for chunk in said:
            yield chunk
    finally:
        if isinstance(said, AsyncGenerator):
            await said.aclose()
