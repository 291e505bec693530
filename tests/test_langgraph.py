"""Real graphs with the nodes that load and save: they store each message once, however they run."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.version import VERSION

if tuple(map(int, VERSION.split(".")[:2])) < (1, 2):
    pytest.skip("langgraph needs a later langchain-core than the oldest that chatmem takes", allow_module_level=True)

from langchain_core import messages as lc
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, RetryPolicy, interrupt
from pydantic import BaseModel

import chatmem
import chatmem.sync
from chatmem.errors import NotFoundError
from chatmem.langgraph import HistoryNodes
from tests.exchanges import halves
from tests.scripted import Scripted, asking, check_naming, weather

CONFIG: Any = {"configurable": {"session_id": "s", "user": "alice", "thread_id": "t"}}
TURN = [("human", "Lima?"), ("ai", ""), ("tool", "fine in Lima"), ("tool", "fine in Rome"), ("ai", "Fine in both.")]


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


async def stored(memory: chatmem.ChatMemory) -> list[tuple[str, str]]:
    return [(message.type, message.text) for message in await memory.history("s").messages()]


def loop(model: Scripted, nodes: HistoryNodes, *, often: bool = True, **options: Any) -> Any:
    """Return a graph of an agent and its tools that saves after each step, or once at the end."""

    def agent(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph: Any = StateGraph(MessagesState)
    graph.add_node("load", nodes.load)
    graph.add_node("agent", agent)
    graph.add_node("tools", ToolNode([weather], handle_tool_errors=False))
    graph.add_node("save", nodes.save)
    graph.add_edge(START, "load")
    graph.add_edge("load", "agent")
    graph.add_edge("tools", "agent")
    if often:
        graph.add_edge("agent", "save")
        graph.add_conditional_edges("save", tools_condition)
    else:
        graph.add_conditional_edges("agent", tools_condition, {"tools": "tools", END: "save"})
        graph.add_edge("save", END)
    return graph.compile(**options)


async def call(graph: Any, way: str, given: Any) -> None:
    if way == "invoke":
        graph.invoke(given, CONFIG)
    elif way == "ainvoke":
        await graph.ainvoke(given, CONFIG)
    elif way.startswith("stream"):
        assert list(graph.stream(given, CONFIG, stream_mode=way.partition(" ")[2]))
    else:
        assert [part async for part in graph.astream(given, CONFIG, stream_mode=way.partition(" ")[2])]


WAYS = ["invoke", "ainvoke", "stream values", "stream updates", "astream messages", "astream debug"]


@pytest.mark.parametrize("often", [False, True])
@pytest.mark.parametrize("checkpointer", [False, True])
@pytest.mark.parametrize("way", WAYS)
async def test_two_turns(memory: chatmem.ChatMemory, often: bool, checkpointer: bool, way: str) -> None:
    """A run with parallel tool calls, and the next run, store each message once, with and without a checkpointer."""
    model = Scripted(script=[asking("Lima", "Rome"), lc.AIMessage("Fine in both."), lc.AIMessage("Bye.")])
    options = {"checkpointer": InMemorySaver()} if checkpointer else {}
    graph = loop(model, HistoryNodes(memory), often=often, **options)
    for text in ("Lima?", "Thanks"):
        await call(graph, way, {"messages": [("human", text)]})
        if not checkpointer:
            graph = loop(model, HistoryNodes(memory), often=often)
    assert await stored(memory) == [*TURN, ("human", "Thanks"), ("ai", "Bye.")]
    assert [(m.type, m.text) for m in model.seen[-1]] == [*TURN, ("human", "Thanks")]
    assert (await memory.sessions("alice")).sessions[0].session_id == "s"


@pytest.mark.parametrize("checkpointer", [False, True])
async def test_a_session_that_others_wrote_to(memory: chatmem.ChatMemory, checkpointer: bool) -> None:
    """The agent gets a window of the stored messages, even of those without ids that others stored between the runs."""
    history = memory.history("s", user="alice")
    model = Scripted(script=[lc.AIMessage(f"answer {text}") for text in ("one", "two")])
    graph = loop(model, HistoryNodes(memory, messages=4), checkpointer=InMemorySaver() if checkpointer else None)
    await history.append(lc.SystemMessage("Be brief."), "earlier", ("ai", "yes"))
    await call(graph, "ainvoke", {"messages": [("human", "one")]})
    await history.append("by phone", ("ai", "noted"))
    await call(graph, "ainvoke", {"messages": [("human", "two")]})
    said = ["Be brief.", "earlier", "yes", "one", "answer one", "by phone", "noted", "two", "answer two"]
    assert [text for _, text in await stored(memory)] == said
    assert [m.text for m in model.seen[-1]] == ["Be brief.", "by phone", "noted", "two"]


@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_a_stream_of_messages_shows_what_is_new(memory: chatmem.ChatMemory, way: str) -> None:
    """The messages that `load` puts into the state are not streamed."""
    history = memory.history("s", user="alice")
    await history.append("earlier", ("ai", "yes"), lc.HumanMessage("with an id", id="1"), ("ai", "ok"))
    graph = loop(Scripted(script=[lc.AIMessage("Hello.")]), HistoryNodes(memory))
    given = {"messages": [("human", "Hi")]}
    if way == "stream":
        parts = list(graph.stream(given, CONFIG, stream_mode="messages"))
    else:
        parts = [part async for part in graph.astream(given, CONFIG, stream_mode="messages")]
    assert "".join(message.text for message, _ in parts) == "Hello."
    assert {where["langgraph_node"] for _, where in parts} == {"agent"}


class TestInterruptions:
    @pytest.mark.parametrize("often", [False, True])
    async def test_interrupt_and_resume(self, memory: chatmem.ChatMemory, often: bool) -> None:
        """A graph interrupted between a tool call and its result, and resumed elsewhere, stores each message once."""
        model, saver = Scripted(script=[asking("Lima"), lc.AIMessage("Fine.")]), InMemorySaver()

        def graph() -> Any:
            nodes = HistoryNodes(memory)
            built = StateGraph(MessagesState)
            built.add_node("load", nodes.load)
            built.add_node("save", nodes.save)
            built.add_node("saved", nodes.save)
            built.add_node("agent", lambda state: {"messages": [model.invoke(state["messages"])]})
            built.add_node("approve", lambda state: {} if interrupt("may I?") == "yes" else {"messages": []})
            built.add_node("tools", ToolNode([weather]))
            built.add_edge(START, "load")
            built.add_edge("load", "agent")
            built.add_edge("agent", "save" if often else "approve")
            built.add_edge("save", "approve")
            built.add_conditional_edges("approve", tools_condition, {"tools": "tools", END: "saved"})
            built.add_edge("tools", "agent")
            return built.compile(checkpointer=saver)

        paused = await graph().ainvoke({"messages": [("human", "Lima?")]}, CONFIG)
        assert paused["__interrupt__"]
        assert len(await stored(memory)) == (2 if often else 0)
        again = await graph().ainvoke(Command(resume="yes"), CONFIG)
        assert again["__interrupt__"]
        await graph().ainvoke(Command(resume="yes"), CONFIG)
        assert await stored(memory) == [("human", "Lima?"), ("ai", ""), ("tool", "fine in Lima"), ("ai", "Fine.")]

    async def test_an_error_in_the_middle(self, memory: chatmem.ChatMemory) -> None:
        """What was stored before the error stays, and the next run gets no tool call without its result."""
        model = Scripted(script=[asking("Atlantis"), lc.AIMessage("Hello.")])
        graph = loop(model, HistoryNodes(memory))
        with pytest.raises(LookupError):
            await graph.ainvoke({"messages": [("human", "Atlantis?")]}, CONFIG)
        assert await stored(memory) == [("human", "Atlantis?"), ("ai", "")]
        await graph.ainvoke({"messages": [("human", "Hi")]}, CONFIG)
        assert not halves(model.seen[-1])
        assert await stored(memory) == [("human", "Atlantis?"), ("ai", ""), ("human", "Hi"), ("ai", "Hello.")]

    async def test_a_failed_run_goes_on(self, memory: chatmem.ChatMemory) -> None:
        """A run resumed from its checkpoint runs the failed node again, and stores nothing twice."""
        script = [asking("Lima"), RuntimeError("overloaded"), lc.AIMessage("Fine.")]
        graph = loop(Scripted(script=script), HistoryNodes(memory), checkpointer=InMemorySaver())
        with pytest.raises(RuntimeError):
            await graph.ainvoke({"messages": [("human", "Lima?")]}, CONFIG)
        await graph.ainvoke(None, CONFIG)
        assert await stored(memory) == [("human", "Lima?"), ("ai", ""), ("tool", "fine in Lima"), ("ai", "Fine.")]

    async def test_the_same_input_again(self, memory: chatmem.ChatMemory) -> None:
        """Without a checkpointer, the same input is stored once if it has an id."""
        graph = loop(
            Scripted(script=[RuntimeError("overloaded"), lc.AIMessage("a"), lc.AIMessage("b")]), HistoryNodes(memory)
        )
        given = {"messages": [lc.HumanMessage("Hi", id="h1")]}
        with pytest.raises(RuntimeError):
            await graph.ainvoke(given, CONFIG)
        await graph.ainvoke(given, CONFIG)
        assert await stored(memory) == [("human", "Hi"), ("ai", "a")]

    @pytest.mark.parametrize("way", ["invoke", "ainvoke"])
    async def test_a_node_that_is_tried_again(self, memory: chatmem.ChatMemory, way: str) -> None:
        """LangGraph's retry after an append whose reply was lost stores nothing twice."""
        nodes, tries = HistoryNodes(memory), []

        def fail_once(done: Any) -> Any:
            tries.append(done)
            if len(tries) == 1:
                raise ConnectionError("the answer was lost")
            return done

        graph: Any = StateGraph(MessagesState)
        graph.add_node("load", nodes.load)
        graph.add_node("save", nodes.save | RunnableLambda(fail_once), retry_policy=RetryPolicy(initial_interval=0.01))
        graph.add_edge(START, "load")
        graph.add_edge("load", "save")
        await call(graph.compile(), way, {"messages": [("human", "Hi")]})
        assert len(tries) == 2
        assert await stored(memory) == [("human", "Hi")]

    @pytest.mark.parametrize("checkpointer", [False, True])
    async def test_branches(self, memory: chatmem.ChatMemory, checkpointer: bool) -> None:
        """Parallel nodes, each followed by a `save`, and a `save` at the end store each message once."""
        nodes = HistoryNodes(memory)
        graph: Any = StateGraph(MessagesState)
        graph.add_node("load", nodes.load)
        graph.add_node("end", nodes.save)
        graph.add_edge(START, "load")
        for name in ("a", "b"):
            graph.add_node(name, lambda state, name=name: {"messages": [lc.AIMessage(name)]})
            graph.add_node(f"save {name}", nodes.save)
            graph.add_edge("load", name)
            graph.add_edge(name, f"save {name}")
            graph.add_edge(f"save {name}", "end")
        agent = graph.compile(checkpointer=InMemorySaver() if checkpointer else None)
        for _ in range(2):
            await agent.ainvoke({"messages": [("human", "Hi")]}, CONFIG)
        assert await stored(memory) == [("human", "Hi"), ("ai", "a"), ("ai", "b")] * 2

    async def test_messages_that_a_node_removes(self, memory: chatmem.ChatMemory) -> None:
        """Even if the last stored message is removed from the state, the others are recognised by their ids."""
        await memory.history("s", user="alice").append("without an id", ("ai", "yes"))
        nodes = HistoryNodes(memory)
        graph: Any = StateGraph(MessagesState)
        graph.add_node("load", nodes.load)
        graph.add_node("save", nodes.save)
        graph.add_node("forget", lambda state: {"messages": [lc.RemoveMessage(id=state["messages"][1].id)]})
        graph.add_edge(START, "load")
        graph.add_edge("load", "forget")
        graph.add_edge("forget", "save")
        done = await graph.compile().ainvoke({"messages": [("human", "Hi")]}, CONFIG)
        assert [message.text for message in done["messages"]] == ["without an id", "Hi"]
        assert await stored(memory) == [("human", "without an id"), ("ai", "yes"), ("human", "Hi")]


def _chain(*nodes: tuple[str, Any], **options: Any) -> Any:
    """Return a graph that runs nodes one after the other."""
    graph: Any = StateGraph(MessagesState)
    before = START
    for name, node in nodes:
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    return graph.compile(**options)


class TestChanges:
    async def test_a_node_that_redacts_what_is_stored(self, memory: chatmem.ChatMemory) -> None:
        """The next `save` replaces the stored message, also if the state was changed between two runs."""

        def redact(state: MessagesState) -> dict[str, Any]:
            return {"messages": [one.model_copy(update={"content": "[redacted]"}) for one in state["messages"][-1:]]}

        nodes = HistoryNodes(memory)
        steps = [("load", nodes.load), ("save", nodes.save), ("redact", redact)]
        for end in ([("again", nodes.save)], []):
            graph = _chain(*steps, *end, checkpointer=InMemorySaver())
            await graph.ainvoke({"messages": [("human", "4242")]}, CONFIG)
        assert [text for _, text in await stored(memory)] == ["[redacted]", "4242"]
        await graph.ainvoke({"messages": [("human", "Hi")]}, CONFIG)
        assert [text for _, text in await stored(memory)] == ["[redacted]", "[redacted]", "Hi"]

    async def test_a_node_that_puts_a_message_before_others(self, memory: chatmem.ChatMemory) -> None:
        def insert(state: MessagesState) -> dict[str, Any]:
            first, *rest = state["messages"]
            return {"messages": [lc.RemoveMessage(id=REMOVE_ALL_MESSAGES), first, lc.AIMessage("between"), *rest]}

        nodes = HistoryNodes(memory)
        graph = _chain(("load", nodes.load), ("save", nodes.save), ("insert", insert), ("again", nodes.save))
        done = await graph.ainvoke({"messages": [("human", "a"), ("human", "b")]}, CONFIG)
        assert await memory.history("s").messages() == done["messages"]

    async def test_a_person_goes_on_instead_of_an_approval(self, memory: chatmem.ChatMemory) -> None:
        """No model is sent a tool call without its result, whether the call is stored or not."""

        def approve(state: MessagesState) -> None:
            if state["messages"][-1].type == "ai":
                interrupt("may I?")

        for between in ((), ("save",)):
            await memory.history("s", user="alice").clear()
            nodes = HistoryNodes(memory)
            model = Scripted(script=[asking("Lima"), asking("Rome"), lc.AIMessage("Hello.")])

            def agent(state: MessagesState, model: Scripted = model) -> dict[str, Any]:
                return {"messages": [model.invoke(state["messages"])]}

            saves = [(name, nodes.save) for name in between]
            graph = _chain(
                ("load", nodes.load), ("agent", agent), *saves, ("approve", approve), checkpointer=InMemorySaver()
            )
            for text in ("one", "two", "three"):
                await graph.ainvoke({"messages": [("human", text)]}, CONFIG)
            assert [message.text for message in model.seen[-1]] == ["one", "two", "three"]

    async def test_a_call_that_is_the_input(self, memory: chatmem.ChatMemory) -> None:
        """A run that begins with a tool call keeps it, since its tools come next."""
        nodes = HistoryNodes(memory)
        graph = _chain(("load", nodes.load), ("tools", ToolNode([weather])), ("save", nodes.save))
        await graph.ainvoke({"messages": [lc.HumanMessage("Lima?"), asking("Lima")]}, CONFIG)
        assert await stored(memory) == [("human", "Lima?"), ("ai", ""), ("tool", "fine in Lima")]

    async def test_an_older_checkpoint(self, memory: chatmem.ChatMemory) -> None:
        nodes = HistoryNodes(memory)
        graph = _chain(("load", nodes.load), ("save", nodes.save), checkpointer=InMemorySaver())
        for text in ("a", "b"):
            await graph.ainvoke({"messages": [("human", text)]}, CONFIG)
        older = [one async for one in graph.aget_state_history(CONFIG) if not one.next][-1]
        config = {"configurable": {**CONFIG["configurable"], **older.config["configurable"]}}
        await graph.ainvoke({"messages": [("human", "c")]}, config)
        assert [text for _, text in await stored(memory)] == ["a", "c"]

    async def test_a_session_of_another(self, memory: chatmem.ChatMemory) -> None:
        await memory.history("s", user="bob").append("my card is 4242")
        nodes = HistoryNodes(memory)
        parts: list[Any] = []
        for graph in (_chain(("load", nodes.load), ("save", nodes.save)), _chain(("save", nodes.save))):
            with pytest.raises(NotFoundError):
                async for part in graph.astream({"messages": [("human", "Hi")]}, CONFIG, stream_mode="values"):
                    parts.append(part)  # noqa: PERF401 - what came before the error counts
        assert "4242" not in repr(parts)
        assert await stored(memory) == [("human", "my card is 4242")]


class _Model(BaseModel):
    messages: Annotated[list[lc.AnyMessage], add_messages]
    steps: int = 0


@dataclass
class _Dataclass:
    messages: Annotated[list[lc.AnyMessage], add_messages] = field(default_factory=list)
    steps: int = 0


class _Dict(TypedDict):
    messages: Annotated[list[lc.AnyMessage], add_messages]
    steps: int


class _Added(TypedDict):
    messages: Annotated[list[Any], operator.add]


class _Plain(TypedDict):
    messages: list[Any]


class TestStates:
    @pytest.mark.parametrize("schema", [_Model, _Dataclass, _Dict])
    async def test_any_schema(self, memory: chatmem.ChatMemory, schema: Any) -> None:
        """A state schema of the user's own works, and other nodes do not see what the nodes keep in the state."""
        nodes = HistoryNodes(memory)
        seen: list[Any] = []

        def agent(state: schema) -> dict[str, Any]:
            seen.append(state)
            return {"messages": [lc.AIMessage("Hello.")], "steps": 1}

        graph: Any = StateGraph(schema)
        graph.add_node("load", nodes.load)
        graph.add_node("agent", agent)
        graph.add_node("save", nodes.save)
        graph.add_edge(START, "load")
        graph.add_edge("load", "agent")
        graph.add_edge("agent", "save")
        for _ in range(2):
            done = await graph.compile().ainvoke({"messages": [("human", "Hi")], "steps": 0}, CONFIG)
        assert set(done) == {"messages", "steps"}
        assert len(done["messages"]) == 4
        assert "history_saved" not in str(seen)
        assert await stored(memory) == [("human", "Hi"), ("ai", "Hello.")] * 2

    async def test_a_subgraph(self, memory: chatmem.ChatMemory) -> None:
        """A graph that is a node of another graph works with the other's checkpointer."""
        inner = loop(Scripted(script=[lc.AIMessage("one"), lc.AIMessage("two")]), HistoryNodes(memory))
        outer: Any = StateGraph(MessagesState)
        outer.add_node("talk", inner)
        outer.add_edge(START, "talk")
        graph = outer.compile(checkpointer=InMemorySaver())
        for text in ("a", "b"):
            await graph.ainvoke({"messages": [("human", text)]}, CONFIG)
        assert [text for _, text in await stored(memory)] == ["a", "one", "b", "two"]

    @pytest.mark.parametrize("schema", [_Added, _Plain])
    async def test_without_the_reducer(self, memory: chatmem.ChatMemory, schema: Any) -> None:
        """A state without ids is an error that names the reducer, and nothing is stored."""
        nodes = HistoryNodes(memory)
        graph: Any = StateGraph(schema)
        graph.add_node("load", nodes.load)
        graph.add_node("save", nodes.save)
        graph.add_edge(START, "load")
        graph.add_edge("load", "save")
        with pytest.raises(ValueError, match="add_messages"):
            await graph.compile().ainvoke({"messages": [lc.HumanMessage("Hi")]}, CONFIG)
        assert await stored(memory) == []

    async def test_where_the_session_is_named(self, memory: chatmem.ChatMemory) -> None:
        """The session comes from the context, else the config, else the thread; without one, the error says how."""
        nodes = HistoryNodes(memory)
        built: Any = StateGraph(MessagesState, context_schema=dict)
        built.add_node("load", nodes.load)
        built.add_node("save", nodes.save)
        built.add_edge(START, "load")
        built.add_edge("load", "save")
        graph = built.compile()
        await check_naming(memory, graph, messages=1)

    def test_a_synchronous_memory(self, url: str, prefix: str) -> None:
        with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory:
            graph = loop(Scripted(script=[lc.AIMessage("a")]), HistoryNodes(memory, turns=3))
            graph.invoke({"messages": [("human", "x")]}, CONFIG)
            assert memory.history("s").count() == 2

    @pytest.mark.parametrize("wrong", [{"messages": 0}, {"tokens": -1}, {"token_counter": "exact"}])
    async def test_wrong_arguments(self, memory: chatmem.ChatMemory, wrong: Any) -> None:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            HistoryNodes(memory, **wrong)
