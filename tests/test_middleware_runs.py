"""What runs store in special cases: redaction, summaries, approvals, errors, branches, users."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from langchain_core.version import VERSION

if tuple(map(int, VERSION.split(".")[:2])) < (1, 2):
    pytest.skip("langgraph needs a later langchain-core than the oldest that chatmem takes", allow_module_level=True)

from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    ToolCallLimitMiddleware,
)
from langchain_core import messages as lc
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import REMOVE_ALL_MESSAGES

import chatmem
import chatmem.sync
from chatmem.errors import NotFoundError
from chatmem.langchain import HistoryMiddleware
from tests.providers import check
from tests.scripted import Scripted, asking, weather
from tests.test_stacks import plain

CONFIG: Any = {"configurable": {"session_id": "s", "thread_id": "t"}}
BOTH = pytest.mark.parametrize("save", ["step", "end"])
ORDERS = pytest.mark.parametrize("last", [False, True])


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


def agent_of(model: Any, *beside: Any, last: bool = False, history: HistoryMiddleware | None, **options: Any) -> Any:
    """Return an agent with the history first or last among its middleware."""
    own = [] if history is None else [history]
    middleware = [*beside, *own] if last else [*own, *beside]
    return create_agent(model, options.pop("tools", [weather]), middleware=middleware, **options)


def human(*texts: str) -> dict[str, Any]:
    return {"messages": [("human", text) for text in texts]}


async def stored(memory: chatmem.ChatMemory) -> list[lc.BaseMessage]:
    return await memory.history("s").messages()


def texts(messages: list[lc.BaseMessage]) -> list[str]:
    return [str(message.text) for message in messages]


class Inserting(AgentMiddleware[Any, Any]):
    """Puts a message into the state before the model is called."""

    def __init__(self, at: int, message: lc.BaseMessage) -> None:
        super().__init__()
        self._at, self._message = at, message

    def before_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        messages = list(state["messages"])
        if any(one.text == self._message.text for one in messages):
            return None
        messages.insert(self._at, self._message.model_copy())
        return {"messages": [lc.RemoveMessage(id=REMOVE_ALL_MESSAGES), *messages]}


class TestRedaction:
    @BOTH
    @ORDERS
    @pytest.mark.parametrize("sync", [False, True])
    async def test_at_no_time_stored_in_clear(
        self, url: str, prefix: str, memory: chatmem.ChatMemory, save: Any, last: bool, sync: bool
    ) -> None:
        """Redacted messages are stored redacted, as a read during a model or tool call shows, too."""
        looks: list[str] = []

        def look() -> None:
            with chatmem.sync.connect(url, prefix=prefix) as other:
                looks.append(repr(other.history("s").messages()))

        class Looking(Scripted):
            def _generate(self, *args: Any, **kwargs: Any) -> Any:
                look()
                return super()._generate(*args, **kwargs)

        @tool
        def customer(name: str) -> str:
            """Return a customer."""
            look()
            return f"{name}@example.com"

        call = lc.AIMessage(
            "I ask for ann@example.com", tool_calls=[{"name": "customer", "args": {"name": "x"}, "id": "c"}]
        )
        model = Looking(script=[call, lc.AIMessage("It is bob@example.com"), lc.AIMessage("Bye carl@example.com")])
        pii = PIIMiddleware("email", apply_to_input=True, apply_to_output=True, apply_to_tool_results=True)
        agent = agent_of(model, pii, last=last, tools=[customer], history=HistoryMiddleware(memory, save=save))
        for text in ("I am dora@example.com", "Thanks, erik@example.com"):
            done = agent.invoke(human(text), CONFIG) if sync else await agent.ainvoke(human(text), CONFIG)
        assert await stored(memory) == done["messages"]
        assert len(looks) == 4
        assert "example.com" not in "".join(looks) + repr(await stored(memory))
        assert "example.com" not in repr(model.seen)

    async def test_a_message_that_the_session_held_before(self, memory: chatmem.ChatMemory) -> None:
        """An application may store the user's message without an id itself, and run the agent without input."""
        await memory.history("s").append(lc.SystemMessage("Be brief."), "I am ann@example.com")
        pii = PIIMiddleware("email", apply_to_input=True)
        model = Scripted(script=[lc.AIMessage("Hello."), lc.AIMessage("Bye.")])
        agent = agent_of(model, pii, history=HistoryMiddleware(memory))
        for given in ([], [("human", "Bye, bob@example.com")]):
            await agent.ainvoke({"messages": given}, CONFIG)
        said = ["Be brief.", "I am [REDACTED_EMAIL]", "Hello.", "Bye, [REDACTED_EMAIL]", "Bye."]
        assert texts(await stored(memory)) == said
        assert texts(model.seen[-1]) == said[:-1]

    @BOTH
    async def test_after_the_agent(self, memory: chatmem.ChatMemory, save: Any) -> None:
        """A change that a middleware makes at the very end is stored if the history precedes it in the list."""

        class Shouting(AgentMiddleware[Any, Any]):
            def after_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
                last = state["messages"][-1]
                return {"messages": [last.model_copy(update={"content": last.text.upper()})]}

        agent = agent_of(
            Scripted(script=[lc.AIMessage("a"), lc.AIMessage("b")]),
            Shouting(),
            history=HistoryMiddleware(memory, save=save),
        )
        for text in ("x", "y"):
            await agent.ainvoke(human(text), CONFIG)
        assert texts(await stored(memory)) == ["x", "A", "y", "B"]

    @BOTH
    async def test_an_edit_between_two_runs(self, memory: chatmem.ChatMemory, save: Any) -> None:
        """If a person changes the state of a checkpointer, the memory and the next run have the change."""
        model = Scripted(script=[lc.AIMessage("My key is 4242"), lc.AIMessage("Bye.")])
        agent = agent_of(model, history=HistoryMiddleware(memory, save=save), checkpointer=InMemorySaver())
        done = await agent.ainvoke(human("Hi"), CONFIG)
        await agent.aupdate_state(
            CONFIG, {"messages": [done["messages"][1].model_copy(update={"content": "My key is secret"})]}
        )
        await agent.ainvoke(human("Thanks"), CONFIG)
        assert texts(model.seen[-1]) == ["Hi", "My key is secret", "Thanks"]
        assert texts(await stored(memory)) == ["Hi", "My key is secret", "Thanks", "Bye."]

    async def test_an_edit_in_the_memory(self, memory: chatmem.ChatMemory) -> None:
        """A change made in the memory stays, since the state did not change."""
        model = Scripted(script=[lc.AIMessage("My key is 4242"), lc.AIMessage("Bye.")])
        agent = agent_of(model, history=HistoryMiddleware(memory), checkpointer=InMemorySaver())
        done = await agent.ainvoke(human("Hi"), CONFIG)
        await memory.history("s").put(done["messages"][1].model_copy(update={"content": "My key is secret"}))
        await agent.ainvoke(human("Thanks"), CONFIG)
        assert texts(model.seen[-1]) == ["Hi", "My key is secret", "Thanks"]
        assert texts(await stored(memory)) == ["Hi", "My key is secret", "Thanks", "Bye."]

    @pytest.mark.parametrize("checkpointer", [False, True])
    async def test_a_known_message_is_given_again_with_other_content(
        self, memory: chatmem.ChatMemory, checkpointer: bool
    ) -> None:
        """A message with a known id replaces the stored one, as it does in a state."""
        model = Scripted(script=[lc.AIMessage("a"), lc.AIMessage("b")])
        agent = agent_of(
            model, history=HistoryMiddleware(memory), checkpointer=InMemorySaver() if checkpointer else None
        )
        await agent.ainvoke({"messages": [lc.HumanMessage("Lima", id="1")]}, CONFIG)
        await agent.ainvoke({"messages": [lc.HumanMessage("Rome", id="1"), lc.HumanMessage("Well?", id="2")]}, CONFIG)
        assert texts(model.seen[-1]) == ["Rome", "a", "Well?"]
        assert texts(await stored(memory)) == ["Rome", "a", "Well?", "b"]

    @BOTH
    async def test_what_a_guard_takes_back(self, memory: chatmem.ChatMemory, save: Any) -> None:
        """A message that another middleware removes before a model was sent it is not stored."""

        class Guard(AgentMiddleware[Any, Any]):
            def before_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
                bad = [one for one in state["messages"] if "bomb" in one.text]
                return {"messages": [lc.RemoveMessage(id=one.id) for one in bad]} if bad else None

        agent = agent_of(Scripted(script=[lc.AIMessage("a")]), Guard(), history=HistoryMiddleware(memory, save=save))
        await agent.ainvoke(human("bomb", "Hi"), CONFIG)
        assert texts(await stored(memory)) == ["Hi", "a"]


class TestSummaries:
    @BOTH
    @ORDERS
    @pytest.mark.parametrize("checkpointer", [False, True])
    @pytest.mark.parametrize(("trigger", "keep"), [(4, 1), (4, 2), (5, 3), (3, 1), (7, 2), (9, 1)])
    async def test_what_was_said_stays(
        self, memory: chatmem.ChatMemory, save: Any, last: bool, checkpointer: bool, trigger: int, keep: int
    ) -> None:
        """All messages are stored in order, but no summary; beside a checkpointer, nothing changes for the model."""
        answers: list[Any] = [
            asking("Lima"),
            asking("Rome", "Oslo"),
            "a",
            "b",
            asking("Bern"),
            asking("Bonn"),
            "c",
            "d",
        ]
        inputs = [("one",), ("two", "and a half"), ("three",), ("four",)]

        def made(history: HistoryMiddleware | None, saver: Any) -> tuple[Scripted, Any]:
            model = Scripted(
                script=[lc.AIMessage(one) if isinstance(one, str) else one.model_copy() for one in answers]
            )
            brief = Scripted(script=[lc.AIMessage(f"summary {i}") for i in range(40)])
            summarizer = SummarizationMiddleware(brief, trigger=("messages", trigger), keep=("messages", keep))
            return model, agent_of(model, summarizer, last=last, history=history, checkpointer=saver)

        model, agent = made(HistoryMiddleware(memory, save=save), InMemorySaver() if checkpointer else None)
        for given in inputs:
            await agent.ainvoke(human(*given), CONFIG)
        kinds = [(one.type, one.text) for one in await stored(memory)]
        lima, rome, oslo, bern, bonn = (
            ("tool", f"fine in {city}") for city in ("Lima", "Rome", "Oslo", "Bern", "Bonn")
        )
        call = ("ai", "")
        assert kinds == [
            *(("human", "one"), call, lima, call, rome, oslo, ("ai", "a")),
            *(("human", "two"), ("human", "and a half"), ("ai", "b")),
            *(("human", "three"), call, bern, call, bonn, ("ai", "c"), ("human", "four"), ("ai", "d")),
        ]
        if checkpointer:
            alone, without = made(None, InMemorySaver())
            for given in inputs:
                await without.ainvoke(human(*given), CONFIG)
            assert [plain(one) for one in model.seen] == [plain(one) for one in alone.seen]

    async def test_a_summary_of_what_the_memory_forgot(self, memory: chatmem.ChatMemory) -> None:
        """The state's summary goes when the session is cleared."""
        brief = Scripted(script=[lc.AIMessage("the secret")] * 9)
        summarizer = SummarizationMiddleware(brief, trigger=("messages", 3), keep=("messages", 1))
        model = Scripted(script=[lc.AIMessage(one) for one in "abc"])
        agent = agent_of(model, summarizer, history=HistoryMiddleware(memory), checkpointer=InMemorySaver())
        await agent.ainvoke(human("one"), CONFIG)
        await agent.ainvoke(human("two"), CONFIG)
        assert "the secret" in repr(model.seen[-1])
        await memory.history("s").clear()
        await agent.ainvoke(human("three"), CONFIG)
        assert texts(model.seen[-1]) == ["three"]
        assert texts(await stored(memory)) == ["three", "c"]

    @BOTH
    async def test_other_middleware_that_trims(self, memory: chatmem.ChatMemory, save: Any) -> None:
        """Messages that it removes from the state stay in the memory, even those of this run."""

        class Trimming(AgentMiddleware[Any, Any]):
            def before_model(self, state: Any, runtime: Any) -> dict[str, Any]:
                return {"messages": [lc.RemoveMessage(id=one.id) for one in state["messages"][:-2]]}

        script = [asking("Lima"), asking("Rome"), lc.AIMessage("a"), lc.AIMessage("b")]
        agent = agent_of(Scripted(script=script), Trimming(), history=HistoryMiddleware(memory, save=save))
        for text in ("x", "y"):
            await agent.ainvoke(human(text), CONFIG)
        kinds = [(one.type, one.text) for one in await stored(memory)]
        first = [
            ("human", "x"),
            ("ai", ""),
            ("tool", "fine in Lima"),
            ("ai", ""),
            ("tool", "fine in Rome"),
            ("ai", "a"),
        ]
        assert kinds == [*first, ("human", "y"), ("ai", "b")]


class TestOrder:
    @BOTH
    async def test_put_among_what_this_run_said(self, memory: chatmem.ChatMemory, save: Any) -> None:
        note = Inserting(1, lc.HumanMessage("Mind the time."))
        agent = agent_of(
            Scripted(script=[asking("Lima"), lc.AIMessage("a")]), note, history=HistoryMiddleware(memory, save=save)
        )
        done = await agent.ainvoke(human("one", "two"), CONFIG)
        assert texts(done["messages"])[:3] == ["one", "Mind the time.", "two"]
        assert await stored(memory) == done["messages"]

    async def test_put_before_a_call_that_is_stored_already(self, memory: chatmem.ChatMemory) -> None:
        """The tool call was stored by its tool, before the tool ran."""

        class Late(Inserting):
            def before_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
                return super().before_model(state, runtime) if len(state["messages"]) > 1 else None

        note = Late(1, lc.HumanMessage("Mind the time."))
        agent = agent_of(Scripted(script=[asking("Lima"), lc.AIMessage("a")]), note, history=HistoryMiddleware(memory))
        done = await agent.ainvoke(human("one"), CONFIG)
        assert [one.type for one in done["messages"]] == ["human", "human", "ai", "tool", "ai"]
        assert await stored(memory) == done["messages"]

    @BOTH
    async def test_put_at_the_head_of_each_run(self, memory: chatmem.ChatMemory, save: Any) -> None:
        """Messages of earlier runs keep their places."""
        history = memory.history("s")
        await history.append(*(lc.HumanMessage(f"m{i}", id=f"m{i}") for i in range(4)), ("ai", "yes"))
        before = [entry async for entry in history.entries()]
        for text in ("one", "two"):
            note = Inserting(0, lc.HumanMessage(f"For {text}."))
            agent = agent_of(Scripted(script=[lc.AIMessage(text)]), note, history=HistoryMiddleware(memory, save=save))
            await agent.ainvoke(human(text), CONFIG)
        assert [entry async for entry in history.entries()][:5] == before
        assert texts(await stored(memory))[5:] == ["For one.", "one", "one", "For two.", "two", "two"]

    @BOTH
    async def test_an_answer_to_a_malformed_call_of_an_earlier_run(self, memory: chatmem.ChatMemory, save: Any) -> None:
        """create_agent inserts a result right behind its call; nothing is stored twice, in this run or later."""
        torn = lc.AIMessage("Hm.", invalid_tool_calls=[{"name": "weather", "args": "{", "id": "c", "error": "x"}])
        script = [torn, *(lc.AIMessage(one) for one in "abc")]
        model = Scripted(script=script)
        agent = agent_of(model, history=HistoryMiddleware(memory, save=save), checkpointer=InMemorySaver())
        alone = Scripted(script=[one.model_copy(update={"id": None}) for one in script])
        without = agent_of(alone, history=None, checkpointer=InMemorySaver())
        for text in ("one", "two", "three"):
            await agent.ainvoke(human(text), CONFIG)
            await without.ainvoke(human(text), CONFIG)
        said = [(one.type, one.text) for one in await stored(memory) if one.type != "tool"]
        assert said == [("human", "one"), ("ai", "Hm."), ("human", "two"), ("ai", "a"), ("human", "three"), ("ai", "b")]
        assert [one for one in texts(model.seen[-1]) if "malformed" not in one] == ["one", "Hm.", "two", "a", "three"]


class TestApprovals:
    @BOTH
    @ORDERS
    @pytest.mark.parametrize("says", ["", "I pay now."])
    async def test_a_person_goes_on_instead(self, memory: chatmem.ChatMemory, save: Any, last: bool, says: str) -> None:
        """The model is never sent a tool call without a result, and everything that the person said is stored."""
        call = asking("Lima").model_copy(update={"content": says})
        model = Scripted(script=[call, lc.AIMessage("As you like."), lc.AIMessage("Hello.")])
        approval = HumanInTheLoopMiddleware(interrupt_on={"weather": True})
        agent = agent_of(
            model, approval, last=last, history=HistoryMiddleware(memory, save=save), checkpointer=InMemorySaver()
        )
        paused = await agent.ainvoke(human("Lima?"), CONFIG)
        assert paused["__interrupt__"]
        for text in ("never mind", "hello"):
            await agent.ainvoke(human(text), CONFIG)
            check(model.seen[-1])
        said = [one.text for one in await stored(memory) if one.type == "human"]
        assert said == ["Lima?", "never mind", "hello"]
        assert [one.text for one in model.seen[-1] if one.type == "human"] == said

    async def test_nothing_is_said_any_more(self, memory: chatmem.ChatMemory) -> None:
        model = Scripted(script=[asking("Lima"), lc.AIMessage("Well?")])
        approval = HumanInTheLoopMiddleware(interrupt_on={"weather": True})
        agent = agent_of(model, approval, history=HistoryMiddleware(memory), checkpointer=InMemorySaver())
        await agent.ainvoke(human("Lima?"), CONFIG)
        await agent.ainvoke({"messages": []}, CONFIG)
        assert texts(model.seen[-1]) == ["Lima?"]
        assert texts(await stored(memory)) == ["Lima?", "Well?"]

    @pytest.mark.parametrize("checkpointer", [False, True])
    async def test_a_result_that_comes_with_the_next_run(self, memory: chatmem.ChatMemory, checkpointer: bool) -> None:
        """If a client runs the tool, the next run gets the call together with its result."""
        history = memory.history("s")
        call = asking("Lima", "Rome")
        await history.append("Lima?", call, lc.ToolMessage("rain in Rome", tool_call_id="call-Rome"))
        model = Scripted(script=[lc.AIMessage("Fine."), lc.AIMessage("Bye.")])
        agent = agent_of(
            model, history=HistoryMiddleware(memory), checkpointer=InMemorySaver() if checkpointer else None
        )
        await agent.ainvoke({"messages": [lc.ToolMessage("fine", tool_call_id="call-Lima")]}, CONFIG)
        check(model.seen[-1])
        assert sorted(texts(model.seen[-1])) == sorted(["Lima?", "", "rain in Rome", "fine"])
        await agent.ainvoke(human("Thanks"), CONFIG)
        assert texts(await stored(memory)) == ["Lima?", "", "rain in Rome", "fine", "Fine.", "Thanks", "Bye."]
        check(model.seen[-1])


class TestErrors:
    @BOTH
    @pytest.mark.parametrize(
        ("script", "beside"),
        [
            ([RuntimeError("overloaded")], []),
            ([asking("Lima"), RuntimeError("overloaded")], []),
            ([asking("Atlantis", "Lima")], []),
            ([asking("Lima")], [ModelCallLimitMiddleware(run_limit=1, exit_behavior="error")]),
            ([asking("Lima", "Rome")], [ToolCallLimitMiddleware(run_limit=1, exit_behavior="error")]),
        ],
    )
    @pytest.mark.parametrize("checkpointer", [False, True])
    async def test_a_run_that_fails_and_one_more(
        self, memory: chatmem.ChatMemory, save: Any, script: list[Any], beside: list[Any], checkpointer: bool
    ) -> None:
        """The next run can be sent, no message is stored twice, and with save="step" nothing that was sent is lost."""
        model = Scripted(
            script=[
                *(one if isinstance(one, Exception) else one.model_copy() for one in script),
                lc.AIMessage("Hello."),
            ]
        )
        saver = InMemorySaver() if checkpointer else None
        agent = agent_of(model, *beside, history=HistoryMiddleware(memory, save=save), checkpointer=saver)
        with pytest.raises(Exception):  # noqa: B017 - whatever it is that ends the run
            await agent.ainvoke(human("Lima?"), CONFIG)
        after = await stored(memory)
        assert (texts(after)[:1] == ["Lima?"]) if save == "step" else after == []
        await agent.ainvoke(human("Hi"), CONFIG)
        check(model.seen[-1])
        done = await stored(memory)
        assert len({one.id for one in done}) == len(done)
        assert texts(done)[-2:] == ["Hi", "Hello."]
        assert texts(done).count("Lima?") == (save == "step" or checkpointer)

    @BOTH
    async def test_cancelled_in_a_tool(self, memory: chatmem.ChatMemory, save: Any) -> None:
        begun = asyncio.Event()

        @tool
        async def wait() -> str:
            """Wait forever."""
            begun.set()
            await asyncio.Event().wait()
            return ""

        call = lc.AIMessage("", tool_calls=[{"name": "wait", "args": {}, "id": "c"}])
        model = Scripted(script=[call, lc.AIMessage("Hello.")])
        agent = agent_of(model, tools=[wait], history=HistoryMiddleware(memory, save=save))
        run = asyncio.create_task(agent.ainvoke(human("Wait"), CONFIG))
        await begun.wait()
        assert [one.type for one in await stored(memory)] == (["human", "ai"] if save == "step" else [])
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await agent.ainvoke(human("Hi"), CONFIG)
        check(model.seen[-1])
        assert texts(await stored(memory))[-2:] == ["Hi", "Hello."]

    @BOTH
    async def test_gone_on_from_the_checkpoint(self, memory: chatmem.ChatMemory, save: Any) -> None:
        model = Scripted(script=[asking("Lima"), RuntimeError("overloaded"), lc.AIMessage("Fine.")])
        agent = agent_of(model, history=HistoryMiddleware(memory, save=save), checkpointer=InMemorySaver())
        with pytest.raises(RuntimeError):
            await agent.ainvoke(human("Lima?"), CONFIG)
        done = await agent.ainvoke(None, CONFIG)
        assert await stored(memory) == done["messages"]

    async def test_all_of_the_conversation_is_given_each_time(self, memory: chatmem.ChatMemory) -> None:
        """A client may pass the whole conversation, of which the window holds a part."""
        model = Scripted(script=[lc.AIMessage(str(i)) for i in range(4)])
        agent = agent_of(model, history=HistoryMiddleware(memory, messages=2))
        messages: list[Any] = []
        for i in range(4):
            messages = [*messages, lc.HumanMessage(f"h{i}", id=f"h{i}")]
            done = await agent.ainvoke({"messages": messages}, CONFIG)
            messages.append(done["messages"][-1])
        assert await stored(memory) == messages
        assert texts(model.seen[-1]) == ["h2", "2", "h3"]


class TestInside:
    @BOTH
    @pytest.mark.parametrize("sync", [False, True])
    async def test_an_agent_in_a_tool(self, memory: chatmem.ChatMemory, save: Any, sync: bool) -> None:
        """An inner agent stores nothing under the outer run's session, and its messages under a session of its own."""
        history = HistoryMiddleware(memory, save=save)
        inner_model = Scripted(script=[asking("Lima"), lc.AIMessage("inner 0"), lc.AIMessage("inner 1")])
        inner = agent_of(inner_model, history=HistoryMiddleware(memory, save=save))

        @tool
        def ask(text: str) -> str:
            """Ask another agent."""
            own = {"configurable": {"session_id": "own"}} if text == "own" else None
            return str(inner.invoke(human(text), own)["messages"][-1].text)

        @tool
        async def ask_later(text: str) -> str:
            """Ask another agent."""
            own = {"configurable": {"session_id": "own"}} if text == "own" else None
            return str((await inner.ainvoke(human(text), own))["messages"][-1].text)

        def call(text: str) -> lc.AIMessage:
            name = "ask" if sync else "ask_later"
            return lc.AIMessage("", tool_calls=[{"name": name, "args": {"text": text}, "id": text}])

        model = Scripted(script=[call("same"), call("own"), lc.AIMessage("Done.")])
        agent = agent_of(model, tools=[ask, ask_later], history=history)
        given = human("Go")
        done = agent.invoke(given, CONFIG) if sync else await agent.ainvoke(given, CONFIG)
        assert await stored(memory) == done["messages"]
        assert texts(done["messages"]) == ["Go", "", "inner 0", "", "inner 1", "Done."]
        assert texts(inner_model.seen[0]) == ["same"]
        assert texts(await memory.history("own").messages()) == ["own", "inner 1"]


class TestTimeTravel:
    async def _talk(self, memory: chatmem.ChatMemory, *answers: Any) -> tuple[Scripted, Any]:
        model = Scripted(script=[lc.AIMessage(one) if isinstance(one, str) else one for one in answers])
        agent = agent_of(model, history=HistoryMiddleware(memory), checkpointer=InMemorySaver())
        return model, agent

    async def _checkpoint(self, agent: Any, said: str) -> Any:
        """Return the config of the last checkpoint whose run is over and whose state ends with a text."""
        async for one in agent.aget_state_history(CONFIG):
            messages = one.values.get("messages", [])
            if not one.next and messages and messages[-1].text == said:
                return {"configurable": {**one.config["configurable"], "session_id": "s"}}
        raise AssertionError(said)

    async def _before(self, agent: Any, node: str) -> Any:
        """Return the last checkpoint before a node."""
        async for one in agent.aget_state_history(CONFIG):
            if node in one.next:
                return one
        raise AssertionError(node)

    @pytest.mark.parametrize("sync", [False, True])
    async def test_something_else_is_said(self, memory: chatmem.ChatMemory, sync: bool) -> None:
        """The memory and the next runs have the new branch, and what others stored."""
        model, agent = await self._talk(memory, "a", "b", "c", "d")
        await agent.ainvoke(human("one"), CONFIG)
        await memory.history("s").append(lc.HumanMessage("from another device", id="other"))
        await agent.ainvoke(human("two"), CONFIG)
        await memory.history("s").append("and again")
        older = await self._checkpoint(agent, "a")
        if sync:
            agent.invoke(human("other"), older)
        else:
            await agent.ainvoke(human("other"), older)
        said = ["one", "a", "from another device", "and again", "other", "c"]
        assert texts(await stored(memory)) == said
        await agent.ainvoke(human("more"), CONFIG)
        assert texts(model.seen[-1]) == [*said, "more"]

    async def test_the_model_is_asked_again(self, memory: chatmem.ChatMemory) -> None:
        """A run without new input from before the answer replaces the answer."""
        model, agent = await self._talk(memory, "a", "b", "c", "d")
        for text in ("one", "two"):
            await agent.ainvoke(human(text), CONFIG)
        before = await self._before(agent, "model")
        again = {"configurable": {**before.config["configurable"], "session_id": "s"}}
        await agent.ainvoke(None, again)
        assert texts(await stored(memory)) == ["one", "a", "two", "c"]
        await agent.ainvoke(human("more"), CONFIG)
        assert texts(model.seen[-1]) == ["one", "a", "two", "c", "more"]

    async def test_the_tools_run_again(self, memory: chatmem.ChatMemory) -> None:
        model, agent = await self._talk(memory, asking("Lima", "Rome"), "a", "b", "c")
        await agent.ainvoke(human("one"), CONFIG)
        before = await self._before(agent, "tools")
        again = {"configurable": {**before.config["configurable"], "session_id": "s"}}
        done = await agent.ainvoke(None, again)
        assert texts(done["messages"]) == ["one", "", "fine in Lima", "fine in Rome", "b"]
        assert await stored(memory) == done["messages"]
        await agent.ainvoke(human("more"), CONFIG)
        assert texts(model.seen[-1]) == [*texts(done["messages"]), "more"]

    async def test_a_state_that_was_edited(self, memory: chatmem.ChatMemory) -> None:
        """A run may continue from an older state in which the question was changed."""
        model, agent = await self._talk(memory, "a", "b", "c", "d")
        for text in ("one", "two"):
            await agent.ainvoke(human(text), CONFIG)
        before = await self._before(agent, "model")
        asked = before.values["messages"][-1]
        fork = await agent.aupdate_state(before.config, {"messages": [lc.HumanMessage("zwei", id=asked.id)]})
        await agent.ainvoke(None, {"configurable": {**fork["configurable"], "session_id": "s"}})
        assert texts(await stored(memory)) == ["one", "a", "zwei", "c"]
        await agent.ainvoke(human("more"), CONFIG)
        assert texts(model.seen[-1]) == ["one", "a", "zwei", "c", "more"]

    async def test_back_to_the_branch_that_was_left(self, memory: chatmem.ChatMemory) -> None:
        model, agent = await self._talk(memory, "a", "b", "c", "d", "e")
        for text in ("one", "two"):
            await agent.ainvoke(human(text), CONFIG)
        await agent.ainvoke(human("other"), await self._checkpoint(agent, "a"))
        assert texts(await stored(memory)) == ["one", "a", "other", "c"]
        await agent.ainvoke(human("back"), await self._checkpoint(agent, "b"))
        assert texts(model.seen[-1]) == ["one", "a", "two", "b", "back"]
        assert texts(await stored(memory)) == ["one", "a", "two", "b", "back", "d"]
        await agent.ainvoke(human("more"), CONFIG)
        assert texts(model.seen[-1]) == ["one", "a", "two", "b", "back", "d", "more"]

    async def test_several_runs_later(self, memory: chatmem.ChatMemory) -> None:
        _, agent = await self._talk(memory, "a", asking("Lima"), "b", "c", "d", "e")
        for text in ("one", "two", "three", "four"):
            await agent.ainvoke(human(text), CONFIG)
        await agent.ainvoke(human("other"), await self._checkpoint(agent, "a"))
        assert texts(await stored(memory)) == ["one", "a", "other", "e"]

    async def test_a_branch_that_failed(self, memory: chatmem.ChatMemory) -> None:
        """Messages that an unfinished run stored are removed, too."""
        _, agent = await self._talk(memory, "a", asking("Atlantis"), "b")
        await agent.ainvoke(human("one"), CONFIG)
        with pytest.raises(LookupError):
            await agent.ainvoke(human("two"), CONFIG)
        assert texts(await stored(memory)) == ["one", "a", "two", ""]
        await agent.ainvoke(human("other"), await self._checkpoint(agent, "a"))
        assert texts(await stored(memory)) == ["one", "a", "other", "b"]

    async def test_the_latest_checkpoint_by_its_name(self, memory: chatmem.ChatMemory) -> None:
        """A run from the thread's last checkpoint abandons nothing."""
        model, agent = await self._talk(memory, "a", "b")
        await agent.ainvoke(human("one"), CONFIG)
        await memory.history("s").append("from another device")
        await agent.ainvoke(human("two"), await self._checkpoint(agent, "a"))
        assert texts(model.seen[-1]) == ["one", "a", "from another device", "two"]
        assert texts(await stored(memory)) == ["one", "a", "from another device", "two", "b"]


class TestUsers:
    @pytest.mark.parametrize(
        ("user", "name"),
        [
            ("alice", "alice"),
            (7, "7"),
            (UUID(int=7), str(UUID(int=7))),
            (SimpleNamespace(identity="alice", is_authenticated=True), "alice"),
            ({"identity": "alice", "role": "admin"}, "alice"),
        ],
    )
    @pytest.mark.parametrize("key", ["user", "langgraph_auth_user"])
    async def test_what_names_a_user(self, memory: chatmem.ChatMemory, user: Any, name: str, key: str) -> None:
        """A user may be an id or an object with an identity, such as LangGraph Platform's authenticated user."""
        agent = agent_of(Scripted(script=[lc.AIMessage("a")]), history=HistoryMiddleware(memory))
        await agent.ainvoke(human("Hi"), {"configurable": {"session_id": "s", key: user}})
        assert (await memory.history("s").info()).user == name

    @pytest.mark.parametrize("user", [object(), SimpleNamespace(id=1), {"id": 1}, True, 1.5])
    async def test_what_names_none(self, memory: chatmem.ChatMemory, user: Any) -> None:
        agent = agent_of(Scripted(script=[lc.AIMessage("a")]), history=HistoryMiddleware(memory))
        with pytest.raises(ValueError, match=r"user must be .* pass the user's id"):
            await agent.ainvoke(human("Hi"), {"configurable": {"session_id": "s", "user": user}})

    async def test_a_client_that_says_it_is_another(self, memory: chatmem.ChatMemory) -> None:
        """On LangGraph Platform the config's user comes from the client, the authenticated user from the server."""
        agent = agent_of(Scripted(script=[lc.AIMessage("a")]), history=HistoryMiddleware(memory))
        config = {"session_id": "s", "user": "alice", "langgraph_auth_user": SimpleNamespace(identity="bob")}
        with pytest.raises(ValueError, match="authenticated"):
            await agent.ainvoke(human("Hi"), {"configurable": config})

    @BOTH
    @pytest.mark.parametrize("owner", ["alice", None])
    @pytest.mark.parametrize("mode", ["values", "updates", "messages", "debug"])
    async def test_a_session_of_another(
        self, memory: chatmem.ChatMemory, save: Any, owner: str | None, mode: Any
    ) -> None:
        """Nothing of another user's session is streamed or sent to a model, and nothing is stored in it."""
        await memory.history("s", user=owner).append("my card is 4242", ("ai", "noted"))
        model = Scripted(script=[lc.AIMessage("a")])
        agent = agent_of(model, history=HistoryMiddleware(memory, save=save))
        parts: list[Any] = []
        with pytest.raises(NotFoundError) as raised:
            async for part in agent.astream(
                human("Hi"), {"configurable": {"session_id": "s", "user": "bob"}}, stream_mode=mode
            ):
                parts.append(part)  # noqa: PERF401 - what came before the error counts
        assert "4242" not in repr(parts) + str(raised.value)
        assert "alice" not in str(raised.value)
        assert model.seen == []
        assert await memory.history("s").count() == 2
