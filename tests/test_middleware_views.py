"""A window shows some messages otherwise than they are stored; what becomes of those when middleware changes one."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.version import VERSION

if tuple(map(int, VERSION.split(".")[:2])) < (1, 2):
    pytest.skip("langgraph needs a later langchain-core than the oldest that chatmem takes", allow_module_level=True)

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core import messages as lc
from langgraph.checkpoint.memory import InMemorySaver

import chatmem
import chatmem.sync
from chatmem.langchain import HistoryMiddleware
from tests.providers import check
from tests.scripted import Scripted, weather
from tests.test_stacks import plain

CONFIG: Any = {"configurable": {"session_id": "s", "thread_id": "t"}}


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


class Changing(AgentMiddleware[Any, Any]):
    """Changes the text of some messages before the model is called, once."""

    def __init__(self, *places: int) -> None:
        super().__init__()
        self.places = [*places]
        self.ids: list[str] = []

    def before_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        found = [state["messages"][place] for place in self.places if place < len(state["messages"])]
        self.places, self.ids = [], [one.id for one in found]
        return {"messages": [changed(one) for one in found]}


def changed(message: lc.BaseMessage) -> lc.BaseMessage:
    content: Any = message.content
    if isinstance(content, list):
        return message.model_copy(update={"content": [{"type": "text", "text": "changed"}, *content]})
    return message.model_copy(update={"content": f"{content} changed"})


def calling(*ids: str, text: str = "") -> lc.AIMessage:
    return lc.AIMessage(text, tool_calls=[{"name": "weather", "args": {"city": "Lima"}, "id": one} for one in ids])


def in_content(*ids: str) -> lc.AIMessage:
    """Return calls as Anthropic writes them."""
    uses: Any = [{"type": "tool_use", "id": one, "name": "weather", "input": {"city": "Lima"}} for one in ids]
    return calling(*ids).model_copy(update={"content": [{"type": "text", "text": "I look"}, *uses]})


def results(*ids: str) -> list[lc.BaseMessage]:
    return [lc.ToolMessage("fine", tool_call_id=one) for one in ids]


def named(messages: list[lc.BaseMessage]) -> list[lc.BaseMessage]:
    """Return the messages with ids."""
    return [one.model_copy(update={"id": f"m{place}"}) for place, one in enumerate(messages)]


def links(messages: list[lc.BaseMessage]) -> dict[str | None, Any]:
    """Return the kind of each message and the ids of the calls that it makes or answers, by the message's id."""
    asked = {one.id: [call["id"] for call in one.tool_calls] for one in messages if isinstance(one, lc.AIMessage)}
    answered = {one.id: one.tool_call_id for one in messages if isinstance(one, lc.ToolMessage)}
    return asked | answered


def _turns() -> Iterator[st.SearchStrategy[list[lc.BaseMessage]]]:
    ids = st.lists(st.sampled_from(["call_0", "call_1"]), min_size=1, max_size=2)
    yield ids.map(lambda ids: [lc.HumanMessage("look"), calling(*ids, text="I look"), *results(*ids)])
    yield ids.map(lambda ids: [lc.HumanMessage("look"), in_content(*ids), *results(*ids)])
    yield ids.map(lambda ids: [lc.AIMessage("first"), calling(*ids), *results(*ids)])
    yield ids.map(lambda ids: [calling(*ids), lc.HumanMessage("and?"), *results(*ids)])
    yield st.just([calling("call_0", "call_2", text="half"), *results("call_0")])
    yield st.just([lc.HumanMessage("hello"), lc.AIMessage("hi")])
    yield st.just([lc.SystemMessage("be brief")])
    yield st.just([lc.ChatMessage(role="critic", content="hm")])
    yield st.just([lc.HumanMessage("")])


@pytest.fixture(scope="module")
def kept(url: str) -> Iterator[chatmem.sync.ChatMemory]:
    with chatmem.sync.connect(url, prefix=f"test-{uuid.uuid4().hex}", ttl=60) as memory:
        yield memory


_sessions = count()


@settings(max_examples=100)
@given(
    turns=st.lists(st.one_of(*_turns()), min_size=2, max_size=6), data=st.data(), save=st.sampled_from(["step", "end"])
)
def test_a_change_of_one_message(
    kept: chatmem.sync.ChatMemory, turns: list[list[lc.BaseMessage]], data: st.DataObject, save: Any
) -> None:
    """The next window shows the change and nothing else; the other stored messages, and all ids of calls, stay."""
    history = kept.history(f"s{next(_sessions)}")
    said = [
        lc.HumanMessage("begin"),
        *(one for turn in turns for one in turn),
        lc.HumanMessage("so"),
        lc.AIMessage("ok"),
    ]
    history.append(*named(said))
    stored, shown = history.messages(), history.window()
    change = Changing(data.draw(st.integers(0, len(shown) - 1), label="place"))
    middleware = [HistoryMiddleware(kept, save=save), change]
    agent: Any = create_agent(Scripted(script=[lc.AIMessage("bye")]), [weather], middleware=middleware)
    agent.invoke({"messages": [("human", "more")]}, {"configurable": {"session_id": history.session_id}})
    expected = [plain([changed(one) if one.id in change.ids else one])[0] for one in shown]
    assert plain(history.window())[: len(shown)] == expected
    now = {one.id: one for one in history.messages()}
    left = [one for one in stored if one.id in now]
    assert {one.id for one in stored} - now.keys() <= joined_to(change.ids, stored, shown)
    assert [now[one.id] for one in left if one.id not in change.ids] == [
        one for one in left if one.id not in change.ids
    ]
    assert {one.id: links(list(now.values())).get(one.id) for one in left if one.type == "tool"} == {
        one.id: links(stored).get(one.id) for one in left if one.type == "tool"
    }


def joined_to(ids: list[str], stored: list[lc.BaseMessage], shown: list[lc.BaseMessage]) -> set[str | None]:
    """Return the ids of the messages whose text the window joins with a call among these."""
    left = {one.id for one in stored} - {one.id for one in shown}
    texts = [one.text for one in shown if one.id in ids and isinstance(one, lc.AIMessage) and one.tool_calls]
    return {one.id for one in stored if one.id in left and one.text and any(one.text in text for text in texts)}


LOG = named(
    [
        lc.HumanMessage("one"),
        *(calling("call_0"), *results("call_0"), lc.AIMessage("fine")),
        lc.SystemMessage("Be brief."),
        *(lc.HumanMessage("two"), calling("call_0", "call_1"), *results("call_0"), lc.AIMessage("fine")),
        *(lc.ChatMessage(role="critic", content="hm"), lc.AIMessage("first"), calling("call_0"), *results("call_0")),
        lc.AIMessage("bye"),
    ]
)


async def test_a_run_from_an_older_checkpoint(memory: chatmem.ChatMemory) -> None:
    """It writes the messages of its state again, which are stored as they were."""
    history = memory.history("s")
    await history.append(*LOG)
    model = Scripted(script=[lc.AIMessage(f"answer {turn}") for turn in range(3)])
    agent: Any = create_agent(model, [weather], middleware=[HistoryMiddleware(memory)], checkpointer=InMemorySaver())
    for text in ("three", "four"):
        await agent.ainvoke({"messages": [("human", text)]}, CONFIG)
    older = [one async for one in agent.aget_state_history(CONFIG) if not one.next and len(one.values["messages"])][1]
    config = {"configurable": {**older.config["configurable"], "session_id": "s"}}
    await agent.ainvoke({"messages": [("human", "five")]}, config)
    stored = await history.messages()
    assert stored[: len(LOG)] == LOG
    assert [one.text for one in stored[len(LOG) :]] == ["three", "answer 0", "five", "answer 2"]


@pytest.mark.parametrize("save", ["step", "end"])
async def test_a_change_between_two_windows(memory: chatmem.ChatMemory, save: Any) -> None:
    """If the next window begins elsewhere, it shows a call with another id; the changed message fits there, too."""
    model = Scripted(script=[])
    history = HistoryMiddleware(memory, turns=2, save=save)
    agent: Any = create_agent(model, [weather], middleware=[history], checkpointer=InMemorySaver())
    for city in ("Lima", "Rome", "Oslo"):
        asks = lc.AIMessage("", tool_calls=[{"name": "weather", "args": {"city": city}, "id": "call_0"}])
        model.script[:] = [asks, lc.AIMessage(f"answer {city}")]
        done = await agent.ainvoke({"messages": [("human", city)]}, CONFIG)
    assert [one.tool_call_id for one in done["messages"] if one.type == "tool"] == ["call_0", "call_0-2", "call_0"]
    for place in (5, 6):  # the call and the result of Rome
        await agent.aupdate_state(CONFIG, {"messages": [changed(done["messages"][place])]})
    model.script[:] = [lc.AIMessage("bye")]
    await agent.ainvoke({"messages": [("human", "bye")]}, CONFIG)
    check(model.seen[-1])
    shown = [
        "Rome",
        " changed",
        "fine in Rome changed",
        "answer Rome",
        "Oslo",
        "",
        "fine in Oslo",
        "answer Oslo",
        "bye",
    ]
    assert [one.text for one in model.seen[-1]] == shown
    stored = await memory.history("s").messages()
    assert [one.text for one in stored[4:]] == [*shown, "bye"]
    assert [one.tool_call_id for one in stored if isinstance(one, lc.ToolMessage)] == ["call_0"] * 3


@pytest.mark.parametrize("shown", range(8))
async def test_messages_without_ids(memory: chatmem.ChatMemory, shown: int) -> None:
    """Messages that an application stored without ids change, too; the exchange that they belong to stays whole."""
    exchange = [calling("call_0", text="I look"), *results("call_0")]
    await memory.history("s").append(lc.HumanMessage("one"), *exchange, lc.SystemMessage("Be brief."), *exchange, "two")
    window = await memory.history("s").window()
    expected = [str(one.text) for one in window]
    expected[shown : shown + 1] = [f"{one} changed" for one in expected[shown : shown + 1]]
    middleware = [HistoryMiddleware(memory), Changing(shown)]
    agent: Any = create_agent(Scripted(script=[lc.AIMessage("bye")]), [weather], middleware=middleware)
    await agent.ainvoke({"messages": [("human", "three")]}, CONFIG)
    window = await memory.history("s").window()
    assert [one.text for one in window][: len(expected)] == expected
    stored = await memory.history("s").messages()
    assert len(stored) == 9
    assert [one.tool_call_id for one in stored if isinstance(one, lc.ToolMessage)] == ["call_0"] * 2


@pytest.mark.parametrize("many", [0, 1100])
@pytest.mark.parametrize("places", [(0,), (2,), (4,), (0, 4), (2, 4), (0, 2, 4)])
async def test_equal_messages_without_ids(memory: chatmem.ChatMemory, places: tuple[int, ...], many: int) -> None:
    """Of messages without ids and with equal content, the changed one is replaced, however many follow."""
    said = [one for text in ("one", "two", "three") for one in (("human", "yes"), ("ai", text))]
    said += [("ai", str(number)) for number in range(many)]
    await memory.history("s").append(*said)
    for first in places:  # one in each run, and then all of them at once
        middleware = [HistoryMiddleware(memory), Changing(first)]
        agent: Any = create_agent(Scripted(script=[lc.AIMessage("bye")]), [], middleware=middleware)
        await agent.ainvoke({"messages": [("human", "more")]}, CONFIG)
    expected = ["yes changed" if place in places else "yes" for place in (0, 2, 4)]
    assert [one.text for one in (await memory.history("s").messages())[0:6:2]] == expected
    await memory.history("s").clear()
    await memory.history("s").append(*said)
    middleware = [HistoryMiddleware(memory), Changing(*places)]
    agent = create_agent(Scripted(script=[lc.AIMessage("bye")]), [], middleware=middleware)
    await agent.ainvoke({"messages": [("human", "more")]}, CONFIG)
    assert [one.text for one in (await memory.history("s").messages())[0:6:2]] == expected
