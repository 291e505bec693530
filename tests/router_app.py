"""An application with `chatmem.fastapi.router` for tests with several processes; `CHATMEM_URL` is its server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import anyio
from fastapi import FastAPI, Header, Request, Response
from langchain_core.messages import BaseMessage

import chatmem
from chatmem.fastapi import router

PACE = 0.05
"""Seconds a word."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with chatmem.connect(ttl=600, publish=True) as app.state.memory:
        yield


def memory(request: Request) -> chatmem.ChatMemory:
    opened: chatmem.ChatMemory = request.app.state.memory
    return opened


def user(x_user: Annotated[str, Header()], response: Response) -> str:
    """Say who asks, and tell them which process answers."""
    response.headers["x-process"] = str(os.getpid())
    return x_user


async def count(window: list[BaseMessage]) -> AsyncIterator[str]:
    """Count to the number that was said last."""
    for number in range(int(window[-1].text)):
        yield f"{number} "
        await anyio.sleep(PACE)


app = FastAPI(lifespan=lifespan)
app.include_router(router(memory, user=user, model=count), prefix="/api")
