"""The process of one way to keep a LangGraph agent's conversation: `python -m benchmarks.talker WAY URL FILE SESSIONS`.

It runs in the way's own environment. The agent is a loop of a model and its tools; both say what was said in real
conversations: whatever stands behind the messages that they are given. So a way that loses one ends the run.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage, messages_from_dict
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import tools_condition

TURNS = 20
PACKAGES = {
    "chatmem": ("chatmem-redis", "langgraph", "redis"),
    "saver": ("langgraph-checkpoint-redis", "langgraph", "redis"),
}


class Recorded:
    """A real conversation, and the agent that says it again."""

    def __init__(self, file: Path) -> None:
        self._messages = messages_from_dict(json.loads(file.read_text()))

    def session(self) -> None:
        """Begin a new session: each of its messages has an id that no other session knows."""
        self._said = [one.model_copy(update={"id": str(uuid.uuid4())}) for one in self._messages]

    def turns(self) -> Iterator[list[AnyMessage]]:
        """Yield what the user says in each turn, behind the system prompt in the first."""
        starts = [i for i, one in enumerate(self._said) if isinstance(one, HumanMessage)]
        yield self._said[: starts[0] + 1]
        yield from ([self._said[i]] for i in starts[1:])

    def say(self, state: MessagesState) -> dict[str, Any]:
        """Be the model, or a tool."""
        return {"messages": [self._said[len(state["messages"])]]}

    def graph(self) -> StateGraph[Any]:
        """Return the agent, without what keeps its conversation."""
        graph: StateGraph[Any] = StateGraph(MessagesState)
        graph.add_node("agent", self.say)
        graph.add_node("tools", self.say)
        graph.add_edge("tools", "agent")
        return graph


@asynccontextmanager
async def with_chatmem(recorded: Recorded, url: str, *, often: bool) -> AsyncIterator[Any]:
    """Yield the agent whose conversation chatmem keeps; stored after each of the model's steps, or at a turn's end."""
    import chatmem  # noqa: PLC0415 - each way has an environment of its own
    from chatmem.langgraph import HistoryNodes  # noqa: PLC0415

    async with chatmem.connect(url) as memory:
        nodes, graph = HistoryNodes(memory), recorded.graph()
        graph.add_node("load", nodes.load)
        graph.add_node("save", nodes.save)
        graph.add_edge(START, "load")
        graph.add_edge("load", "agent")
        if often:
            graph.add_edge("agent", "save")
            graph.add_conditional_edges("save", tools_condition)
        else:
            graph.add_conditional_edges("agent", tools_condition, {"tools": "tools", END: "save"})
        yield graph.compile()


@asynccontextmanager
async def with_saver(recorded: Recorded, url: str, *, shallow: bool) -> AsyncIterator[Any]:
    """Yield the agent whose whole state langgraph-checkpoint-redis keeps: of every step, or of the last alone."""
    from langgraph.checkpoint.redis.aio import AsyncRedisSaver  # noqa: PLC0415
    from langgraph.checkpoint.redis.ashallow import AsyncShallowRedisSaver  # noqa: PLC0415

    async with (AsyncShallowRedisSaver if shallow else AsyncRedisSaver).from_conn_string(url) as saver:
        await saver.asetup()
        graph = recorded.graph()
        graph.add_edge(START, "agent")
        graph.add_conditional_edges("agent", tools_condition)
        yield graph.compile(checkpointer=saver)


WAYS: dict[str, tuple[Any, dict[str, bool], dict[str, str]]] = {
    "chatmem, each step": (with_chatmem, {"often": True}, {}),
    "chatmem, each turn": (with_chatmem, {"often": False}, {}),
    "AsyncRedisSaver, each step": (with_saver, {"shallow": False}, {"durability": "sync"}),
    "AsyncRedisSaver, as it comes": (with_saver, {"shallow": False}, {}),
    "AsyncRedisSaver, each turn": (with_saver, {"shallow": False}, {"durability": "exit"}),
    "AsyncShallowRedisSaver, as it comes": (with_saver, {"shallow": True}, {}),
}


async def talk(way: str, url: str, file: Path, sessions: int) -> dict[str, Any]:
    """Have so many sessions; return what their turns took. Client CPU is of all threads."""
    opened, how, options = WAYS[way]
    recorded = Recorded(file)
    took: list[list[float]] = []
    cpu = 0.0
    async with opened(recorded, url, **how) as agent:
        for number in range(sessions):
            recorded.session()
            took.append([])
            for given in recorded.turns():
                config = {"configurable": {"thread_id": f"session-{file.stem}-{number}"}, "recursion_limit": 100}
                began, used = time.perf_counter(), time.process_time()
                await agent.ainvoke({"messages": given}, config, **options)
                took[-1].append(time.perf_counter() - began)
                cpu += time.process_time() - used
    packages = PACKAGES["chatmem" if opened is with_chatmem else "saver"]
    return {"seconds": took, "cpu": cpu, "versions": {name: version(name) for name in packages}}


if __name__ == "__main__":
    _, name, address, messages, count = sys.argv
    print(json.dumps(asyncio.run(talk(name, address, Path(messages), int(count)))))
