"""`chatmem.fastapi.router` over HTTP, in this process: what each route does, for whom, and each of its errors."""

from __future__ import annotations

import importlib
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Any
from urllib.parse import quote

import anyio
import httpx
import pytest
from fastapi import FastAPI, Header, HTTPException, Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

import chatmem
from chatmem.fastapi import router
from tests.chat_client import ChatClient
from tests.conftest import client_of
from tests.servers import free_port

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


@pytest.fixture
async def site(url: str, prefix: str) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        memory = await stack.enter_async_context(chatmem.connect(url, prefix=prefix, ttl=600))
        yield Site(memory, stack)


@pytest.fixture
async def alice(site: Site) -> ChatClient:
    return await site.client()


class TestChats:
    async def test_a_chat_begins_with_a_question(self, alice: ChatClient) -> None:
        """Its first words are its title, and the answer is stored behind the question."""
        begun = await alice.new("Where  is\nLima?")
        assert begun["seq"] == 0
        assert await alice.end(begun) == ("complete", " 1 messages, the last: Where  is\nLima?")
        page = await alice.page(begun["session_id"])
        assert [(one["seq"], one["message"]["type"]) for one in page["entries"]] == [(1, "ai"), (0, "human")]
        assert page["entries"][0]["id"] == begun["answer"]
        (chat,) = (await alice.json("GET", "/chats"))["sessions"]
        assert (chat["session_id"], chat["title"], chat["user"]) == (begun["session_id"], "Where is Lima?", "alice")

    async def test_titles(self, site: Site) -> None:
        """The client's, or what the application makes of the question."""
        client = await site.client(title=str.upper)
        await client.started("lima")
        await client.started("lima", title=" My trip ")
        assert await client.titles() == ["My trip", "LIMA"]

    async def test_sent_again(self, alice: ChatClient) -> None:
        """With the same id a chat begins once, and a question is stored and answered once, also at once."""
        name = str(uuid.uuid4())
        begun: list[Any] = []

        async def begin() -> None:
            begun.append(await alice.new("Hi", id=name))

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(begin)
        assert begun == [begun[0]] * 4
        await alice.end(begun[0])
        assert await alice.new("Hi", id=name) == begun[0]
        chat, name = begun[0]["session_id"], str(uuid.uuid4())
        sent = await alice.send(chat, "And?", id=name)
        assert await alice.send(chat, "And?", id=name) == sent
        await alice.end(sent)
        assert await alice.send(chat, "And?", id=name) == sent
        assert len(await alice.texts(chat)) == 4

    async def test_the_same_id_of_another_user(self, site: Site, alice: ChatClient) -> None:
        """It is another chat."""
        name = str(uuid.uuid4())
        bob = await site.client(user="bob")
        assert (await alice.new(id=name))["session_id"] != (await bob.new(id=name))["session_id"]

    async def test_change(self, alice: ChatClient) -> None:
        """What is left out stays; metadata is merged."""
        chat = await alice.started()
        path = f"/chats/{chat}"
        await alice.json("PATCH", path, json={"title": "New", "tags": ["a", "b"], "metadata": {"x": 1, "y": 2}})
        changed = await alice.json("PATCH", path, json={"pinned": True, "metadata": {"x": None, "z": [3]}})
        assert (changed["title"], changed["pinned"], changed["tags"]) == ("New", True, ["a", "b"])
        assert changed["metadata"] == {"y": 2, "z": [3]}
        assert await alice.json("GET", path) | {"ttl": 0} == changed | {"ttl": 0}
        late = await alice.http.patch(path, json={"title": "Late", "expected_revision": 1})
        assert (late.status_code, late.json()["error"]) == (409, "ConflictError")

    async def test_lists(self, alice: ChatClient) -> None:
        """Page by page, by marks, tags and titles."""
        chats = [await alice.started(f"Chat {number}") for number in range(5)]
        first = await alice.json("GET", "/chats", params={"limit": 3})
        rest = await alice.json("GET", "/chats", params={"limit": 3, "before": first["next"]})
        assert [one["session_id"] for one in first["sessions"] + rest["sessions"]] == chats[::-1]
        await alice.json("PATCH", f"/chats/{chats[0]}", json={"archived": True})
        await alice.json("PATCH", f"/chats/{chats[1]}", json={"pinned": True, "tags": ["work"]})
        assert await alice.titles(archived=True) == ["Chat 0"]
        assert await alice.titles(pinned=True) == await alice.titles(tag="work") == ["Chat 1"]
        assert await alice.titles(title="AT 3") == ["Chat 3"]
        assert await alice.titles(order="oldest") == ["Chat 1", "Chat 2", "Chat 3", "Chat 4"]

    async def test_delete(self, alice: ChatClient) -> None:
        chat = await alice.started()
        assert (await alice.http.delete(f"/chats/{chat}")).status_code == 204
        assert (await alice.http.delete(f"/chats/{chat}")).json() == NO_CHAT
        assert await alice.titles() == []

    async def test_search(self, alice: ChatClient) -> None:
        """In all chats, and in one."""
        lima, _ = await alice.started("Fog in Lima"), await alice.started("Sun in Cusco")
        found = await alice.json("GET", "/search", params={"q": "lima"})
        assert {one["session_id"] for one in found} == {lima}
        assert found[0]["entry"]["message"]["content"][slice(*found[0]["spans"][0])] == "Lima"
        assert len(await alice.json("GET", f"/chats/{lima}/search", params={"q": "lima", "limit": 1})) == 1
        assert await alice.json("GET", f"/chats/{lima}/search", params={"q": "cusco"}) == []


class TestMessages:
    async def test_pages(self, alice: ChatClient) -> None:
        """Up from the newest, and down from a position."""
        chat = await alice.started("0")
        for number in range(1, 5):
            await alice.ask(chat, str(number))
        page = await alice.page(chat, limit=3)
        seen = [entry["seq"] for entry in page["entries"]]
        while page["next"] is not None:
            page = await alice.page(chat, limit=3, before=page["next"])
            seen += [entry["seq"] for entry in page["entries"]]
        assert seen == list(range(9, -1, -1))
        down = await alice.page(chat, after=6, limit=2)
        assert ([entry["seq"] for entry in down["entries"]], down["next"]) == ([7, 8], 8)
        assert (await alice.page(chat, after=9))["entries"] == []

    async def test_edit(self, alice: ChatClient) -> None:
        """The old question and its answer stay on their branch, and the model is sent the new one alone."""
        chat = await alice.started("Fog?")
        await alice.ask(chat, "Sun?")
        assert await alice.ask(chat, "Rain?", after=1) == " 3 messages, the last: Rain?"
        assert (await alice.texts(chat))[2:] == ["Rain?", " 3 messages, the last: Rain?"]
        assert await alice.ask(chat, "Snow?", after=-1) == " 1 messages, the last: Snow?"
        siblings = (await alice.page(chat))["entries"][-1]["siblings"]
        assert siblings["index"] == 1
        shown = await alice.json("PUT", f"/chats/{chat}/branch", json={"branch": siblings["branches"][0]})
        assert (await alice.texts(chat))[2] == "Rain?"
        branches = await alice.json("GET", f"/chats/{chat}/branches")
        assert [one["id"] for one in branches if one["active"]] == [shown["branch"]]

    async def test_regenerate(self, site: Site) -> None:
        """Another answer to the same question; both are kept."""
        said = iter(["one", "two"])

        async def model(window: list[BaseMessage]) -> AsyncIterator[str]:
            assert [message.text for message in window] == ["Hi"]
            yield next(said)

        client = await site.client(model)
        chat = await client.started()
        begun = await client.json("POST", f"/chats/{chat}/regenerate", json={"after": 0})
        assert (begun["session_id"], begun["seq"]) == (chat, 0)
        assert await client.end(begun) == ("complete", "two")
        newest = (await client.page(chat))["entries"][0]
        assert newest["siblings"] == {"index": 1, "branches": [0, 1]}
        for position in (1, 99):  # an answer, and nothing
            refused = await client.http.post(f"/chats/{chat}/regenerate", json={"after": position})
            assert (refused.status_code, refused.json()) == (404, NO_CHAT)

    async def test_an_edit_that_fails(self, alice: ChatClient) -> None:
        """A branch behind nothing: the chat shows what it showed."""
        chat = await alice.started()
        before = await alice.texts(chat)
        sent = await alice.http.post(f"/chats/{chat}/messages", json={"text": "x", "after": 99})
        assert (sent.status_code, sent.json()) == (404, NO_CHAT)
        assert await alice.texts(chat) == before

    async def test_annotations(self, alice: ChatClient) -> None:
        """Merged by key; null removes one."""
        chat = await alice.started()
        path = f"/chats/{chat}/messages/1/annotations"
        assert await alice.json("PUT", path, json={"rating": "up", "note": {"a": [1]}}) == {
            "rating": "up",
            "note": {"a": [1]},
        }
        assert await alice.json("PUT", path, json={"rating": None}) == {"note": {"a": [1]}}
        assert (await alice.page(chat))["entries"][0]["annotations"] == {"note": {"a": [1]}}
        assert (await alice.http.put(path.replace("/1/", "/9/"), json={"rating": "up"})).json() == NO_CHAT

    async def test_one_answer_at_a_time(self, site: Site) -> None:
        """While one is written, the next question, an edit and a branch are 409s that name it. Then it is stopped."""
        client = await site.client(endless)
        begun = await client.new()
        chat = begun["session_id"]
        running = (await client.json("GET", f"/chats/{chat}"))["answers"]
        assert [(one["id"], one["stopping"]) for one in running] == [(begun["answer"], False)]
        assert (await client.json("GET", "/chats"))["sessions"][0]["answers"] == running
        for path, body in (
            ("messages", {"text": "x"}),
            ("messages", {"text": "x", "after": -1}),
            ("regenerate", {"after": 0}),
        ):
            refused = await client.http.post(f"/chats/{chat}/{path}", json=body)
            assert refused.status_code == 409
            assert (refused.json()["error"], refused.json()["answer"]) == ("ConflictError", begun["answer"])
        stop = f"/chats/{chat}/answers/{begun['answer']}/stop"
        assert await client.json("POST", stop) == {"stopped": True}
        status, text = await client.end(begun)
        assert (status, text.replace("word ", "")) == ("stopped", "")
        assert await client.json("POST", stop) == {"stopped": False}
        assert await client.texts(chat) == ["Hi", text]
        (newest, _) = (await client.page(chat))["entries"]
        assert newest["message"]["response_metadata"]["answer"] == "stopped"
        assert (await client.json("GET", f"/chats/{chat}"))["answers"] == []

    async def test_a_chat_deleted_meanwhile(self, site: Site) -> None:
        """The answer ends, and nothing comes back."""
        client = await site.client(endless)
        begun = await client.new()
        assert (await client.http.delete(f"/chats/{begun['session_id']}")).status_code == 204
        await anyio.sleep(0.3)
        assert await client.titles() == []
        assert (await client.http.get(f"/chats/{begun['session_id']}")).json() == NO_CHAT


class TestFollowing:
    async def test_from_any_point(self, alice: ChatClient) -> None:
        """From the beginning while it is written; from a cursor; at once when it is over; and no more after the end."""
        begun = await alice.new("one two three")
        events = await alice.chunks(begun)
        assert events[-1][0] == "end"
        assert [data["status"] for _, data in events] == [None] * (len(events) - 1) + ["complete"]
        assert all(name == data["cursor"] for name, data in events[:-1])
        again = await alice.chunks(begun)
        assert again[-1][1]["messages"] == events[-1][1]["messages"]
        resumed = await alice.chunks(begun, after=events[-1][1]["cursor"])
        assert resumed[-1][1] == events[-1][1]
        path = f"/chats/{begun['session_id']}/answers/{begun['answer']}"
        over = await alice.http.get(path, headers={"last-event-id": "end"})
        assert (over.status_code, over.content) == (204, b"")

    async def test_what_is_no_answer(self, alice: ChatClient) -> None:
        chat = await alice.started()
        assert (await alice.http.get(f"/chats/{chat}/answers/nothing")).json() == NO_CHAT
        assert (await alice.http.post(f"/chats/{chat}/answers/nothing/stop")).json() == {"stopped": False}

    async def test_a_cursor_that_is_none(self, alice: ChatClient) -> None:
        begun = await alice.new()
        await alice.end(begun)
        path = f"/chats/{begun['session_id']}/answers/{begun['answer']}"
        refused = await alice.http.get(path, params={"after": "junk!"})
        assert (refused.status_code, refused.json()["error"]) == (422, "RequestValidationError")

    async def test_a_model_that_fails(self, site: Site) -> None:
        """What it said is kept, and marked; the next question is answered."""

        async def model(window: list[BaseMessage]) -> AsyncIterator[str]:
            yield "Well, "
            if len(window) == 1:
                raise RuntimeError("the provider is down")
            yield "now."

        client = await site.client(model)
        begun = await client.new()
        assert await client.end(begun) == ("failed", "Well, ")
        assert await client.ask(begun["session_id"], "And?") == "Well, now."


class TestModels:
    """What may answer, and what it is sent."""

    async def test_a_chat_model(self, site: Site) -> None:
        from chatmem.cli.offline import OfflineModel

        client = await site.client(OfflineModel())
        chat = await client.started("I am Alice.")
        assert await client.ask(chat, "What is my name?") == "Your name is Alice."

    async def test_a_runnable(self, site: Site) -> None:
        """With its user and session in the configuration."""
        from langchain_core.runnables import RunnableConfig, RunnableGenerator

        async def answer(windows: AsyncIterator[Any], config: RunnableConfig) -> AsyncIterator[str]:
            async for window in windows:
                yield f"{config['configurable']['user']}, {config['configurable']['session_id']}: {window[-1].text}"

        client = await site.client(RunnableGenerator(answer))  # type: ignore[arg-type]
        begun = await client.new()
        assert await client.end(begun) == ("complete", f"alice, {begun['session_id']}: Hi")

    async def test_an_agent(self, site: Site) -> None:
        """Its calls, their results and its answer are stored, each once, as one answer."""
        agents = pytest.importorskip("langchain.agents")
        scripted = importlib.import_module("tests.scripted")
        said = [scripted.asking("Lima"), AIMessage("Fine in Lima."), AIMessage("You are welcome.")]
        agent = agents.create_agent(scripted.Scripted(script=said), [scripted.weather])
        client = await site.client(agent)
        begun = await client.new("Weather?")
        assert (await client.chunks(begun))[-1][1]["status"] == "complete"
        stored = await site.memory.history(begun["session_id"], user="alice").messages()
        assert [type(one) for one in stored] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
        assert [one["name"] for one in stored[1].model_dump()["tool_calls"]] == ["weather"]
        assert (stored[2].text, stored[3].text) == ("fine in Lima", "Fine in Lima.")
        assert [one.id for one in stored[1:]] == [begun["answer"], f"{begun['answer']}.1", f"{begun['answer']}.2"]
        assert await client.ask(begun["session_id"], "Thanks") == "You are welcome."
        assert len(await client.texts(begun["session_id"])) == 6

    async def test_what_it_is_sent(self, site: Site) -> None:
        """The system message, in place of a stored one, and as much of the end as the limit allows."""
        windows: list[list[BaseMessage]] = []

        async def model(window: list[BaseMessage]) -> AsyncIterator[str]:
            windows.append(window)
            yield "ok"

        client = await site.client(model, system="Be kind.", tokens=100)
        chat = str(uuid.uuid4())
        await site.memory.history(chat, user="alice").append(SystemMessage("Be rude."), "Hi", AIMessage("x" * 1000))
        await client.ask(chat, "Last")
        assert windows == [[SystemMessage("Be kind."), windows[0][1]]]
        assert windows[0][1].text == "Last"

    def test_what_cannot_answer(self, site: Site) -> None:
        for model in (None, "openai:gpt-4o"):
            with pytest.raises(ValueError, match=r"^model must be"):
                router(site.memory, user=user_of, model=model)  # type: ignore[arg-type]
        checkpointed = type("Agent", (), {"checkpointer": True, "__call__": lambda self, window: None})()
        with pytest.raises(ValueError, match="without a checkpointer"):
            router(site.memory, user=user_of, model=checkpointed)
        with pytest.raises(ValueError, match=r"^user must be"):
            router(site.memory, user="alice", model=echo)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"^memory must be"):
            router("redis://localhost", user=user_of, model=echo)  # type: ignore[arg-type]


EVERY = [
    ("GET", "", None),
    ("PATCH", "", {"title": "x"}),
    ("DELETE", "", None),
    ("GET", "/messages", None),
    ("POST", "/messages", {"text": "x"}),
    ("POST", "/messages", {"text": "x", "after": -1, "id": str(uuid.uuid4())}),
    ("POST", "/regenerate", {"after": 0}),
    ("GET", "/branches", None),
    ("PUT", "/branch", {"branch": 0}),
    ("PUT", "/messages/0/annotations", {"rating": "up"}),
    ("GET", "/search?q=secret", None),
    ("GET", "/changes", None),
    ("GET", "/answers/{answer}", None),
    ("POST", "/answers/{answer}/stop", None),
]
"""All that can be done with a chat."""


class TestOthers:
    @pytest.mark.parametrize(("method", "end", "body"), EVERY)
    async def test_anothers_chat(self, site: Site, method: str, end: str, body: Any) -> None:
        """It is a 404 with the same words as one that never was, and nothing has changed."""
        alice = await site.client(endless)
        begun = await alice.new("Secret plans")
        chat, path = begun["session_id"], end.format(**begun)
        seen = await alice.json("GET", f"/chats/{chat}"), await alice.page(chat)
        bob = await site.client(user="bob")
        for session in (chat, str(uuid.uuid4())):
            answer = await bob.http.request(method, f"/chats/{session}{path}", json=body)
            assert (answer.status_code, answer.json()) == (404, NO_CHAT)
        now = await alice.json("GET", f"/chats/{chat}"), await alice.page(chat)
        assert now[0] | {"ttl": 0} == seen[0] | {"ttl": 0}
        assert now[1] == seen[1]
        assert await bob.titles() == []
        assert await bob.json("GET", "/search", params={"q": "secret"}) == []

    @pytest.mark.parametrize(("method", "end", "body"), EVERY)
    async def test_nobodys_session(self, site: Site, alice: ChatClient, method: str, end: str, body: Any) -> None:
        """A session without a user is nobody's to read, and nobody's to take."""
        session = str(uuid.uuid4())
        await site.memory.history(session).append("Secret plans", AIMessage("x", id="1"))
        path = end.format(answer="1")
        answer = await alice.http.request(method, f"/chats/{session}{path}", json=body)
        assert (answer.status_code, answer.json()) == (404, NO_CHAT)
        info = await site.memory.history(session).info()
        assert (info.count, info.version, info.user, info.title) == (2, 1, None, None)

    async def test_nobody(self, site: Site) -> None:
        """What the application's dependency says."""
        client = await site.client(user=None)
        for path in ("/chats", "/search?q=x", "/chats/x", "/changes"):
            answer = await client.http.get(path)
            assert (answer.status_code, answer.json()) == (401, {"detail": "Who are you?"})
        assert (await client.http.post("/chats", json={"text": "x"})).status_code == 401

    @pytest.mark.parametrize("name", [None, "", 7])
    async def test_a_user_that_is_none(self, site: Site, name: Any) -> None:
        """An application that names nobody by mistake opens no chat: that would be everybody's."""
        app = FastAPI()
        app.include_router(router(site.memory, user=lambda: name, model=echo))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://site") as http:
            with pytest.raises(ValueError, match="user= must return a non-empty string"):
                await http.get("/chats/x")


class TestErrors:
    async def test_when_redis_is_down(self) -> None:
        """503 with Retry-After, whatever is asked; the text names no address."""
        port = free_port()
        async with AsyncExitStack() as stack:
            memory = await stack.enter_async_context(chatmem.connect(f"redis://127.0.0.1:{port}"))
            client = await Site(memory, stack).client()
            for method, path, body in (
                ("GET", "/chats", None),
                ("GET", "/search?q=x", None),
                ("POST", "/chats", {"text": "x"}),
                *((method, f"/chats/x{end.format(answer=1)}", body) for method, end, body in EVERY),
            ):
                answer = await client.http.request(method, path, json=body)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert answer.json()["error"] == "UnavailableError"
                assert str(port) not in answer.text

    @pytest.mark.parametrize(("gone", "status"), [("m", 500), ("s", 200)])
    async def test_a_torn_chat(self, alice: ChatClient, url: str, prefix: str, gone: str, status: int) -> None:
        """500 with a text if it cannot be repaired. It can be deleted, and then nothing is left."""
        chat = await alice.started()
        with client_of(url) as raw:
            assert raw.delete(f"{prefix}:{{{chat}}}:{gone}") == 1
            for end in ("", "/messages"):
                answer = await alice.http.get(f"/chats/{chat}{end}")
                assert answer.status_code == status
                assert answer.json().get("error") == ("TornSessionError" if status == 500 else None)
            assert (await alice.http.delete(f"/chats/{chat}")).status_code == 204
            assert raw.keys(f"{prefix}:*{chat}*") == []

    async def test_what_cannot_be_read(self, alice: ChatClient, url: str, prefix: str) -> None:
        """A record that is damaged costs that record alone."""
        chat = await alice.started()
        with client_of(url) as raw:
            element: Any = raw.lindex(f"{prefix}:{{{chat}}}:m", 0)
            raw.lset(f"{prefix}:{{{chat}}}:m", 0, element[:-3])
        entries = (await alice.page(chat))["entries"]
        assert [one["error"] and one["error"]["type"] for one in entries] == [None, "CorruptRecordError"]

    async def test_what_is_too_large(self, url: str, prefix: str) -> None:
        """A text, a message for the memory's own limit, a body; nothing is stored."""
        async with AsyncExitStack() as stack:
            memory = await stack.enter_async_context(
                chatmem.connect(url, prefix=prefix, ttl=600, max_message_bytes=1000)
            )
            client = await Site(memory, stack).client()
            for text, status in (("x" * 100_001, 422), ("x" * 2000, 413), ("x" * 4_000_000, 413)):
                answer = await client.http.post("/chats", json={"text": text})
                assert answer.status_code == status
                assert set(answer.json()) == {"detail", "error", "answer"}
            assert await client.titles() == []

    @pytest.mark.parametrize(
        "body",
        [
            *("", "{", "[]", "null", '{"text": ""}', '{"text": " \\n "}', '{"text": NaN}', '{"text": "\\ud800"}'),
            *('{"text": "x", "more": 1}', '{"text": "x", "id": "1"}', '{"text": "x", "title": ""}'),
        ],
    )
    async def test_malformed_bodies(self, alice: ChatClient, body: str) -> None:
        """422, in words."""
        answer = await alice.http.post("/chats", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]) == (422, "RequestValidationError")
        assert "body" in answer.json()["detail"]
        assert await alice.titles() == []

    @pytest.mark.parametrize(
        "path",
        [
            *("/chats?before=junk", "/chats?limit=0", "/chats?limit=101", "/chats?order=x", "/search?q=", "/search"),
            *("/search?q=%21", "/chats/{}/messages?before=-1", "/chats/{}/messages?before=1&after=1"),
            *("/chats/{}/changes?after=-1", "/changes?after=junk"),
        ],
    )
    async def test_malformed_queries(self, alice: ChatClient, path: str) -> None:
        answer = await alice.http.get(path.format(await alice.started()))
        assert (answer.status_code, answer.json()["error"]) == (422, "RequestValidationError")

    async def test_an_application_with_handlers_of_its_own(self, site: Site) -> None:
        """They are not asked: what the router answers is what its OpenAPI says."""
        app = FastAPI()

        @app.exception_handler(chatmem.ChatMemError)
        @app.exception_handler(422)
        def handle(request: Request, error: Exception) -> None:
            raise AssertionError

        app.include_router(router(site.memory, user=user_of, model=echo), prefix="/api")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://site/api") as http:
            headers = {"x-user": "alice"}
            assert (await http.get("/chats/x", headers=headers)).json() == NO_CHAT
            assert (await http.get("/chats?limit=0", headers=headers)).status_code == 422


def schema_of_site() -> Any:
    """Return the OpenAPI of an application with the router."""
    app = FastAPI()
    app.include_router(router(chatmem.connect("redis://localhost"), user=user_of, model=echo))
    return app.openapi()


OPENAPI = schema_of_site()
OPERATIONS = [(path, method) for path, item in OPENAPI["paths"].items() for method in item]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def problems_of(path: str, method: str) -> dict[str, Any]:
    responses: dict[str, Any] = OPENAPI["paths"][path][method]["responses"]
    return {status: one for status, one in responses.items() if int(status) >= 400}


class TestOpenAPI:
    @pytest.mark.parametrize(("path", "method"), OPERATIONS)
    def test_errors(self, path: str, method: str) -> None:
        """Each route names all that it may answer, and in which shape."""
        problems = problems_of(path, method)
        assert set(problems) == {"404", "409", "413", "422", "500", "503"}
        shapes = [one["content"]["application/json"]["schema"] for one in problems.values()]
        assert shapes == [{"$ref": "#/components/schemas/ChatProblem"}] * 6

    def test_results(self) -> None:
        """chatmem's own types."""
        found = {}
        for path, method in OPERATIONS:
            for status, one in OPENAPI["paths"][path][method]["responses"].items():
                if int(status) < 400:
                    (content,) = (one.get("content") or {"": {}}).items()
                    kind = content[1].get("schema", {})
                    found[method, path] = kind.get("$ref", kind.get("items", {}).get("$ref", "")).rpartition("/")[2]
        assert {kind for kind in found.values() if kind} >= {
            *("Begun", "Branch", "Change", "Chunk", "Match", "Page", "SessionChange", "SessionInfo", "SessionPage"),
            *("Stopped", "Switched"),
        }
        assert found["get", "/chats/{session_id}/messages"] == "Page"
        assert found["get", "/chats/{session_id}/answers/{answer}"] == "Chunk"

    @settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(data=st.data())
    async def test_whatever_is_sent(self, fuzzed: Fuzzed, data: st.DataObject) -> None:
        """Each answer has a status that the schema names, and its shape."""
        path, method = data.draw(st.sampled_from([one for one in OPERATIONS if not one[0].endswith("changes")]))
        operation = OPENAPI["paths"][path][method]
        known = {"session_id": fuzzed.chat, "answer": fuzzed.answer, "seq": "1"}
        queries: dict[str, str] = {}
        for one in operation.get("parameters", []):
            junk = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8) | st.integers().map(str)
            value = data.draw(junk | st.just(known.get(one["name"], "1")))
            if one["in"] == "path":
                path = path.replace(f"{{{one['name']}}}", quote(value, safe=""))
            elif one["in"] == "query" and (one["required"] or data.draw(st.booleans())):
                queries[one["name"]] = value
        body = None
        if "requestBody" in operation:
            body = data.draw(bodies_of(operation["requestBody"]["content"]["application/json"]["schema"]) | JSON)
        answer = await fuzzed.client.http.request(
            method,
            path,
            params=queries,
            content=None if body is None else json.dumps(body),
            headers={"content-type": "application/json"},
        )
        if answer.status_code in (307, 404, 405) and "error" not in answer.text:  # another path, such as an empty one
            return
        assert str(answer.status_code) in operation["responses"] or answer.status_code == 204, answer.text
        content = operation["responses"].get(str(answer.status_code), {}).get("content", {})
        if "application/json" in content:
            shape = content["application/json"]["schema"]
            found = json.loads(answer.content, parse_constant=pytest.fail)
            Draft202012Validator({**shape, "components": OPENAPI["components"]}).validate(found)


class Fuzzed:
    """A chat of a user, for requests that make little sense."""

    def __init__(self, client: ChatClient, begun: Any) -> None:
        self.client = client
        self.chat, self.answer = begun["session_id"], begun["answer"]


@pytest.fixture
async def fuzzed(alice: ChatClient) -> Fuzzed:
    begun = await alice.new()
    await alice.end(begun)
    return Fuzzed(alice, begun)


def bodies_of(schema: Any) -> st.SearchStrategy[Any]:
    """Return objects with the properties of a schema, some of them with values that fit."""
    while "$ref" in schema:
        schema = OPENAPI["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    fitting = st.sampled_from(["Hi", str(uuid.uuid4()), 0, 1, -1, True, None, ["a"], {"a": 1}, {"a": None}])
    return st.fixed_dictionaries({}, optional=dict.fromkeys(schema.get("properties", ["rating"]), fitting | JSON))
