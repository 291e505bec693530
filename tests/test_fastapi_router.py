"""`chatmem.fastapi.router` over HTTP, in this process: what each route does."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from chatmem.cli.offline import OfflineModel
from chatmem.fastapi import router
from tests.chat_client import ChatClient
from tests.fastapi_site import NO_CHAT, Site, echo, endless, opened, user_of


@pytest.fixture
async def site(url: str, prefix: str) -> AsyncIterator[Site]:
    async with opened(url, prefix) as site:
        yield site


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

    async def test_a_title_that_cannot_be_made(self, site: Site) -> None:
        """Nothing begins: the question could be asked again, and would be there twice."""
        for wrong in (lambda text: text[1_000_000], lambda text: 7):
            client = await site.client(title=wrong)
            with pytest.raises((IndexError, ValueError), match=r"title|range"):
                await client.new("lima")
            assert await client.titles() == []

    async def test_a_title_that_was_changed(self, alice: ChatClient) -> None:
        """It stays, though the request that began the chat is sent again."""
        name = str(uuid.uuid4())
        for _ in range(2):
            begun = await alice.new("Hi", id=name)
            assert await alice.titles() == ["Mine" if _ else "Hi"]
            await alice.json("PATCH", f"/chats/{begun['session_id']}", json={"title": "Mine"})

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

    @pytest.mark.parametrize("asked", ["x" * 100_000, "word " * 19_999])
    async def test_a_question_longer_than_the_limit(self, site: Site, asked: str) -> None:
        """The model gets the question, and of the rest what stands at the head: there must be something to answer."""
        windows: list[list[BaseMessage]] = []

        async def model(window: list[BaseMessage]) -> AsyncIterator[str]:
            windows.append(window)
            yield "ok"

        client = await site.client(model, system="Be kind.")
        chat = await client.started("Hi")
        await site.memory.history(chat, user="alice").summarize(up_to=1, summary=[SystemMessage("They said hi.")])
        assert await client.ask(chat, asked) == "ok"
        assert [one.text for one in windows[-1]] == ["Be kind.", "They said hi.", asked]
        assert await client.ask(chat, "And?") == "ok"
        assert [one.text for one in windows[-1]] == ["Be kind.", "They said hi.", "And?"]

    def test_what_cannot_answer(self, site: Site) -> None:
        async def returns(window: list[BaseMessage]) -> str:
            return window[-1].text

        def blocks(window: list[BaseMessage]) -> Iterator[str]:
            yield window[-1].text

        for model in (None, "openai:gpt-4o", returns, blocks):
            with pytest.raises(ValueError, match=r"^model must be"):
                router(site.memory, user=user_of, model=model)  # type: ignore[arg-type]
        checkpointed = type("Agent", (), {"checkpointer": True, "__call__": lambda self, window: None})()
        with pytest.raises(ValueError, match="without a checkpointer"):
            router(site.memory, user=user_of, model=checkpointed)
        with pytest.raises(ValueError, match=r"^user must be"):
            router(site.memory, user="alice", model=echo)  # type: ignore[arg-type]
        options: dict[str, Any] = {"tokens": 0, "system": 7, "title": "Chat"}
        for name, wrong in options.items():
            with pytest.raises(ValueError, match=f"^{name} must be"):
                router(site.memory, user=user_of, model=echo, **{name: wrong})
        with pytest.raises(ValueError, match=r"^memory must be"):
            router("redis://localhost", user=user_of, model=echo)  # type: ignore[arg-type]
