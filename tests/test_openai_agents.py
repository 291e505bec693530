"""The SDK's own Runner with an offline model: items come back exactly, and LangChain and the SDK read each other's."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterable, Iterator
from functools import partial
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
from agents import (
    Agent,
    ModelResponse,
    RunConfig,
    Runner,
    RunState,
    SessionSettings,
    TResponseInputItem,
    Usage,
    function_tool,
    set_tracing_disabled,
)
from agents.extensions.memory import EncryptedSession
from agents.memory import Session
from agents.models.interface import Model
from agents.testing import ScriptedModel, assistant_message
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import messages as lc
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

import chatmem
from chatmem.codec import record
from chatmem.core.window import Window
from chatmem.openai_agents import ChatmemSession
from chatmem.openai_agents.items import items_of, message_of
from tests import providers
from tests.conftest import Connect
from tests.coroutines import AsCoroutines
from tests.faults import Schedule, failing

set_tracing_disabled(True)

ITEMS: list[Any] = [
    {"role": "user", "content": "hi"},
    {"role": "developer", "content": "be kind"},
    {
        "role": "user",
        "content": [{"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": "u", "detail": "low"}],
    },
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "f",
        "arguments": '{"a": 1}',
        "status": "completed",
    },
    {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "not json"},
    {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "done"}]},
    {"type": "function_call_output", "call_id": "c2", "output": "bad arguments"},
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "hello", "annotations": [], "logprobs": []}],
    },
    {"role": "assistant", "content": "plain"},
    {"__enc__": 1, "v": 1, "kid": "hkdf-v1", "payload": "gAAAA"},
    {},
]


class Offline(Model):
    """A model that answers from a script, and records what it was sent."""

    def __init__(self, *script: list[Any] | Exception) -> None:
        self.script = list(script)
        self.seen: list[Any] = []

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:  # noqa: A002
        self.seen.append(list(input))
        output = self.script.pop(0)
        if isinstance(output, Exception):
            raise output
        return ModelResponse(output=output, usage=Usage(), response_id=None)

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        output = (await self.get_response(*args, **kwargs)).output
        response = Response(
            id="resp_1",
            created_at=0,
            model="offline",
            object="response",
            output=output,
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=True,
        )
        yield ResponseCompletedEvent(type="response.completed", response=response, sequence_number=0)


def said(text: str, number: int) -> ResponseOutputMessage:
    content = ResponseOutputText(annotations=[], text=text, type="output_text", logprobs=[])
    return ResponseOutputMessage(
        id=f"msg_{number}", content=[content], role="assistant", status="completed", type="message"
    )


def weather_of(city: str) -> str:
    """Return the weather of a city."""
    return f"fine in {city}"


weather = function_tool(weather_of, name_override="weather")


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


async def test_the_runner(memory: chatmem.ChatMemory) -> None:
    """The second run is sent everything of the first, which calls a tool, and every item is stored once."""
    call = ResponseFunctionToolCall(
        arguments='{"city": "Lima"}', call_id="c1", name="weather", type="function_call", id="fc_1"
    )
    model = Offline([call], [said("Fine.", 1)], [said("Bye.", 2)])
    agent = Agent("helper", model=model, tools=[weather])
    assert (await Runner.run(agent, "Lima?", session=ChatmemSession(memory, "s", user="alice"))).final_output == "Fine."
    await Runner.run(agent, "Thanks", session=ChatmemSession(memory, "s", user="alice"))
    items = await ChatmemSession(memory, "s").get_items()
    assert [item.get("type", item.get("role")) for item in items] == [
        "user",
        "function_call",
        "function_call_output",
        "message",
        "user",
        "message",
    ]
    assert [item.get("type", item.get("role")) for item in model.seen[-1]] == [
        item.get("type", item.get("role")) for item in items[:-1]
    ]
    read = await memory.history("s").messages()
    assert [(m.type, m.text) for m in read] == [
        ("human", "Lima?"),
        ("ai", ""),
        ("tool", "fine in Lima"),
        ("ai", "Fine."),
        ("human", "Thanks"),
        ("ai", "Bye."),
    ]


def calling(*cities: str) -> list[Any]:
    return [
        ResponseFunctionToolCall(arguments=f'{{"city": "{city}"}}', call_id=city, name="weather", type="function_call")
        for city in cities
    ]


TURN = [("human", "Lima?"), ("ai", ""), ("ai", ""), ("tool", "fine in Lima"), ("tool", "fine in Rome"), ("ai", "Fine.")]


class TestRuns:
    @staticmethod
    async def stored(memory: chatmem.ChatMemory) -> list[tuple[str, str]]:
        return [(message.type, message.text) for message in await memory.history("s").messages()]

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_parallel_calls(self, memory: chatmem.ChatMemory, streamed: bool) -> None:
        """The next run is sent everything of a run, streamed or not."""
        model = Offline(calling("Lima", "Rome"), [said("Fine.", 1)], [said("Bye.", 2)])
        agent = Agent("helper", model=model, tools=[weather])
        for text in ("Lima?", "Thanks"):
            session = ChatmemSession(memory, "s")
            if streamed:
                run = Runner.run_streamed(agent, text, session=session)
                assert [event async for event in run.stream_events()]
            else:
                await Runner.run(agent, text, session=session)
        assert await self.stored(memory) == [*TURN, ("human", "Thanks"), ("ai", "Bye.")]
        assert len(model.seen[-1]) == 7

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_an_error_in_the_middle(self, memory: chatmem.ChatMemory, streamed: bool) -> None:
        """The next run is sent whole exchanges only, and nothing twice."""
        model = Offline(calling("Lima"), RuntimeError("overloaded"), [said("Hello.", 1)])
        agent = Agent("helper", model=model, tools=[weather])
        with pytest.raises(RuntimeError):
            if streamed:
                run = Runner.run_streamed(agent, "Lima?", session=ChatmemSession(memory, "s"))
                assert [event async for event in run.stream_events()]
            else:
                await Runner.run(agent, "Lima?", session=ChatmemSession(memory, "s"))
        await Runner.run(agent, "Hi", session=ChatmemSession(memory, "s"))
        calls, results = (
            [one["call_id"] for one in model.seen[-1] if one.get("type") == kind]
            for kind in ("function_call", "function_call_output")
        )
        assert calls == results
        texts = [text for kind, text in await self.stored(memory) if kind == "human"]
        assert texts == ["Lima?", "Hi"]
        assert (await self.stored(memory))[-1] == ("ai", "Hello.")

    async def test_a_call_that_a_person_approves(self, memory: chatmem.ChatMemory) -> None:
        """A run that is interrupted, serialised and resumed stores nothing twice."""
        model = Offline(calling("Lima"), [said("Fine.", 1)])
        asking = function_tool(weather_of, needs_approval=True, name_override="weather")
        agent = Agent("helper", model=model, tools=[asking])
        paused = await Runner.run(agent, "Lima?", session=ChatmemSession(memory, "s"))
        (interruption,) = paused.interruptions
        state = await RunState.from_json(agent, paused.to_state().to_json())
        (interruption,) = state.get_interruptions()
        state.approve(interruption)
        done = await Runner.run(agent, state, session=ChatmemSession(memory, "s"))
        assert done.final_output == "Fine."
        assert await self.stored(memory) == [("human", "Lima?"), ("ai", ""), ("tool", "fine in Lima"), ("ai", "Fine.")]

    @pytest.mark.parametrize("of_the_run", [False, True])
    async def test_a_limit(self, memory: chatmem.ChatMemory, of_the_run: bool) -> None:
        """The limit may be the session's or the run's."""
        await memory.history("s").append("one", ("ai", "two"), "three", ("ai", "four"))
        model, settings = Offline([said("Hello.", 1)]), SessionSettings(limit=2)
        session = ChatmemSession(memory, "s", session_settings=None if of_the_run else settings)
        config = RunConfig(session_settings=settings if of_the_run else None)
        await Runner.run(Agent("helper", model=model), "five", session=session, run_config=config)
        assert [item["content"] for item in model.seen[-1]] == ["three", "four", "five"]


class TestSession:
    async def test_items_come_back_exactly(self, connect: Connect) -> None:
        """Every server returns all items, the last ones, and pops them one by one."""
        memory = connect()
        if isinstance(memory, AsCoroutines):
            pytest.skip("the SDK is asynchronous")
        session = ChatmemSession(memory, "s")
        assert isinstance(session, Session)
        assert await session.get_items() == []
        assert await session.pop_item() is None
        await session.add_items([])
        await session.add_items(ITEMS)
        assert await session.get_items() == ITEMS
        assert await session.get_items(limit=3) == ITEMS[-3:]
        assert await session.get_items(limit=0) == []
        assert await ChatmemSession(memory, "s", session_settings=SessionSettings(limit=2)).get_items() == ITEMS[-2:]
        popped = [await session.pop_item() for _ in ITEMS]
        assert popped == ITEMS[::-1]
        await session.add_items(ITEMS)
        await session.clear_session()
        assert await session.get_items() == []

    async def test_what_is_no_item(self, memory: chatmem.ChatMemory) -> None:
        """If one item is wrong, none is stored."""
        session = ChatmemSession(memory, "s")
        wrong: Any
        for wrong in ("hi", 5, None, ["role"]):
            with pytest.raises(ValueError, match="an item must be a dict"):
                await session.add_items([ITEMS[0], wrong])
        assert await session.get_items() == []

    async def test_a_session_of_langchain(self, memory: chatmem.ChatMemory) -> None:
        """Text and tool calls become items; anything else is an error that names the type."""
        history = memory.history("s")
        calls = [{"name": "f", "args": {"a": "é"}, "id": "1"}, {"name": "g", "args": {}, "id": "2"}]
        await history.append(
            lc.SystemMessage("be kind"),
            lc.HumanMessage([{"type": "text", "text": "hi"}], id="1"),
            lc.AIMessage("wait", tool_calls=calls, response_metadata={"model": "x"}),
            lc.ToolMessage("done", tool_call_id="1"),
        )
        session = ChatmemSession(memory, "s")
        assert await session.get_items() == [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "wait"},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"a": "é"}'},
            {"type": "function_call", "call_id": "2", "name": "g", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "done"},
        ]
        assert len(await session.get_items(limit=2)) == 2
        await session.pop_item()
        with pytest.raises(chatmem.UnsupportedError, match="several items"):
            await session.pop_item()
        for wrong in (lc.ChatMessage(content="x", role="judge"), lc.HumanMessage([{"type": "image", "url": "u"}])):
            await history.append(wrong)
            with pytest.raises(chatmem.UnsupportedError, match=type(wrong).__name__):
                await session.get_items()
            await history.delete((await history.page(limit=1)).entries[0].seq)


def answer(text: str, id: str) -> dict[str, Any]:  # noqa: A002
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": id, "role": "assistant", "status": "completed", "content": content}


class TestIds:
    """Every item is stored, even if its id is known, as the SDK's own sessions do."""

    async def test_an_id_that_others_have(self, memory: chatmem.ChatMemory) -> None:
        """Items with the same id are all stored, equal or not, in one call or several."""
        session = ChatmemSession(memory, "s")
        call = {"type": "function_call", "id": "c1", "call_id": "c1", "name": "f", "arguments": "{}"}
        output = {"type": "function_call_output", "id": "c1", "call_id": "c1", "output": "done"}
        turn = [{"role": "user", "content": "ok"}, call, output, answer("done", "c1"), answer("done", "c1")]
        for _ in range(2):
            await session.add_items(turn)
            for item in turn:
                await session.add_items([item])
        assert await session.get_items() == turn * 4

    async def test_a_model_that_gives_each_message_one_id(self, memory: chatmem.ChatMemory) -> None:
        """Models that give all items the same ids work, as the SDK's own `agents.testing` does."""
        session = ChatmemSession(memory, "s")
        agent = Agent("helper", model=ScriptedModel([[assistant_message("ok")], [assistant_message("ok")]]))
        for _ in range(2):
            await Runner.run(agent, "Go on", session=session)
        assert [message.text for message in await memory.history("s").messages()] == ["Go on", "ok", "Go on", "ok"]

    async def test_messages_have_ids_of_their_own(self, memory: chatmem.ChatMemory) -> None:
        """Every stored message has an id of its own, so LangChain can change and remove it."""
        await ChatmemSession(memory, "s").add_items([answer("one", "x"), answer("two", "x")])
        first, second = await memory.history("s").messages()
        assert first.id != second.id
        entry = await memory.history("s").get(str(second.id))
        assert entry is not None
        assert entry.message == second


class TestRetries:
    async def test_a_call_whose_answer_was_lost(self, url: str, prefix: str) -> None:
        """A retry after an error stores the items once; a later call with equal items stores them again."""
        schedule = Schedule(0, 1000, share=1, weights={"cut after": 1})
        schedule.rests = True
        where = urlsplit(url)
        with failing(lambda: (str(where.hostname), int(where.port or 0)), schedule, patience=1) as proxy:
            async with chatmem.connect(f"redis://127.0.0.1:{proxy.port}", prefix=prefix, ttl=60) as memory:
                session, items = ChatmemSession(memory, "s"), [{"role": "user", "content": "ok"}, answer("ok", "1")]
                schedule.rests = False
                with pytest.raises(chatmem.UnavailableError):
                    await session.add_items(items)
                schedule.rests = True
                await session.add_items(items)
                assert await session.get_items() == items
                await session.add_items(items)
                assert await session.get_items() == items * 2


class TestUnreadableRecords:
    """Records that cannot be read, as without the encryption key, stay and do not count."""

    @staticmethod
    async def sealed(url: str, prefix: str) -> tuple[chatmem.ChatMemory, list[Any]]:
        """Store two readable items, then many that cannot be read without the key."""
        ring = chatmem.KeyRing({"k": b"k" * 32})
        async with chatmem.connect(url, prefix=prefix, ttl=60, encryption=ring) as memory:
            async with chatmem.connect(url, prefix=prefix, ttl=60) as plain:
                await ChatmemSession(plain, "s").add_items(ITEMS[:2])
            await ChatmemSession(memory, "s").add_items(ITEMS * 5)
        return chatmem.connect(url, prefix=prefix, ttl=60), ITEMS[:2]

    async def test_a_limit(self, url: str, prefix: str) -> None:
        """`limit` counts the items that can be read."""
        memory, readable = await self.sealed(url, prefix)
        async with memory:
            session = ChatmemSession(memory, "s")
            assert await session.get_items(limit=2) == readable
            assert await session.get_items(limit=1) == readable[-1:]
            assert await session.get_items(limit=50) == readable

    async def test_pop_item(self, url: str, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
        """It removes one item that can be read for each call, then returns None."""
        memory, readable = await self.sealed(url, prefix)
        async with memory:
            session = ChatmemSession(memory, "s")
            before = await memory.history("s").count()
            assert [await session.pop_item() for _ in range(4)] == [*reversed(readable), None, None]
            assert await memory.history("s").count() == before - len(readable)
            assert "left out an unreadable record" in caplog.text


class TestEncryptedSession:
    async def test_around_a_session(self, memory: chatmem.ChatMemory) -> None:
        """Items, limits, pops and a run work with encryption, and Redis holds no plain text."""
        inner: Any = ChatmemSession(memory, "s", session_settings={"limit": 4})
        session = EncryptedSession("s", inner, encryption_key="k" * 40)
        await session.add_items(ITEMS)
        assert await session.get_items(limit=3) == ITEMS[-3:]
        assert await session.get_items() == ITEMS[-4:]
        assert [await session.pop_item() for _ in ITEMS] == ITEMS[::-1]
        assert await session.pop_item() is None
        agent = Agent("helper", model=Offline([said("Fine.", 1)], [said("Bye.", 1)]))
        for text in ("Hi", "Thanks"):
            await Runner.run(agent, text, session=session)
        assert [item.get("role") for item in await session.get_items()] == ["user", "assistant"] * 2
        assert {message.text for message in await memory.history("s").messages()} == {""}


class TestOpening:
    async def test_settings(self, memory: chatmem.ChatMemory) -> None:
        """Settings default to the SDK's; they may be a dict, and an unknown one is an error."""
        assert ChatmemSession(memory, "s").session_settings == SessionSettings()
        session = ChatmemSession(memory, "s", session_settings={"limit": 2})
        assert session.session_settings == SessionSettings(limit=2)
        await session.add_items(ITEMS)
        assert await session.get_items() == ITEMS[-2:]
        session.session_settings = SessionSettings(limit=1)
        assert await session.get_items() == ITEMS[-1:]
        with pytest.raises(TypeError, match="limitt"):
            ChatmemSession(memory, "s", session_settings={"limitt": 2})

    async def test_from_url(self, url: str, prefix: str) -> None:
        """A session made by `from_url` owns its memory: once it is closed, every call raises."""
        session = ChatmemSession.from_url("s", url=url, prefix=prefix, ttl=60, user="alice")
        assert await session.ping()
        await session.add_items(ITEMS)
        await asyncio.gather(session.close(), session.close())
        await session.close()
        for call in (session.get_items, session.pop_item, session.clear_session, session.ping):
            with pytest.raises(RuntimeError, match=r"ChatmemSession\('s'\) is closed"):
                await call()
        with pytest.raises(RuntimeError, match="closed"):
            await session.add_items([])
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
            given = ChatmemSession(memory, "s", user="alice")
            await given.close()
            assert await given.get_items() == ITEMS

    async def test_a_server_that_is_not_there(self) -> None:
        """`ping` returns False if the server does not answer."""
        session = ChatmemSession.from_url("s", url="redis://127.0.0.1:1/0")
        assert await session.ping() is False
        await session.close()


class TestUsers:
    async def test_another_user_s(self, memory: chatmem.ChatMemory) -> None:
        """Another user's session is neither read nor changed; one without a user only with `claim`."""
        await ChatmemSession(memory, "s", user="alice").add_items(ITEMS)
        bobs = ChatmemSession(memory, "s", user="bob")
        calls = [
            bobs.get_items(),
            bobs.get_items(limit=1),
            bobs.pop_item(),
            bobs.clear_session(),
            bobs.add_items(ITEMS),
        ]
        for call in calls:
            with pytest.raises(chatmem.NotFoundError):
                await call
        assert await bobs.ping()
        assert await ChatmemSession(memory, "s", user="alice").get_items() == ITEMS
        await ChatmemSession(memory, "nobody's").add_items(ITEMS)
        with pytest.raises(chatmem.NotFoundError):
            await ChatmemSession(memory, "nobody's", user="bob").get_items()
        assert await ChatmemSession(memory, "nobody's", user="bob", claim=True).get_items() == ITEMS


def called(call_id: str, arguments: str) -> dict[str, Any]:
    return {"type": "function_call", "id": "f", "call_id": call_id, "name": "f", "arguments": arguments}


_call_ids = st.sampled_from(["call_0", "call_1"])
_said = st.sampled_from(["hi", ""])
_logged = st.one_of(
    _said.map(lambda text: {"role": "user", "content": text}),
    _said.map(lambda text: answer(text, "msg_1")),
    st.just({"type": "reasoning", "id": "rs_1", "summary": []}),
    st.builds(called, _call_ids, st.sampled_from(["{}", "{bad"])),
    _call_ids.map(lambda name: {"type": "function_call_output", "call_id": name, "output": "done"}),
    _call_ids.map(lambda name: {"type": "custom_tool_call", "call_id": name, "name": "f", "input": "x"}),
    _call_ids.map(lambda name: {"type": "custom_tool_call_output", "call_id": name, "output": "done"}),
)


class TestWhatLangChainReads:
    """What a message expresses is stored only once."""

    @given(st.lists(_logged, max_size=8))
    def test_any_window_is_sendable(self, items: list[Any]) -> None:
        """A window of any items, in any order, can be sent to a model."""
        window = Window(messages=None, turns=None, tokens=None, token_counter="approximate", start_on="human")
        selection = window.select([])
        selection.take([message_of(item) for item in items])
        providers.check(asyncio.run(selection.messages(partial(asyncio.sleep, 0))))

    async def test_a_message_that_is_changed(self, memory: chatmem.ChatMemory) -> None:
        """If a message is redacted, its item is redacted, too."""
        session, history = ChatmemSession(memory, "s"), memory.history("s")
        await session.add_items([answer("mail a@b.c", "1"), {"role": "developer", "content": "a@b.c"}])
        for message in await history.messages():
            await history.replace(str(message.id), message.model_copy(update={"content": "mail [redacted]"}))
        assert await session.get_items() == [
            answer("mail [redacted]", "1"),
            {"role": "developer", "content": "mail [redacted]"},
        ]

    @pytest.mark.parametrize("content", ["", [], ["a", "b"], [{"type": "text", "text": "a"}] * 2])
    def test_a_message_that_has_another_form(self, content: Any) -> None:
        """A message whose item no longer fits is read by its present content, like any other message."""
        for item in ITEMS:
            message = message_of(item).model_copy(update={"content": content})
            said = str(items_of(message))
            assert not any(text in said for text in ("hello", "plain", "be kind", "hm", "gAAAA", "bad arguments"))

    def test_the_form_of_earlier_versions(self) -> None:
        """Items that chatmem 0.1 stored whole are read."""
        for item in ITEMS:
            old = lc.AIMessage([{"type": "text", "text": "x"}], id="1", additional_kwargs={"openai_item": item})
            assert items_of(old) == [item]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_words = st.sampled_from(["user", "assistant", "system", "developer", "message", "function_call", "reasoning", "x"])
_kinds = _words | st.sampled_from(["function_call_output", "non_standard", "text"]) | _json
_fields = st.sampled_from(["content", "output", "id", "call_id", "name", "arguments", "value", "text", "y"])


def stored(item: Any) -> tuple[list[Any], int]:
    """Return the items for an item's record, and the record's size."""
    encoded = record.encode(message_of(item), 0, 0)
    return items_of(record.decode(b"0:" + encoded.record, None).message), len(encoded.record)


@given(st.dictionaries(_fields, _json), _kinds, _kinds)
def test_any_item_comes_back(item: dict[str, Any], role: Any, kind: Any) -> None:
    """Any dict comes back exactly."""
    for whole in (item, {**item, "role": role}, {**item, "type": kind}, {**item, "role": role, "type": kind}):
        assert stored(whole)[0] == [whole]


@given(st.sampled_from(ITEMS).filter(bool), _json, st.data())
def test_any_value_in_an_item_comes_back(item: dict[str, Any], value: Any, data: st.DataObject) -> None:
    """Items with another value in a field, or in a part of the content, as gateways write them, come back exactly."""
    name = data.draw(st.sampled_from(sorted(item)))
    changed = [{**item, name: value}, {key: one for key, one in item.items() if key != name}]
    if isinstance(parts := item[name], list):
        part = {**parts[0], data.draw(st.sampled_from(sorted(parts[0]))): value}
        changed += [{**item, name: [part, *parts[1:]]}, {**item, name: [*parts, value]}]
    for one in changed:
        assert stored(one)[0] == [one]


def plain(value: Any) -> Any:
    """Return a value of the SDK's types as in JSON."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else 0.5
    return [plain(item) for item in value] if isinstance(value, Iterable) else str(value)


def texts_of(item: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of an item's texts, except of those that name a kind."""
    if isinstance(item, str) and path[-1] not in ("type", "role"):
        yield path
    elif isinstance(item, dict | list):
        for key, value in item.items() if isinstance(item, dict) else enumerate(item):
            yield from texts_of(value, *path, key)


def with_text(item: Any, path: tuple[Any, ...], text: str) -> Any:
    """Return a copy of an item with another text at a path."""
    copy = json.loads(json.dumps(item))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = text
    return copy


LARGE = "iVBORw0KGgo \u00e9" * 2000


def size_of(item: Any) -> int:
    return len(json.dumps(item, ensure_ascii=False).encode())


_items = st.one_of(*map(st.from_type, get_args(TResponseInputItem))).map(plain)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@given(_items, st.data())
def test_items_of_the_sdk(item: dict[str, Any], data: st.DataObject) -> None:
    """Every type of item comes back exactly, and its large texts are stored once."""
    assert stored(item)[0] == [item]
    paths = list(texts_of(item))
    if not paths:
        return
    whole = with_text(item, data.draw(st.sampled_from(paths)), LARGE)
    items, size = stored(whole)
    assert items == [whole]
    assert size <= 1.2 * size_of(whole)


@pytest.mark.parametrize("layout", [{}, {"separators": (",", ":")}, {"indent": 2}, {"indent": 4}])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_large_arguments(layout: dict[str, Any], ascii_only: bool) -> None:
    """Large arguments in any usual JSON style are stored only in the tool call that LangChain reads."""
    args = {"path": "a.py", "content": LARGE, "lines": [{"n": n, "at": n / 7} for n in range(1000)]}
    item = {**ITEMS[4], "arguments": json.dumps(args, ensure_ascii=ascii_only, **layout)}
    items, size = stored(item)
    assert items == [item]
    message = message_of(item)
    assert isinstance(message, lc.AIMessage)
    assert message.tool_calls[0]["args"] == args
    assert size <= 1.2 * size_of(item)


def test_arguments_that_are_written_otherwise() -> None:
    """Arguments that are written in an unusual way come back exactly."""
    for arguments in (
        '{ "a":1 }',
        '{"a": 1,"b": 2}',
        '{"a": 1e2}',
        '{"a": 1, "a": 2}',
        "",
        "[" * 100_000,
        "5",
        '{"a": NaN}',
    ):
        item = {**ITEMS[4], "arguments": arguments}
        assert stored(item)[0] == [item]
