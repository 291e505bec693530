"""Beside LangChain's SummarizationMiddleware: the memory stores the summary, so no run makes it again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.version import VERSION

if tuple(map(int, VERSION.split(".")[:2])) < (1, 2):
    pytest.skip("langgraph needs a later langchain-core than the oldest that chatmem takes", allow_module_level=True)

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, PIIMiddleware, SummarizationMiddleware
from langchain_core import messages as lc
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES

import chatmem
import chatmem.sync
from chatmem.langchain import HistoryMiddleware
from chatmem.langgraph import HistoryNodes
from tests.providers import check
from tests.scripted import Scripted, asking, weather

CONFIG: Any = {"configurable": {"session_id": "s", "thread_id": "t"}}
BOTH = pytest.mark.parametrize("save", ["step", "end"])
CHECKPOINTER = pytest.mark.parametrize("checkpointer", [False, True])


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


class Talk:
    """An agent that summarizes; each turn has a tool exchange every third time.

    Attributes:
        model: what the agent asks.
        brief: what the summaries are asked of.
    """

    def __init__(
        self, history: HistoryMiddleware | None, *beside: Any, saver: Any = None, trigger: int = 12, keep: int = 4
    ) -> None:
        self.model = Scripted(script=[])
        self.brief = Scripted(script=[lc.AIMessage(f"summary {i}") for i in range(40)])
        summarizer = SummarizationMiddleware(self.brief, trigger=("messages", trigger), keep=("messages", keep))
        own = [] if history is None else [history]
        self.agent: Any = create_agent(
            self.model, [weather], middleware=[*own, summarizer, *beside], checkpointer=saver
        )

    def given(self, turn: int) -> dict[str, Any]:
        """Write the script of a turn; return its input."""
        call = asking(f"city {turn}") if turn % 3 == 2 else None
        self.model.script[:] = [*([call] if call else []), lc.AIMessage(f"answer {turn}")]
        return {"messages": [("human", f"question {turn}")]}

    async def turn(self, turn: int, config: Any = CONFIG) -> Any:
        """Run a turn; check everything that the model was sent."""
        done = await self.agent.ainvoke(self.given(turn), config)
        self.check()
        return done

    def check(self) -> None:
        """Check that no request of the run is refused, or holds two summaries."""
        for sent in self.model.seen:
            check(sent)
            assert len([one for one in sent if "Here is a summary" in one.text]) <= 1

    @property
    def sent(self) -> list[str]:
        """The texts that the model was sent last."""
        return [str(one.text) for one in self.model.seen[-1]]


def said(turns: int) -> list[tuple[str, str]]:
    """Return what so many turns said."""
    found = []
    for turn in range(turns):
        found.append(("human", f"question {turn}"))
        if turn % 3 == 2:
            found += [("ai", ""), ("tool", f"fine in city {turn}")]
        found.append(("ai", f"answer {turn}"))
    return found


def kinds(messages: list[lc.BaseMessage]) -> list[tuple[str, str]]:
    return [(one.type, str(one.text)) for one in messages]


async def summary_of(memory: chatmem.ChatMemory) -> tuple[list[str], str | None]:
    """Return the texts of the stored summary, and the text of the last message that it speaks of."""
    history = memory.history("s")
    found = await history.summary()
    last = None if found is None or found.up_to is None else await history.get(found.up_to)
    return (
        [] if found is None else [str(one.text) for one in found.messages],
        str(last.message.text) if last and last.message else None,
    )


@BOTH
@CHECKPOINTER
@pytest.mark.parametrize("sync", [False, True])
async def test_twenty_turns(
    url: str, prefix: str, memory: chatmem.ChatMemory, save: Any, checkpointer: bool, sync: bool
) -> None:
    """There are no more summaries than with a checkpointer alone, and the memory still has all turns."""
    alone = Talk(None, saver=InMemorySaver())
    saver = InMemorySaver() if checkpointer else None
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as blocking:
        talk = Talk(HistoryMiddleware(blocking if sync else memory, save=save), saver=saver)
        for turn in range(20):
            await alone.turn(turn)
            if sync:
                talk.agent.invoke(talk.given(turn), CONFIG)
                talk.check()
            else:
                await talk.turn(turn)
            assert kinds(await memory.history("s").messages()) == said(turn + 1)
    assert 2 < len(talk.brief.seen) <= len(alone.brief.seen)
    assert [kinds(sent) for sent in talk.model.seen] == [kinds(sent) for sent in alone.model.seen]


@CHECKPOINTER
@pytest.mark.parametrize("options", [{"tokens": 1}, {"tokens": 60}, {"messages": 1}, {"messages": 6}, {"turns": 2}])
async def test_a_limit_beside_it(memory: chatmem.ChatMemory, checkpointer: bool, options: Any) -> None:
    """A window that has less room than the summary needs holds the summary nevertheless."""
    talk = Talk(
        HistoryMiddleware(memory, **options), saver=InMemorySaver() if checkpointer else None, trigger=5, keep=1
    )
    await memory.history("s").append(*said(2))
    await memory.history("s").summarize(up_to=2, summary=["first " * 90])
    for turn in range(2, 12):
        await talk.turn(turn)
        assert talk.sent[0].startswith(("first ", "Here is a summary"))
    assert kinds(await memory.history("s").messages()) == said(12)


class TestWhatIsStored:
    @BOTH
    @CHECKPOINTER
    async def test_up_to_where_it_speaks(self, memory: chatmem.ChatMemory, save: Any, checkpointer: bool) -> None:
        """It speaks of what is in front of the first message that the state keeps, also if that is new."""
        saver = InMemorySaver() if checkpointer else None
        talk = Talk(HistoryMiddleware(memory, save=save), saver=saver, trigger=4, keep=1)
        for turn in range(2):
            await talk.turn(turn)
        assert await summary_of(memory) == ([], None)
        await talk.turn(2)  # it summarizes twice, the second time behind its own tool exchange
        texts, last = await summary_of(memory)
        assert (texts, last) == (["Here is a summary of the conversation to date:\n\nsummary 1"], "question 2")
        other = Talk(HistoryMiddleware(memory), saver=saver)
        await other.turn(3)
        assert other.sent == [*texts, "", "fine in city 2", "answer 2", "question 3"]

    async def test_beside_a_system_message(self, memory: chatmem.ChatMemory) -> None:
        """The stored system message stays at the head."""
        await memory.history("s").append(lc.SystemMessage("Be brief.", id="system"))
        talk = Talk(HistoryMiddleware(memory), trigger=4, keep=1)
        for turn in range(4):
            await talk.turn(turn)
        assert len(talk.brief.seen) > 1
        await Talk(HistoryMiddleware(memory)).turn(4)
        assert kinds(await memory.history("s").messages()) == [("system", "Be brief."), *said(5)]
        assert (await memory.history("s").window())[0].text == "Be brief."

    @CHECKPOINTER
    async def test_messages_without_ids(self, memory: chatmem.ChatMemory, checkpointer: bool) -> None:
        """It is stored up to the last message with an id, so that no message is left out."""
        history = memory.history("s")
        await history.append(*said(2))
        talk = Talk(HistoryMiddleware(memory), saver=InMemorySaver() if checkpointer else None, trigger=5, keep=1)
        await talk.turn(3)
        assert await summary_of(memory) == ([], None)  # no message that it speaks of has an id
        await history.append(("human", "by phone"), ("ai", "noted"))
        await talk.turn(4)
        assert (await summary_of(memory))[1] == "answer 3"
        other = Talk(HistoryMiddleware(memory))
        await other.turn(6)
        assert other.sent[1:] == ["by phone", "noted", "question 4", "answer 4", "question 6"]

    @CHECKPOINTER
    async def test_a_summary_of_somebody_else(self, memory: chatmem.ChatMemory, checkpointer: bool) -> None:
        """It is neither stored as a message nor changed, whatever other middleware makes of it."""
        history = memory.history("s")
        await history.append(*said(2))
        await history.summarize(up_to=3, summary=[lc.HumanMessage("for ann@example.com"), lc.AIMessage("ok", id="ok")])
        pii = PIIMiddleware("email", apply_to_input=True)
        talk = Talk(HistoryMiddleware(memory), pii, saver=InMemorySaver() if checkpointer else None)
        await talk.agent.ainvoke({"messages": []} | talk.given(2), CONFIG)
        talk.model.script[:] = [lc.AIMessage("Bye.")]
        await talk.agent.ainvoke({"messages": [("human", "Well")]}, CONFIG)
        assert talk.sent[:3] == ["for ann@example.com", "ok", "question 2"]
        assert kinds(await history.messages()) == [*said(3), ("human", "Well"), ("ai", "Bye.")]
        assert await summary_of(memory) == (["for ann@example.com", "ok"], "answer 1")

    @CHECKPOINTER
    async def test_a_newer_one_was_stored_meanwhile(self, memory: chatmem.ChatMemory, checkpointer: bool) -> None:
        """The one in the state is left out, and the next run gets the newer one."""

        class Other(AgentMiddleware[Any, Any]):
            async def abefore_model(self, state: Any, runtime: Any) -> None:
                if "Here is a summary" in state["messages"][0].text:
                    await memory.history("s").append(("human", "by phone"), ("ai", "noted"))
                    await memory.history("s").summarize(up_to=5, summary=["newer"])

        talk = Talk(
            HistoryMiddleware(memory), Other(), saver=InMemorySaver() if checkpointer else None, trigger=4, keep=1
        )
        for turn in range(2):
            await talk.turn(turn)
        with_phone = [*said(2), ("human", "by phone"), ("ai", "noted")]
        assert await summary_of(memory) == ([], None)
        talk = Talk(HistoryMiddleware(memory), Other(), saver=InMemorySaver(), trigger=5, keep=1)
        await talk.turn(6)
        assert await summary_of(memory) == (["newer"], "noted")
        await talk.turn(7)
        assert talk.sent == ["newer", "question 6", "answer 6", "question 7"]
        assert kinds(await memory.history("s").messages())[:6] == with_phone

    async def test_one_that_a_person_put_into_the_state(self, memory: chatmem.ChatMemory) -> None:
        """It is stored with the next run, as is one in a checkpoint of a version that did not store summaries."""
        talk = Talk(HistoryMiddleware(memory), saver=InMemorySaver())
        for turn in range(2):
            done = await talk.turn(turn)
        made = lc.HumanMessage("by hand", id="hand", additional_kwargs={"lc_source": "summarization"})
        state = [lc.RemoveMessage(id=REMOVE_ALL_MESSAGES), made, *done["messages"][2:]]
        await talk.agent.aupdate_state(CONFIG, {"messages": state})
        for turn in (3, 4):
            await talk.turn(turn)
            assert talk.sent[:2] == ["by hand", "question 1"]
        assert await summary_of(memory) == (["by hand"], "answer 0")


async def test_an_abandoned_branch(memory: chatmem.ChatMemory) -> None:
    """A summary that speaks of what was said there goes with it; one of what was said before stays."""
    saver = InMemorySaver()
    talk = Talk(HistoryMiddleware(memory), saver=saver, trigger=5, keep=1)
    older = {}
    for turn in range(6):
        await talk.turn(turn)
        state = await talk.agent.aget_state({"configurable": {"thread_id": "t"}})
        older[turn] = {"configurable": {**state.config["configurable"], "session_id": "s"}}
    kept = await summary_of(memory)
    assert kept[1] == "answer 4"
    talk = Talk(HistoryMiddleware(memory), saver=saver)
    await talk.turn(6, older[4])
    assert talk.sent[1:] == [
        "question 3",
        "answer 3",
        "question 4",
        "answer 4",
        "question 6",
    ]  # behind an older summary
    assert await summary_of(memory) == kept
    await talk.turn(7)
    assert talk.sent == [*kept[0], "question 6", "answer 6", "question 7"]
    await talk.turn(9, older[0])
    assert talk.sent == ["question 0", "answer 0", "question 9"]
    assert await summary_of(memory) == ([], None)
    await talk.turn(10)
    assert talk.sent == ["question 0", "answer 0", "question 9", "answer 9", "question 10"]


@CHECKPOINTER
async def test_a_graph(memory: chatmem.ChatMemory, checkpointer: bool) -> None:
    """The nodes of a graph store the summary that another node made."""
    model = Scripted(script=[lc.AIMessage(f"answer {turn}") for turn in range(6)])
    made: list[int] = []

    def shorten(state: MessagesState) -> dict[str, Any]:
        if len(state["messages"]) < 5:
            return {}
        made.append(len(state["messages"]))
        short = lc.HumanMessage(f"summary {len(made)}", additional_kwargs={"lc_source": "summarization"})
        return {"messages": [lc.RemoveMessage(id=REMOVE_ALL_MESSAGES), short, *state["messages"][-1:]]}

    nodes = HistoryNodes(memory)
    graph: Any = StateGraph(MessagesState)
    graph.add_node("load", nodes.load)
    graph.add_node("shorten", shorten)
    graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    graph.add_node("save", nodes.save)
    for before, after in ((START, "load"), ("load", "shorten"), ("shorten", "model"), ("model", "save")):
        graph.add_edge(before, after)
    graph = graph.compile(checkpointer=InMemorySaver() if checkpointer else None)
    for turn in range(6):
        await graph.ainvoke({"messages": [("human", f"question {turn}")]}, CONFIG)
    assert made == [5, 6]
    assert await summary_of(memory) == (["summary 2"], "answer 3")
    assert [one.text for one in model.seen[-1]] == ["summary 2", "question 4", "answer 4", "question 5"]
    assert len(await memory.history("s").messages()) == 12
