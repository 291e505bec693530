"""Real agents with an offline model: each message is stored once, whatever stops a run, and the next run continues."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.version import VERSION

if tuple(map(int, VERSION.split(".")[:2])) < (1, 2):
    pytest.skip("langgraph needs a later langchain-core than the oldest that chatmem takes", allow_module_level=True)

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core import messages as lc
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

import chatmem
import chatmem.sync
from chatmem.langchain import HistoryMiddleware
from tests.exchanges import halves
from tests.scripted import Scripted, asking, check_naming, weather

CONFIG: Any = {"configurable": {"session_id": "s", "user": "alice", "thread_id": "t"}}


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


async def stored(memory: chatmem.ChatMemory) -> list[tuple[str, str]]:
    return [(message.type, message.text) for message in await memory.history("s").messages()]


TURN = [("human", "Lima?"), ("ai", ""), ("tool", "fine in Lima"), ("tool", "fine in Rome"), ("ai", "Fine in both.")]


@pytest.mark.parametrize("save", ["step", "end"])
@pytest.mark.parametrize("checkpointer", [False, True])
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
class TestTurns:
    async def test_two_turns(self, memory: chatmem.ChatMemory, save: Any, checkpointer: bool, way: str) -> None:
        """After parallel tool calls, the next run's model gets the whole conversation; each message is stored once."""
        model = Scripted(script=[asking("Lima", "Rome"), lc.AIMessage("Fine in both."), lc.AIMessage("Bye.")])
        saver = InMemorySaver() if checkpointer else None
        agent = create_agent(model, [weather], middleware=[HistoryMiddleware(memory, save=save)], checkpointer=saver)
        for text in ("Lima?", "Thanks"):
            await call(agent, way, {"messages": [("human", text)]})
        assert await stored(memory) == [*TURN, ("human", "Thanks"), ("ai", "Bye.")]
        assert [(m.type, m.text) for m in model.seen[-1]] == [*TURN, ("human", "Thanks")]
        assert (await memory.sessions("alice")).sessions[0].session_id == "s"

    async def test_another_process_goes_on(
        self, memory: chatmem.ChatMemory, save: Any, checkpointer: bool, way: str
    ) -> None:
        """A new agent continues the session, with messages without ids that somebody else stored."""
        await memory.history("s", user="alice").append(lc.SystemMessage("Be brief."), "earlier", ("ai", "yes"))
        for text in ("one", "two", "three"):
            model = Scripted(script=[lc.AIMessage(f"answer {text}")])
            saver = InMemorySaver() if checkpointer else None
            middleware = HistoryMiddleware(memory, save=save, messages=4)
            agent = create_agent(model, [], middleware=[middleware], checkpointer=saver)
            await call(agent, way, {"messages": [("human", text)]})
        said = ["Be brief.", "earlier", "yes", "one", "answer one", "two", "answer two", "three", "answer three"]
        assert [text for _, text in await stored(memory)] == said
        assert [m.text for m in model.seen[-1]] == ["Be brief.", "two", "answer two", "three"]


async def call(agent: Any, way: str, given: Any) -> None:
    if way == "invoke":
        agent.invoke(given, CONFIG)
    elif way == "ainvoke":
        await agent.ainvoke(given, CONFIG)
    elif way == "stream":
        assert list(agent.stream(given, CONFIG))
    else:
        assert [part async for part in agent.astream(given, CONFIG)]


@pytest.mark.parametrize("save", ["step", "end"])
async def test_a_stream_of_messages_shows_what_is_new(memory: chatmem.ChatMemory, save: Any) -> None:
    """The stored messages that are loaded into the state are not streamed."""
    history = memory.history("s", user="alice")
    await history.append("earlier", ("ai", "yes"), lc.HumanMessage("with an id", id="1"), ("ai", "ok"))
    model = Scripted(script=[asking("Lima", "Rome"), lc.AIMessage("Fine in both.")])
    agent: Any = create_agent(model, [weather], middleware=[HistoryMiddleware(memory, save=save)])
    stream = agent.astream({"messages": [("human", "Hi")]}, CONFIG, stream_mode="messages")
    said = [(message.type, message.text) async for message, _ in stream]
    assert [said[0], *sorted(said[1:3]), *said[3:]] == TURN[1:]  # the two tools run at once


class TestInterruptions:
    async def test_an_error_in_the_middle(self, memory: chatmem.ChatMemory) -> None:
        """By step, messages before an error are stored, and the next run gets whole exchanges; at the end, none are."""
        for left in ([("human", "Atlantis?"), ("ai", "")], []):
            await memory.history("s").clear()
            model = Scripted(script=[asking("Atlantis"), lc.AIMessage("Hello.")])
            middleware = HistoryMiddleware(memory, save="step" if left else "end")
            agent: Any = create_agent(model, [weather], middleware=[middleware])
            with pytest.raises(LookupError):
                await agent.ainvoke({"messages": [("human", "Atlantis?")]}, CONFIG)
            assert await stored(memory) == left
            await agent.ainvoke({"messages": [("human", "Hi")]}, CONFIG)
            assert not halves(model.seen[-1])
            assert await stored(memory) == [*left, ("human", "Hi"), ("ai", "Hello.")]

    async def test_a_run_again_after_an_error(self, memory: chatmem.ChatMemory) -> None:
        """The same input with an id is stored once."""
        model = Scripted(script=[RuntimeError("overloaded"), lc.AIMessage("Hello.")])
        agent: Any = create_agent(model, [], middleware=[HistoryMiddleware(memory)])
        given = {"messages": [lc.HumanMessage("Hi", id="h1")]}
        with pytest.raises(RuntimeError):
            await agent.ainvoke(given, CONFIG)
        await agent.ainvoke(given, CONFIG)
        assert await stored(memory) == [("human", "Hi"), ("ai", "Hello.")]
        assert [m.text for m in model.seen[-1]] == ["Hi"]

    @pytest.mark.parametrize("save", ["step", "end"])
    async def test_interrupt_and_resume(self, memory: chatmem.ChatMemory, save: Any) -> None:
        """A run that is resumed after a person approved a tool call stores nothing twice."""
        model = Scripted(script=[asking("Lima"), lc.AIMessage("Fine.")])
        approval = HumanInTheLoopMiddleware(interrupt_on={"weather": True})
        agent: Any = create_agent(
            model, [weather], middleware=[HistoryMiddleware(memory, save=save), approval], checkpointer=InMemorySaver()
        )
        paused = await agent.ainvoke({"messages": [("human", "Lima?")]}, CONFIG)
        assert paused["__interrupt__"]
        await agent.ainvoke(Command(resume={"decisions": [{"type": "approve"}]}), CONFIG)
        assert await stored(memory) == [("human", "Lima?"), ("ai", ""), ("tool", "fine in Lima"), ("ai", "Fine.")]

    async def test_an_edit_by_a_person(self, memory: chatmem.ChatMemory) -> None:
        """The memory holds what the agent's state holds, whatever another middleware made of it."""
        model = Scripted(script=[asking("Lima"), lc.AIMessage("Fine.")])
        approval = HumanInTheLoopMiddleware(interrupt_on={"weather": True})
        agent: Any = create_agent(
            model, [weather], middleware=[HistoryMiddleware(memory), approval], checkpointer=InMemorySaver()
        )
        await agent.ainvoke({"messages": [("human", "Lima?")]}, CONFIG)
        edited = {"name": "weather", "args": {"city": "Rome"}}
        done = await agent.ainvoke(Command(resume={"decisions": [{"type": "edit", "edited_action": edited}]}), CONFIG)
        assert "fine in Rome" in done["messages"][2].text
        assert await memory.history("s").messages() == done["messages"]


class TestSessions:
    async def test_where_the_session_is_named(self, memory: chatmem.ChatMemory) -> None:
        """The session comes from the context, else the config, else the thread; without one, the error says how."""
        agent: Any = create_agent(
            Scripted(script=[lc.AIMessage(str(i)) for i in range(3)]),
            [],
            middleware=[HistoryMiddleware(memory)],
            context_schema=dict,
        )
        await check_naming(memory, agent, messages=2)

    def test_a_synchronous_memory(self, url: str, prefix: str) -> None:
        with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory:
            agent: Any = create_agent(
                Scripted(script=[lc.AIMessage("a")]), [], middleware=[HistoryMiddleware(memory, turns=3)]
            )
            agent.invoke({"messages": [("human", "x")]}, CONFIG)
            assert memory.history("s").count() == 2

    @pytest.mark.parametrize("wrong", [{"save": "never"}, {"messages": 0}, {"tokens": -1}, {"token_counter": "exact"}])
    async def test_wrong_arguments(self, memory: chatmem.ChatMemory, wrong: Any) -> None:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            HistoryMiddleware(memory, **wrong)


def test_without_the_deprecated_classes(url: str, prefix: str) -> None:
    """Agents work without `BaseChatMessageHistory`, which langchain-core 2.0 removes."""
    script = (
        "import sys\n"
        "sys.modules['langchain_core.chat_history'] = None\n"
        "import chatmem.sync\n"
        "from chatmem.langchain.middleware import HistoryMiddleware\n"
        "from langchain.agents import create_agent\n"
        "from tests.test_middleware import Scripted, lc\n"
        f"with chatmem.sync.connect({url!r}, prefix={prefix!r}, ttl=60) as memory:\n"
        "    agent = create_agent(Scripted(script=[lc.AIMessage('a')]), [], middleware=[HistoryMiddleware(memory)])\n"
        "    agent.invoke({'messages': [('human', 'x')]}, {'configurable': {'session_id': 's'}})\n"
        "    assert memory.history('s').count() == 2\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
