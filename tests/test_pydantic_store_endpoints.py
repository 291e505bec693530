"""pydantic-ai's own endpoints on the conversation store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("pydantic_ai.conversation_store", reason="pydantic-ai is older than 2.66")

from pydantic_ai.conversation_store import ConversationStore
from pydantic_ai.ui.vercel_ai import VercelAIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

import chatmem
import chatmem.sync
from chatmem.pydantic_ai import ChatmemConversationStore
from tests.pydantic_agent import AGENT


@contextmanager
def serving(adapter: Any, store: ConversationStore) -> Iterator[TestClient]:
    async def chat(request: Request) -> Response:
        user = request.headers.get("x-user")
        answer: Response = await adapter.dispatch_request(
            request, agent=AGENT, conversation_store=store, conversation_scope=user
        )
        return answer

    with TestClient(Starlette(routes=[Route("/chat", chat, methods=["POST"])])) as client:
        yield client


class TestEndpoints:
    """pydantic-ai's own endpoints: turns, regenerations, other users."""

    @pytest.fixture
    def reading(self, url: str, prefix: str) -> Iterator[chatmem.sync.ChatMemory]:
        with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory:
            yield memory

    def test_vercel_ai(self, url: str, prefix: str, reading: chatmem.sync.ChatMemory) -> None:
        def ask(text: str, message_id: str, user: str = "alice", **fields: Any) -> str:
            asked = {"id": message_id, "role": "user", "parts": [{"type": "text", "text": text}]}
            body = {"trigger": "submit-message", "id": "c", "messages": [asked], **fields}
            return client.post("/chat", json=body, headers={"x-user": user}).text

        memory = chatmem.connect(url, prefix=prefix, ttl=60)
        with serving(VercelAIAdapter, ChatmemConversationStore(memory)) as client:
            first = ask("Hi", "m1")
            assert "data-conversation-saved" in first
            assert '"c/' in first
            assert "Hi, And" in streamed(ask("And", "m2"), "delta")
            again = ask("And", "m2", trigger="regenerate-message", messageId="m2")
            assert "Hi, And" in streamed(again, "delta")
            assert "not found" in ask("Mine", "m3", user="bob")
        history = reading.history("c", user="alice")
        assert [one.text for one in history.messages() if one.type == "human"] == ["Hi", "And"]
        assert len(history.branches()) == 2

    def test_ag_ui(self, url: str, prefix: str, reading: chatmem.sync.ChatMemory) -> None:
        pytest.importorskip("ag_ui", reason="ag-ui-protocol is not installed")
        from pydantic_ai.ui.ag_ui import AGUIAdapter

        def ask(text: str, message_id: str, user: str = "alice") -> str:
            messages = [{"id": message_id, "role": "user", "content": text}]
            body = {"threadId": "c", "runId": message_id, "state": {}, "tools": [], "context": [], "forwardedProps": {}}
            return client.post("/chat", json={**body, "messages": messages}, headers={"x-user": user}).text

        memory = chatmem.connect(url, prefix=prefix, ttl=60)
        with serving(AGUIAdapter, ChatmemConversationStore(memory)) as client:
            assert "pydantic_ai_conversation_saved" in ask("Hi", "m1")
            assert "Hi, And" in streamed(ask("And", "m2"), "delta")
            assert "not found" in ask("Mine", "m3", user="bob")
        messages = reading.history("c", user="alice").messages()
        assert [one.text for one in messages if one.type == "human"] == ["Hi", "And"]


def streamed(text: str, field: str) -> str:
    """Return the text that the events of an answer hold."""
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    return "".join(str(event.get(field, "")) for event in events)
