"""What AG-UI's `HttpAgent` asks for: a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel, Field

from chatmem.core.answering.collecting import is_of
from chatmem.fastapi import front_ends
from chatmem.fastapi.answers import ask, ask_again, begin_chat, named
from chatmem.fastapi.bound import Bound, Here
from chatmem.fastapi.errors import STREAM_RESPONSES, ChatProblem, Route, malformed
from chatmem.fastapi.limits import SessionId
from chatmem.fastapi.streams import Events
from chatmem.history import History
from chatmem.model import SessionInfo
from chatmem.ui import ag_ui

router = APIRouter(route_class=Route, tags=["AG-UI"])


class RunInput(BaseModel):
    """AG-UI's `RunAgentInput`. Its state, context and forwarded properties are not read.

    Attributes:
        thread_id: the chat.
        run_id: the run. One that is sent again begins no second answer.
        messages: only the last one is read, which must be the user's. Without messages, the run shows the chat, and
            follows the answer that is being written.
        tools: must be empty: tools run on the server.
    """

    thread_id: Annotated[SessionId, Field(alias="threadId")]
    run_id: Annotated[str, Field(alias="runId", min_length=1, max_length=200)]
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = Field(default_factory=list)


async def _answer(here: Bound, history: History, run: RunInput, info: SessionInfo) -> tuple[str, bool]:
    """Return the answer that a run begins or began before, and whether the client's messages differ from the chat's."""
    answer = named(history, f"run {run.run_id}")
    if answer in {one.id for one in info.answers} or await history.get(answer) is not None:
        return answer, False
    question = front_ends.asked(run.messages, ag_ui.to_messages)
    if info.user is None:
        return (await begin_chat(here, history, question, answer=answer)).answer, False
    known = await history.get(str(question.id))
    if known is None:
        await ask(here, history, question, version=info.version, answer=answer)
        return answer, False
    if known.message is not None and known.message.content == question.content:
        await ask_again(here, history, known.seq, version=info.version, answer=answer)
        return answer, False
    await front_ends.ask_edited(here, history, known, question, version=info.version, answer=answer)
    return answer, True


async def _run(run: RunInput, here: Here) -> AsyncIterator[AsyncIterator[str]]:
    if run.tools:
        raise malformed("tools must be empty: this server runs the tools that its model calls.")
    history = here.history(run.thread_id)
    info = await history.info()
    answer, shows = (info.answers[-1].id if info.answers else None), True
    if run.messages:
        answer, shows = await _answer(here, history, run, info)
    shown = await _shown(history, answer) if shows else None
    async with AsyncExitStack() as stack:
        chunks = None if answer is None else await stack.enter_async_context(aclosing(history.follow(answer)))
        yield ag_ui.stream(chunks, run.thread_id, run.run_id, snapshot=shown)


async def _shown(history: History, answer: str | None) -> dict[str, Any]:
    """Return what the chat is now, without the answer: the stream brings it, even if it has ended meanwhile."""
    page = await history.page(limit=front_ends.LONGEST_ANSWER)
    kept = [entry for entry in page.entries if answer is None or not is_of(answer, entry.id)]
    return ag_ui.snapshot(replace(page, entries=kept))


def _error(problem: ChatProblem) -> dict[str, Any]:
    return {"type": "RUN_ERROR", "message": problem.detail, "code": problem.error}


@router.post("/ag-ui", response_class=EventSourceResponse, responses=STREAM_RESPONSES)
async def ag_ui_run(stream: Annotated[AsyncIterator[str], Depends(_run)]) -> Events:
    """Answer an AG-UI run: a question, an edited one, or an answer anew. Edits begin branches."""
    async for event in front_ends.events(stream, _error):
        yield event
