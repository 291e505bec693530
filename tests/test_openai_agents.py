"""The SDK's own Runner with an offline model; items come back exactly; either reads the other's session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import (
    Agent,
    ModelResponse,
    RunConfig,
    Runner,
    RunState,
    SessionSettings,
    Usage,
    function_tool,
    set_tracing_disabled,
)
from agents.memory import Session
from agents.models.interface import Model
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
from chatmem.openai_agents import ChatmemSession
from chatmem.openai_items import items_of, message_of
from tests.conftest import Connect
from tests.coroutines import AsCoroutines

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
]


class Offline(Model):
    """Says what the script says, and keeps what it was sent."""

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
    """Two runs, a tool call among them: the second is sent all of the first, and every item is stored once."""
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
        """In one piece and streamed; the next run is sent all of it."""
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
        """The next run is sent no half of an exchange, and nothing twice."""
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
        """The run is interrupted, its state goes elsewhere and comes back; nothing is stored twice."""
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
        """Of the session, or of the run."""
        await memory.history("s").append("one", ("ai", "two"), "three", ("ai", "four"))
        model, settings = Offline([said("Hello.", 1)]), SessionSettings(limit=2)
        session = ChatmemSession(memory, "s", session_settings=None if of_the_run else settings)
        config = RunConfig(session_settings=settings if of_the_run else None)
        await Runner.run(Agent("helper", model=model), "five", session=session, run_config=config)
        assert [item["content"] for item in model.seen[-1]] == ["three", "four", "five"]


class TestSession:
    async def test_items_come_back_exactly(self, connect: Connect) -> None:
        """On every server: all of them, the last ones, and one by one from the end."""
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
        """Nothing of the call is stored."""
        session = ChatmemSession(memory, "s")
        for wrong in ("hi", {}, {"role": 5}, None):
            with pytest.raises(ValueError, match="an item is a dict"):
                await session.add_items([ITEMS[0], wrong])
        assert await session.get_items() == []

    async def test_a_session_of_langchain(self, memory: chatmem.ChatMemory) -> None:
        """Text and tool calls are items; anything else is an error that says what."""
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


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_words = st.sampled_from(["user", "assistant", "system", "developer", "message", "function_call", "reasoning", "x"])


@given(
    st.dictionaries(st.sampled_from(["content", "output", "id", "call_id", "name", "arguments", "y"]), _json),
    _words,
    _words,
)
def test_any_item_comes_back(item: dict[str, Any], role: str, kind: str) -> None:
    """Whatever a provider may think of next."""
    for whole in ({**item, "role": role}, {**item, "type": kind}, {**item, "role": role, "type": kind}):
        assert items_of(message_of(whole)) == [whole]
