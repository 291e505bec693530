"""An application with `chatmem.fastapi.router`, in this process, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

import anyio
import httpx
from fastapi import FastAPI, Header, HTTPException
from langchain_core.messages import BaseMessage

import chatmem
from chatmem.fastapi import router
from tests.chat_client import ChatClient

NO_CHAT = {
    "detail": "There is no such chat, or no such message in it.",
    "error": "NotFoundError",
    "answer": None,
}


def user_of(x_user: Annotated[str | None, Header()] = None) -> str:
    """Stand for an application's authentication."""
    if x_user is None:
        raise HTTPException(401, "Who are you?")
    return x_user


async def echo(window: list[BaseMessage]) -> AsyncIterator[str]:
    """Say how many messages came, and repeat the last."""
    for word in f"{len(window)} messages, the last: {window[-1].text}".split(" "):
        yield f" {word}"


async def endless(window: list[BaseMessage]) -> AsyncIterator[str]:
    """Write until it is stopped."""
    while True:
        yield "word "
        await anyio.sleep(0.02)


class Site:
    """An application with the router, on a real server."""

    def __init__(self, memory: chatmem.ChatMemory, stack: AsyncExitStack) -> None:
        self.memory = memory
        self._stack = stack

    async def client(self, model: Any = echo, user: str | None = "alice", **options: Any) -> ChatClient:
        """Return the requests of a user to an application with this model."""
        app = FastAPI()
        app.include_router(router(self.memory, user=user_of, model=model, **options))
        transport = httpx.ASGITransport(app)
        headers = {} if user is None else {"x-user": user}
        http = httpx.AsyncClient(transport=transport, base_url="http://site", headers=headers)
        return ChatClient(await self._stack.enter_async_context(http))


@asynccontextmanager
async def opened(url: str, prefix: str, **options: Any) -> AsyncIterator[Site]:
    """Open a memory for a site, with these options."""
    async with AsyncExitStack() as stack:
        memory = await stack.enter_async_context(chatmem.connect(url, prefix=prefix, ttl=600, **options))
        yield Site(memory, stack)
