"""The OpenAI Agents SDK's RedisSession, on a client that the application shares, as its documentation advises."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import redis.asyncio
from agents.extensions.memory import RedisSession

from benchmarks.corpus import Message
from benchmarks.systems.base import CONNECTIONS, LAST, TTL_SECONDS, slices


class System:
    """One client; a RedisSession a turn. It takes items of the Responses API."""

    def open(self, url: str) -> None:
        self._redis = redis.asyncio.Redis.from_url(url, max_connections=CONNECTIONS)

    def prepare(self, messages: Sequence[Message]) -> list[Any]:
        return [_item(one["type"], one["data"]) for one in messages]

    async def seed(self, session: str, messages: list[Any]) -> None:
        for some in slices(messages):
            await self._session(session).add_items(some)

    async def turn(self, session: str, new: list[Any]) -> None:
        opened = self._session(session)
        await opened.get_items(limit=LAST)
        await opened.add_items(new)

    async def read(self, session: str, last: int | None) -> int:
        return len(await self._session(session).get_items(limit=last))

    async def append(self, session: str, new: list[Any]) -> None:
        await self._session(session).add_items(new)

    async def close(self) -> None:
        await self._redis.aclose()

    def _session(self, session: str) -> RedisSession:
        return RedisSession(session, redis_client=self._redis, ttl=TTL_SECONDS)


def _item(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return a message as one item: its text, or where it has none, its call."""
    if kind == "tool":
        return {
            "type": "function_call_output",
            "id": data["id"],
            "call_id": data["tool_call_id"],
            "output": data["content"],
        }
    if kind == "ai" and data["tool_calls"] and not data["content"]:
        call = data["tool_calls"][0]
        arguments = json.dumps(call["args"])
        return {
            "type": "function_call",
            "id": data["id"],
            "call_id": call["id"],
            "name": call["name"],
            "arguments": arguments,
        }
    if kind == "ai":
        text = {"type": "output_text", "text": data["content"], "annotations": []}
        return {"type": "message", "id": data["id"], "role": "assistant", "status": "completed", "content": [text]}
    return {"role": {"human": "user"}.get(kind, kind), "id": data["id"], "content": data["content"]}
