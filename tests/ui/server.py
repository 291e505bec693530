"""An application with `chatmem.fastapi.router` and the built pages, run by uvicorn; its model is slow and offline."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, ToolMessage

import chatmem
from chatmem.fastapi import router

WORDS = 50


async def model(window: Sequence[BaseMessage]) -> AsyncIterator[BaseMessage]:
    """Look up a weather, if one is asked for; then say so many words, in some two seconds."""
    question = window[-1].text
    number = sum(isinstance(message, HumanMessage) for message in window)
    if "weather" in question:
        yield AIMessageChunk(
            content="Let me look. ",
            id="first",
            tool_call_chunks=[{"name": "weather", "args": '{"city": "Lima"}', "id": f"call-{number}", "index": 0}],
        )
        await anyio.sleep(0.1)
        yield ToolMessage("fine", name="weather", tool_call_id=f"call-{number}", id="found")
    for word in range(WORDS):
        yield AIMessageChunk(content=f"word{number}-{word} ", id="second")
        await anyio.sleep(0.04)


def create() -> FastAPI:
    """Return the application, for `uvicorn --factory`."""
    memory = chatmem.connect(os.environ["CHATMEM_URL"], ttl=600, prefix=os.environ["CHATMEM_PREFIX"])

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with memory:
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(router(memory, user=lambda: "alice", model=model), prefix="/api")
    app.mount("/", StaticFiles(directory=os.environ["CHATMEM_PAGES"], html=True))
    return app
