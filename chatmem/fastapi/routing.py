"""`router`: the routes, bound to an application's memory, users and model."""

# No `from __future__ import annotations`: the dependencies are known only here, inside the function.

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from chatmem.core.checks import check_count
from chatmem.fastapi import ag_ui, ai_sdk, chats, messages, streams
from chatmem.fastapi.bound import Bound, bind
from chatmem.fastapi.models import Model, check_model
from chatmem.fastapi.options import Options, first_words
from chatmem.memory import ChatMemory


def router(
    memory: ChatMemory | Callable[..., Any],
    *,
    user: Callable[..., Any],
    model: Model,
    system: str | None = None,
    tokens: int | None = 4000,
    title: Callable[[str], str] = first_words,
) -> APIRouter:
    """Return the back end of a chat: chats, pages, questions, answers, branches, ratings, search, live changes.

    Include it in an application, under any prefix: `app.include_router(router(...), prefix="/api")`. docs/fastapi.md
    lists its routes, and the application's OpenAPI describes them. Users see and change nothing but their own chats;
    what a user has no right to see is a 404. Errors of chatmem become responses without handlers of the application's.

    Args:
        memory: the memory, or a FastAPI dependency that returns it, for a memory that is opened in the lifespan.
            Answers are written by tasks of this memory, so they go on when a client leaves; `aclose` ends them.
        user: a FastAPI dependency that returns the id of the user who makes a request, a non-empty string. It raises an
            HTTPException if nobody may. It is the only authentication there is.
        model: who answers. Anything with LangChain's `astream` over messages: a chat model, a runnable, an agent of
            `create_agent` without a checkpointer and without `HistoryMiddleware`. The configuration of its runs holds
            `session_id` and `user` under "configurable". Or an async function of the window, a list of messages, that
            yields strings or chunks of messages.
        system: a system message that stands before each window, in place of a stored one.
        tokens: how much of the conversation the model is sent, None for all of it; see `History.window`. A question
            that is longer is sent alone.
        title: makes a chat's title of its first question, unless the client gives one. By default its first words.

    Raises:
        ValueError: an argument is wrong.
    """
    _check(memory, user, model, system, tokens, title)
    options = Options(model, system, tokens, title)

    async def bound(
        request: Request,
        memory: Annotated[Any, Depends((lambda: memory) if isinstance(memory, ChatMemory) else memory)],
        user: Annotated[Any, Depends(user)],
    ) -> None:
        if not isinstance(memory, ChatMemory):
            raise ValueError(f"the dependency memory= must return a ChatMemory, not {type(memory).__name__}")
        if not isinstance(user, str) or not user:  # None would open everybody's chats
            raise ValueError(f"the dependency user= must return a non-empty string, not {user!r}")
        bind(request, Bound(memory, user, options))

    made = APIRouter(dependencies=[Depends(bound)])
    for part in (chats, messages, streams, ai_sdk, ag_ui):
        made.include_router(part.router)
    return made


def _check(memory: object, user: object, model: object, system: object, tokens: object, title: object) -> None:
    check_model(model)
    if not callable(user):
        raise ValueError(f"user must be a dependency that returns the user's id, not {type(user).__name__}")
    if not isinstance(memory, ChatMemory) and not callable(memory):
        raise ValueError(f"memory must be a ChatMemory, or a dependency that returns one, not {type(memory).__name__}")
    if system is not None and not isinstance(system, str):
        raise ValueError(f"system must be the text of a system message, or None, not {type(system).__name__}")
    if not callable(title):
        raise ValueError(f"title must be a function of a chat's first question, not {type(title).__name__}")
    check_count("tokens", tokens)
