"""A client of `chatmem.fastapi.router`: what a page asks for, without the page."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx


class ChatClient:
    """The requests of one user."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def json(self, method: str, path: str, **options: Any) -> Any:
        """Return what a request that must succeed brings."""
        answer = await self.http.request(method, path, **options)
        assert answer.is_success, f"{answer.status_code} {answer.text}"
        return answer.json()

    async def new(self, text: str = "Hi", **more: Any) -> Any:
        """Begin a chat with a question."""
        return await self.json("POST", "/chats", json={"text": text, **more})

    async def send(self, chat: str, text: str, **more: Any) -> Any:
        """Send another question, or an edited one."""
        return await self.json("POST", f"/chats/{chat}/messages", json={"text": text, **more})

    @asynccontextmanager
    async def following(
        self, begun: Any, *, headers: dict[str, str] | None = None, **query: Any
    ) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
        """Follow an answer: yields the ids and the data of its events."""
        path = f"/chats/{begun['session_id']}/answers/{begun['answer']}"
        async with self.streaming(path, headers=headers, **query) as events:
            yield events

    @asynccontextmanager
    async def streaming(
        self, path: str, *, headers: dict[str, str] | None = None, **query: Any
    ) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
        """Open a stream of events."""
        async with self.http.stream("GET", path, params=query, headers=headers) as response:
            if not response.is_success:
                await response.aread()
            assert response.status_code == 200, response.text
            assert response.headers["content-type"].startswith("text/event-stream")
            yield events_of(response)

    async def chunks(self, begun: Any, **options: Any) -> list[tuple[str, Any]]:
        """Return an answer's events, up to its end."""
        async with self.following(begun, **options) as events:
            return [event async for event in events]

    async def end(self, begun: Any) -> tuple[str, str]:
        """Return how an answer ended, and its text."""
        _, last = (await self.chunks(begun))[-1]
        return last["status"], "".join(text_of(message) for message in last["messages"])

    async def ask(self, chat: str, text: str, **more: Any) -> str:
        """Send a question and return the whole answer."""
        status, answer = await self.end(await self.send(chat, text, **more))
        assert status == "complete"
        return answer

    async def started(self, text: str = "Hi", **more: Any) -> str:
        """Begin a chat, wait for the answer, and return the chat's id."""
        begun = await self.new(text, **more)
        assert (await self.end(begun))[0] == "complete"
        return str(begun["session_id"])

    async def page(self, chat: str, **query: Any) -> Any:
        return await self.json("GET", f"/chats/{chat}/messages", params=query)

    async def texts(self, chat: str) -> list[str]:
        """Return what a chat shows, oldest first."""
        return [text_of(entry["message"]) for entry in reversed((await self.page(chat))["entries"])]

    async def titles(self, **query: Any) -> list[str]:
        return [chat["title"] for chat in (await self.json("GET", "/chats", params=query))["sessions"]]


@asynccontextmanager
async def signed_in(address: str, name: str = "") -> AsyncIterator[ChatClient]:
    """Sign in at the chat application, as somebody new by default."""
    async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as http:
        (await http.post("/sign-in", json={"name": name or f"user {uuid.uuid4()}"})).raise_for_status()
        yield ChatClient(http)


async def events_of(response: httpx.Response) -> AsyncIterator[tuple[str, Any]]:
    """Yield the id (or, without one, the kind) and the data of each event."""
    name, data = "", None
    async for line in response.aiter_lines():
        field, _, value = line.partition(": ")
        if field in ("id", "event"):
            name = value
        elif field == "data":
            data = json.loads(value)
        elif not line and data is not None:
            yield name, data
            name, data = "", None


def text_of(message: Any) -> str:
    """Return the text of a message, as JSON carries it."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
