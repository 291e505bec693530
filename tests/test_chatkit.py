"""OpenAI's own ChatKit server with an offline agent: threads, items and attachments come back exactly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

pytest.importorskip("chatkit", reason="openai-chatkit is not installed: pip install 'chatmem-redis[chatkit]'")

from agents import Agent, Runner, function_tool, set_tracing_disabled
from agents.testing import ScriptedModel, assistant_message, function_call
from chatkit.agents import AgentContext, simple_to_agent_input, stream_agent_response
from chatkit.server import ChatKitServer, StreamingResult
from chatkit.store import NotFoundError
from chatkit.types import Attachment, FileAttachment, ThreadItem, ThreadMetadata, UserMessageItem
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.testclient import TestClient
from langchain_core import messages as lc
from pydantic import TypeAdapter

import chatmem
from chatmem.chatkit import ChatmemStore
from tests.faults import Schedule, failing

set_tracing_disabled(True)

NOW = "2026-11-27T09:00:00.123456"
BASE: dict[str, Any] = {"thread_id": "t", "created_at": NOW}
ITEMS: list[dict[str, Any]] = [
    {
        "type": "user_message",
        "content": [
            {"type": "input_text", "text": "Hi "},
            {"type": "input_tag", "id": "a", "text": "Alice", "data": {"n": None}, "interactive": True},
        ],
        "attachments": [
            {"type": "image", "id": "i", "name": "x.png", "mime_type": "image/png", "preview_url": "http://x/y"}
        ],
        "quoted_text": "said before",
        "inference_options": {"tool_choice": {"id": "search"}, "model": "m"},
    },
    {"type": "user_message", "content": [], "inference_options": {}},
    {"type": "user_message", "content": [{"type": "input_text", "text": ""}], "inference_options": {}},
    {
        "type": "assistant_message",
        "content": [
            {
                "text": "See the file.",
                "annotations": [{"source": {"type": "file", "title": "F", "filename": "f.txt"}, "index": 3}],
            }
        ],
    },
    {"type": "assistant_message", "content": [{"text": "one"}, {"text": "two"}]},
    {"type": "assistant_message", "content": []},
    {"type": "client_tool_call", "call_id": "c", "name": "open", "arguments": {"x": None}},
    {"type": "client_tool_call", "call_id": "c", "name": "open", "arguments": {}, "status": "completed", "output": [1]},
    {"type": "widget", "widget": {"type": "Card", "children": [{"type": "Text", "value": "Hi"}]}, "copy_text": "Hi"},
    {"type": "widget", "widget": {"type": "Card", "children": []}},
    {"type": "generated_image", "image": {"id": "g", "url": "http://x/g.png"}},
    {
        "type": "structured_input",
        "status": "answered",
        "inputs": [{"type": "freeform", "id": "q", "question": "Who?", "answer": {"values": ["me"]}}],
    },
    {"type": "task", "task": {"type": "thought", "content": "hm"}},
    {
        "type": "workflow",
        "workflow": {"type": "reasoning", "tasks": [{"type": "thought", "content": "hm"}], "summary": {"duration": 3}},
    },
    {"type": "end_of_turn"},
    {"type": "hidden_context_item", "content": "The page is /cart."},
    {"type": "hidden_context_item", "content": None},
    {
        "type": "hidden_context_item",
        "content": {"at": datetime(2026, 1, 1, tzinfo=UTC), "raw": b"\xff", "n": float("inf")},
    },
    {"type": "sdk_hidden_context", "content": "The user cancelled."},
]
ATTACHMENTS: TypeAdapter[Attachment] = TypeAdapter(Attachment)
THREAD_ITEMS: TypeAdapter[ThreadItem] = TypeAdapter(ThreadItem)


def item(values: dict[str, Any], name: str = "i") -> ThreadItem:
    return THREAD_ITEMS.validate_python({"id": name, **BASE, **values})


def asked(text: str, name: str) -> ThreadItem:
    return item(
        {"type": "user_message", "content": [{"type": "input_text", "text": text}], "inference_options": {}}, name
    )


def said(text: str, name: str) -> ThreadItem:
    return item({"type": "assistant_message", "content": [{"text": text}]}, name)


def thread(name: str = "t", **values: Any) -> ThreadMetadata:
    return ThreadMetadata(id=name, **{"created_at": datetime.fromisoformat(NOW), **values})


def store_of(memory: chatmem.ChatMemory) -> ChatmemStore[str]:
    """Return a store whose contexts are the users themselves."""
    return ChatmemStore(memory, lambda user: user)


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


@pytest.fixture
def store(memory: chatmem.ChatMemory) -> ChatmemStore[str]:
    return store_of(memory)


async def ids(store: ChatmemStore[str], order: str = "asc", *, size: int = 1000, user: str = "alice") -> list[str]:
    """Return the ids of all items of the thread, read in pages."""
    found, after = list[str](), None
    while True:
        page = await store.load_thread_items("t", after, size, order, user)
        assert len(page.data) <= size
        found += [one.id for one in page.data]
        if not page.has_more:
            assert page.after is None
            return found
        after = page.after


class TestItems:
    async def test_every_type_comes_back(self, store: ChatmemStore[str]) -> None:
        """Each item equals what was stored, alone and in a page, before and after it is stored again."""
        items = [item(values, f"i{number}") for number, values in enumerate(ITEMS)]
        for one in items:
            await store.add_thread_item("t", one, "alice")
        assert (await store.load_thread_items("t", None, 50, "asc", "alice")).data == items
        for one in items:
            await store.save_item("t", one, "alice")
            assert await store.load_item("t", one.id, "alice") == one
        assert (await store.load_thread_items("t", None, 50, "desc", "alice")).data == items[::-1]

    async def test_what_others_read(self, memory: chatmem.ChatMemory, store: ChatmemStore[str]) -> None:
        """Messages have the texts of the items, and only those are sent to a model."""
        for number, values in enumerate(ITEMS):
            await store.add_thread_item("t", item(values, f"i{number}"), "alice")
        history = memory.history("t", user="alice")
        read = [(one.type, one.text) for one in await history.messages() if one.text]
        assert read == [
            ("human", "Hi Alice"),
            ("ai", "See the file."),
            ("ai", "onetwo"),
            ("ai", "Hi"),
            ("system", "The page is /cart."),
            ("system", "The user cancelled."),
        ]
        (match,) = await history.search("file")
        assert match.entry.id == "i3"

    async def test_a_message_that_is_redacted(self, memory: chatmem.ChatMemory, store: ChatmemStore[str]) -> None:
        """The item has the new text, whatever form the message has now."""
        history = memory.history("t", user="alice")
        for number, values in enumerate(ITEMS):
            await store.add_thread_item("t", item(values, f"i{number}"), "alice")
        for message in await history.messages():
            if message.text:
                await history.replace(str(message.id), message.model_copy(update={"content": "[redacted]"}))
        page = await store.load_thread_items("t", None, 50, "asc", "alice")
        texts = str([one.model_dump(exclude={"widget", "attachments"}) for one in page.data])
        for text in ("Alice", "See the file", "'one'", "'two'", "/cart", "cancelled"):
            assert text not in texts
        assert texts.count("[redacted]") == 6

    async def test_a_session_of_langchain(self, memory: chatmem.ChatMemory, store: ChatmemStore[str]) -> None:
        """Text becomes items, with or without an id; anything else is an error that names the class."""
        history = memory.history("t", user="alice")
        await history.append(lc.SystemMessage("be kind"), lc.HumanMessage("hi", id="1"), lc.AIMessage("hello"))
        page = await store.load_thread_items("t", None, 2, "asc", "alice")
        assert [(one.type, one.id) for one in page.data] == [
            ("hidden_context_item", "position_0"),
            ("user_message", "1"),
        ]
        (last,) = (await store.load_thread_items("t", "1", 2, "asc", "alice")).data
        assert await store.load_item("t", last.id, "alice") == last
        assert (last.type, last.thread_id, last.id) == ("assistant_message", "t", "position_2")
        await store.delete_thread_item("t", last.id, "alice")
        assert await ids(store) == ["position_0", "1"]
        loaded = await store.load_thread("t", "alice")
        assert (loaded.title, loaded.metadata, loaded.status.type) == (None, {}, "active")
        await history.append(lc.AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]))
        with pytest.raises(chatmem.UnsupportedError, match="AIMessage"):
            await ids(store)

    async def test_what_cannot_be_stored(self, store: ChatmemStore[str]) -> None:
        """An error, before anything is sent."""
        with pytest.raises(chatmem.EncodingError):
            await store.add_thread_item("t", item({"type": "hidden_context_item", "content": asyncio.Lock()}), "alice")
        assert await ids(store) == []

    async def test_values_of_python(self, store: ChatmemStore[str]) -> None:
        """Hidden context comes back with Python's own types."""
        value = {"path": PurePosixPath("/a"), "tags": {"x"}, "pair": (1, 2)}
        await store.add_thread_item("t", item({"type": "hidden_context_item", "content": value}), "alice")
        loaded: Any = await store.load_item("t", "i", "alice")
        assert loaded.content == value

    async def test_the_same_id_again(self, store: ChatmemStore[str]) -> None:
        """The same item is stored once, another one is refused, and a workflow that goes on replaces itself."""
        for _ in range(2):
            await store.add_thread_item("t", said("ok", "a"), "alice")
        with pytest.raises(chatmem.DuplicateIdError):
            await store.add_thread_item("t", said("no", "a"), "alice")
        for summary in (1, 2):
            workflow = {"type": "custom", "tasks": [], "summary": {"duration": summary}}
            await store.add_thread_item("t", item({"type": "workflow", "workflow": workflow}, "w"), "alice")
        assert await ids(store) == ["a", "w"]
        assert await store.load_item("t", "a", "alice") == said("ok", "a")
        loaded: Any = await store.load_item("t", "w", "alice")
        assert loaded.workflow.summary.duration == 2

    async def test_pages(self, store: ChatmemStore[str]) -> None:
        """Each item once and in order, in both directions; the cursor is the last item's id."""
        names = [f"i{number}" for number in range(7)]
        for name in names:
            await store.add_thread_item("t", said(name, name), "alice")
        for size in (1, 3, 7, 2000):
            assert await ids(store, "asc", size=size) == names
            assert await ids(store, "desc", size=size) == names[::-1]
        page = await store.load_thread_items("t", "i1", 2, "asc", "alice")
        assert ([one.id for one in page.data], page.after, page.has_more) == (["i2", "i3"], "i3", True)
        await store.delete_thread_item("t", "i2", "alice")
        await store.delete_thread_item("t", "i2", "alice")
        assert await ids(store, size=2) == [name for name in names if name != "i2"]
        for call in (store.load_item("t", "i2", "alice"), store.load_thread_items("t", "i2", 2, "asc", "alice")):
            with pytest.raises(NotFoundError, match="Item i2 not found"):
                await call

    async def test_ids_that_look_like_positions(self, memory: chatmem.ChatMemory, store: ChatmemStore[str]) -> None:
        """An item with such an id is found by it, and no such id finds another item that has an id of its own."""
        for name in ("first", "position_0", "position_7"):
            await store.add_thread_item("t", item(ITEMS[0], name), "alice")
        assert (await store.load_item("t", "position_0", "alice")).id == "position_0"
        assert [one.id for one in (await store.load_thread_items("t", "position_0", 9, "asc", "alice")).data] == [
            "position_7"
        ]
        for name in ("position_2", "position_99", f"position_{9**30}", "position_" + "9" * 5000, "position_٣", ""):
            with pytest.raises(NotFoundError):
                await store.load_item("t", name, "alice")
            with pytest.raises(NotFoundError):
                await store.load_thread_items("t", name, 9, "asc", "alice")
            await store.delete_thread_item("t", name, "alice")
        await store.delete_thread_item("t", "position_0", "alice")
        assert await ids(store) == ["first", "position_7"]

    async def test_empty_ids(self, store: ChatmemStore[str]) -> None:
        """A client may send them; there is no such thread and no such attachment."""
        for asked in (store.load_thread("", "alice"), store.delete_thread("", "alice")):
            with pytest.raises(NotFoundError):
                await asked
        with pytest.raises(NotFoundError):
            await store.load_thread_items("", None, 9, "asc", "alice")
        with pytest.raises(NotFoundError):
            await store.load_attachment("", "alice")
        await store.delete_attachment("", "alice")

    async def test_unreadable_items(self, url: str, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
        """Pages leave them out and go on behind them; loading one is an error."""
        ring = chatmem.KeyRing({"k": b"k" * 32})
        async with (
            chatmem.connect(url, prefix=prefix, ttl=60, encryption=ring) as sealing,
            chatmem.connect(url, prefix=prefix, ttl=60) as plain,
        ):
            store = store_of(plain)
            for number in range(6):
                memory = sealing if number in (1, 2, 4, 5) else plain
                await store_of(memory).add_thread_item("t", said(str(number), str(number)), "alice")
            for order, size in (("asc", 1), ("desc", 1), ("asc", 2), ("desc", 9)):
                found = await ids(store, order, size=size)
                assert found == (["0", "3"] if order == "asc" else ["3", "0"])
            with pytest.raises(chatmem.CorruptRecordError):
                await store.load_item("t", "1", "alice")
        assert "left out an unreadable record" in caplog.text


class TestThreads:
    @pytest.mark.parametrize(
        "given",
        [
            thread(),
            thread(title="Trip", metadata={"pinned": True, "n": None, "chatkit": {"own": 1}}),
            thread(title="", status={"type": "locked", "reason": "paid"}, allowed_image_domains=["x.org"]),
            thread(status={"type": "closed"}, allowed_image_domains=[]),
        ],
    )
    async def test_metadata_comes_back(self, store: ChatmemStore[str], given: ThreadMetadata) -> None:
        """Every field, and also if the thread had other metadata before."""
        await store.save_thread(given, "alice")
        assert await store.load_thread("t", "alice") == given
        for other in (thread(title="Other", metadata={"x": 1}), given):
            await store.save_thread(other, "alice")
            assert await store.load_thread("t", "alice") == other

    async def test_in_lists_of_sessions(self, memory: chatmem.ChatMemory, store: ChatmemStore[str]) -> None:
        """Title and metadata are those of the session; a title that is set there is the thread's."""
        await store.save_thread(thread(metadata={"pinned": True}), "alice")
        (info,) = (await memory.sessions("alice")).sessions
        assert info.metadata["pinned"] is True
        await memory.history("t", user="alice").update(title="Trip")
        assert (await store.load_thread("t", "alice")).title == "Trip"

    @pytest.mark.parametrize("order", ["asc", "desc"])
    @pytest.mark.parametrize("size", [1, 2, 3, 50, 5000])
    async def test_lists(self, store: ChatmemStore[str], order: str, size: int) -> None:
        """Each of the user's threads once, in the order of their creation; attachments are no thread."""
        await store.save_attachment(FileAttachment(id="f", name="f", mime_type="text/plain"), "alice")
        for number in (3, 0, 4, 1, 2):
            created = datetime(2026, 1, 1 + number, tzinfo=UTC if number % 2 else None)
            await store.save_thread(thread(f"t{number}", created_at=created), "alice")
        await store.save_thread(thread("of bob"), "bob")
        found, after = list[str](), None
        while True:
            page = await store.load_threads(size, after, order, "alice")
            found += [one.id for one in page.data]
            if not page.has_more:
                break
            after = page.after
            await store.add_thread_item("t0", said("x", f"x{len(found)}"), "alice")  # it stays where it is
        expected = ["t0", "t1", "t2", "t3", "t4"]
        assert found == (expected if order == "asc" else expected[::-1])
        with pytest.raises(NotFoundError, match="Thread of bob not found"):
            await store.load_threads(size, "of bob", order, "alice")

    async def test_a_list_of_more_threads_than_a_call_returns(self, memory: Any, store: ChatmemStore[str]) -> None:
        """All of them are looked at, whatever their order in the index."""
        names = [f"t{number:04}" for number in range(1100)]
        await asyncio.gather(*(memory.history(name, user="alice").append("x") for name in names[::-1]))
        for day, name in enumerate(names[::100], 1):
            await store.save_thread(thread(name, created_at=datetime(2020, 1, day)), "alice")
        first = await store.load_threads(11, None, "asc", "alice")
        assert [one.id for one in first.data] == names[::100]
        rest = await store.load_threads(2000, first.after, "asc", "alice")
        assert (len(rest.data), rest.has_more) == (1089, False)

    @pytest.mark.parametrize("limit", [0, -1, True, "5"])
    async def test_a_wrong_limit(self, store: ChatmemStore[str], limit: Any) -> None:
        """It is refused."""
        with pytest.raises(ValueError, match="limit must be"):
            await store.load_threads(limit, None, "asc", "alice")

    async def test_a_thread_that_is_deleted(self, memory: chatmem.ChatMemory, store: ChatmemStore[str]) -> None:
        """Nothing is left of it."""
        await store.save_thread(thread(title="Trip"), "alice")
        await store.add_thread_item("t", said("x", "x"), "alice")
        await store.delete_thread("t", "alice")
        await store.delete_thread("t", "alice")
        with pytest.raises(NotFoundError, match="Thread t not found"):
            await store.load_thread("t", "alice")
        assert (await store.load_threads(5, None, "desc", "alice")).data == []
        assert await ids(store) == []

    async def test_users(self, memory: chatmem.ChatMemory, store: ChatmemStore[str]) -> None:
        """A thread of another user does not exist; nothing of it can be read or changed."""
        await store.save_thread(thread(), "alice")
        await store.add_thread_item("t", said("x", "x"), "alice")
        assert await ids(store, user="bob") == []
        for call in (
            store.load_thread("t", "bob"),
            store.save_thread(thread(title="mine"), "bob"),
            store.add_thread_item("t", said("y", "y"), "bob"),
            store.save_item("t", said("y", "x"), "bob"),
            store.load_item("t", "x", "bob"),
            store.delete_thread_item("t", "x", "bob"),
            store.delete_thread("t", "bob"),
        ):
            with pytest.raises(NotFoundError, match="not found"):
                await call
        assert await store.load_thread("t", "alice") == thread()
        assert await ids(store) == ["x"]

    async def test_a_user_is_forgotten(self, memory: chatmem.ChatMemory, store: ChatmemStore[str]) -> None:
        """`ChatMemory.forget` erases threads and attachments."""
        await store.save_thread(thread(), "alice")
        await store.save_attachment(FileAttachment(id="f", name="f", mime_type="text/plain"), "alice")
        assert await memory.forget("alice") == 2
        with pytest.raises(NotFoundError):
            await store.load_attachment("f", "alice")


class TestAttachments:
    async def test_metadata(self, store: ChatmemStore[str]) -> None:
        """It comes back, can be replaced and removed, and is the user's only."""
        for values in (
            {"type": "file", "id": "a", "name": "f", "mime_type": "text/plain", "metadata": {"x": None}},
            {
                "type": "image",
                "id": "a",
                "name": "g",
                "mime_type": "image/png",
                "preview_url": "http://x/y",
                "thread_id": "t",
                "upload_descriptor": {"url": "http://x/up", "method": "PUT", "headers": {"k": "v"}},
            },
        ):
            attachment = ATTACHMENTS.validate_python(values)
            await store.save_attachment(attachment, "alice")
            assert await store.load_attachment("a", "alice") == attachment
        with pytest.raises(NotFoundError, match="Attachment a not found"):
            await store.load_attachment("a", "bob")
        await store.delete_attachment("a", "bob")
        await store.delete_attachment("a", "alice")
        with pytest.raises(NotFoundError):
            await store.load_attachment("a", "alice")

    async def test_they_are_no_thread(self, store: ChatmemStore[str]) -> None:
        """No id of a thread leads to them."""
        await store.save_attachment(FileAttachment(id="f", name="f", mime_type="text/plain"), "alice")
        for call in (
            store.load_thread("chatkit:attachments:alice", "alice"),
            store.delete_thread("chatkit:attachments:alice", "alice"),
            store.load_thread_items("chatkit:attachments:alice", None, 5, "asc", "alice"),
        ):
            with pytest.raises(NotFoundError):
                await call
        assert (await store.load_attachment("f", "alice")).name == "f"


class Server(ChatKitServer[str]):
    """OpenAI's server with an agent that has one tool and follows a script."""

    def __init__(self, store: ChatmemStore[str], model: ScriptedModel) -> None:
        super().__init__(store)
        self._agent = Agent("helper", model=model, tools=[function_tool(weather)])

    async def respond(
        self, thread: ThreadMetadata, input_user_message: UserMessageItem | None, context: str
    ) -> AsyncIterator[Any]:
        page = await self.store.load_thread_items(thread.id, None, 50, "asc", context)
        thread.title = thread.title or "Weather"
        run = Runner.run_streamed(self._agent, await simple_to_agent_input(page.data))
        agent_context = AgentContext[str](thread=thread, store=self.store, request_context=context)
        async for event in stream_agent_response(agent_context, run):
            yield event


def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"fine in {city}"


def app_of(server: Server) -> FastAPI:
    app = FastAPI()

    @app.post("/chatkit")
    async def chatkit(request: Request) -> Response:
        result = await server.process(await request.body(), request.headers["x-user"])
        if isinstance(result, StreamingResult):
            return StreamingResponse(result, media_type="text/event-stream")
        return Response(result.json, media_type="application/json")

    return app


def answer(text: str, name: str) -> Any:
    message: Any = assistant_message(text)
    message.id = name
    return message


@pytest.fixture
def script() -> list[Any]:
    return [
        [function_call("weather", {"city": "Lima"}, call_id="c")],
        [answer("Fine in Lima.", "m1")],
        [answer("Bye.", "m2")],
        [answer("Hello, Bob.", "m3")],
    ]


@pytest.fixture
def client(url: str, prefix: str, script: list[Any]) -> Iterator[TestClient]:
    memory = chatmem.connect(url, prefix=prefix, ttl=60)
    with TestClient(app_of(Server(store_of(memory), ScriptedModel(script))), headers={"x-user": "alice"}) as client:
        yield client


def post(client: TestClient, kind: str, user: str = "alice", **params: Any) -> Any:
    """Return what ChatKit's server answers: an object, or a list of events."""
    response = client.post("/chatkit", content=json.dumps({"type": kind, "params": params}), headers={"x-user": user})
    if not response.headers["content-type"].startswith("text/event-stream"):
        return response.json()
    return [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line]


def user_input(text: str) -> dict[str, Any]:
    return {"content": [{"type": "input_text", "text": text}], "attachments": [], "inference_options": {}}


class TestServer:
    def test_threads_of_two_users(self, client: TestClient) -> None:
        """An answer with a tool is streamed and stored; the list, a thread, its title and its removal work."""
        events = post(client, "threads.create", input=user_input("Lima?"))
        name = events[0]["thread"]["id"]
        deltas = [one["update"]["delta"] for one in events if one.get("update", {}).get("delta")]
        assert "".join(deltas) == "Fine in Lima."
        post(client, "threads.add_user_message", thread_id=name, input=user_input("Thanks"))
        other = post(client, "threads.create", user="bob", input=user_input("Hi"))[0]["thread"]["id"]
        loaded = post(client, "threads.get_by_id", thread_id=name)
        texts = [one["content"][0]["text"] for one in loaded["items"]["data"]]
        assert (loaded["title"], texts) == ("Weather", ["Lima?", "Fine in Lima.", "Thanks", "Bye."])
        post(client, "threads.update", thread_id=name, title="Lima")
        listed = post(client, "threads.list", limit=5)
        assert [(one["id"], one["title"]) for one in listed["data"]] == [(name, "Lima")]
        page = post(client, "items.list", thread_id=name, limit=3, order="desc")
        assert [one["type"] for one in page["data"]] == ["assistant_message", "user_message", "assistant_message"]
        rest = post(client, "items.list", thread_id=name, limit=3, order="desc", after=page["after"])
        assert [one["content"][0]["text"] for one in rest["data"]] == ["Lima?"]
        with pytest.raises(NotFoundError):
            post(client, "threads.get_by_id", thread_id=other)
        post(client, "threads.delete", thread_id=name)
        assert post(client, "threads.list")["data"] == []
        assert len(post(client, "threads.list", user="bob")["data"]) == 1

    def test_a_question_is_answered_again(self, client: TestClient) -> None:
        """ChatKit removes what is behind the question, and the new answer takes its place."""
        events = post(client, "threads.create", input=user_input("Lima?"))
        name = events[0]["thread"]["id"]
        question = next(one["item"]["id"] for one in events if one["type"] == "thread.item.done")
        post(client, "threads.retry_after_item", thread_id=name, item_id=question)
        items = post(client, "items.list", thread_id=name, order="asc")["data"]
        assert [one["content"][0]["text"] for one in items] == ["Lima?", "Bye."]


class TestWritersAndFaults:
    async def test_two_writers_at_once(self, url: str, prefix: str) -> None:
        """Every item of both is there once, each writer's in its order; the same item of both once."""
        async with (
            chatmem.connect(url, prefix=prefix, ttl=60) as one,
            chatmem.connect(url, prefix=prefix, ttl=60) as two,
        ):

            async def write(memory: chatmem.ChatMemory, who: str) -> None:
                store = store_of(memory)
                for number in range(40):
                    await store.add_thread_item("t", said(who, f"{who}{number}"), "alice")
                    await store.add_thread_item("t", said("both", f"both{number}"), "alice")
                    await store.save_item("t", said("last", "shared"), "alice")

            await asyncio.gather(write(one, "a"), write(two, "b"))
            found = await ids(store_of(one))
        assert len(found) == len(set(found)) == 121
        for who in ("a", "b"):
            assert [name for name in found if name.startswith(who) and not name.startswith("both")] == [
                f"{who}{number}" for number in range(40)
            ]

    async def test_faults(self, url: str, prefix: str) -> None:
        """Behind a network that fails at every third command, a caller who repeats what failed has all of it once."""
        schedule, where = Schedule(17, 120), urlsplit(url)
        with failing(lambda: (str(where.hostname), int(where.port or 0)), schedule, patience=0.1) as proxy:
            behind = f"redis://127.0.0.1:{proxy.port}/0?socket_timeout=0.1&socket_connect_timeout=0.1"
            async with chatmem.connect(behind, prefix=prefix, ttl=60) as memory:
                store, count = store_of(memory), 0
                while not schedule.is_over:
                    await until_done(partial(store.add_thread_item, "t", said("x", f"m{count}"), "alice"))
                    await until_done(partial(store.save_item, "t", said(f"{count}", "shared"), "alice"))
                    await until_done(partial(store.save_thread, thread(title=f"{count}"), "alice"))
                    proxy.settle()
                    count += 1
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
            store = store_of(memory)
            assert await ids(store) == ["m0", "shared", *(f"m{number}" for number in range(1, count))]
            assert await store.load_item("t", "shared", "alice") == said(f"{count - 1}", "shared")
            assert (await store.load_thread("t", "alice")).title == f"{count - 1}"


async def until_done(call: Callable[[], Awaitable[None]]) -> None:
    """Repeat a call until it succeeds."""
    while True:
        with suppress(chatmem.UnavailableError):
            return await call()


class TestEncryption:
    async def test_nothing_can_be_read_without_the_key(self, url: str, prefix: str) -> None:
        """Items, titles, metadata and attachments are encrypted, and come back with the key."""
        ring = chatmem.KeyRing({"k": b"k" * 32})
        async with chatmem.connect(url, prefix=prefix, ttl=60, encryption=ring) as memory:
            store, given = store_of(memory), thread(title="secret trip", metadata={"note": "secret note"})
            attachment = FileAttachment(id="f", name="secret.txt", mime_type="text/plain")
            items = [asked("secret question", "q"), said("secret answer", "a")]
            await store.save_thread(given, "alice")
            await store.save_attachment(attachment, "alice")
            for one in items:
                await store.add_thread_item("t", one, "alice")
            assert await store.load_thread("t", "alice") == given
            assert await store.load_attachment("f", "alice") == attachment
            assert (await store.load_thread_items("t", None, 5, "asc", "alice")).data == items
        with redis.Redis.from_url(url) as raw:
            kept = b"".join(raw.dump(key) or b"" for key in raw.scan_iter(f"{prefix}*"))
        assert kept
        assert b"secret" not in kept
