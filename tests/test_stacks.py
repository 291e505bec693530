"""The history with LangChain's own middleware: it stores the state's messages, and changes nothing for the model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import pytest
from langchain_core.version import VERSION

if tuple(map(int, VERSION.split(".")[:2])) < (1, 2):
    pytest.skip("langgraph needs a later langchain-core than the oldest that chatmem takes", allow_module_level=True)

from langchain.agents import create_agent
from langchain_core import messages as lc
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

import chatmem
from chatmem.langchain import HistoryMiddleware
from tests.scripted import Scripted
from tests.stacks import INPUTS, STACKS, Stack, weather

CONFIG: Any = {"configurable": {"session_id": "s", "thread_id": "t"}}


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


def plain(messages: list[lc.BaseMessage]) -> list[dict[str, Any]]:
    """Return messages as dicts, without their ids, which differ from run to run."""
    return [message.model_dump(exclude={"id"}) for message in messages]


class Talk:
    """Runs a stack's conversation with an agent."""

    def __init__(self, stack: Stack, history: HistoryMiddleware | None, *, last: bool, checkpointer: bool) -> None:
        self.model = Scripted(script=stack.script())
        beside = stack.make(self.model)
        own = [] if history is None else [history]
        middleware = [*beside, *own] if last else [*own, *beside]
        saver = InMemorySaver() if checkpointer else None
        self._agent: Any = create_agent(self.model, [weather], middleware=middleware, checkpointer=saver)
        self._decisions = list(stack.decisions)

    async def run(self, text: str, *, sync: bool) -> list[lc.BaseMessage]:
        """Return the messages of the state at the end of a run, even of one that fails."""
        done: Any = {}
        given: Any = {"messages": [("human", text)]}
        while True:
            if sync:
                done = self._agent.invoke(given, CONFIG)
            else:
                done = await self._agent.ainvoke(given, CONFIG)
            if "__interrupt__" not in done:
                return list(done["messages"])
            given = Command(resume={"decisions": self._decisions.pop(0)})


STACKS_BY_NAME = {stack.name: stack for stack in STACKS}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # LangChain's shell closes no pipes
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
@pytest.mark.parametrize("save", ["step", "end"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", STACKS_BY_NAME)
async def test_beside_one_of_langchains_own(memory: chatmem.ChatMemory, name: str, last: bool, save: Any) -> None:
    """The memory holds the state's messages, whatever the order, `save` and checkpointer."""
    stack = STACKS_BY_NAME[name]
    if stack.new and version("langchain").startswith("1.2."):
        pytest.skip("LangChain 1.2 does not do this")
    alone = Talk(stack, None, last=last, checkpointer=True)
    for text in INPUTS:
        await alone.run(text, sync=True)
    for sync in (False, True):
        for checkpointer in (True,) if stack.decisions else (False, True):
            await memory.history("s").clear()
            talk = Talk(stack, HistoryMiddleware(memory, save=save), last=last, checkpointer=checkpointer)
            for text in INPUTS:
                messages = await talk.run(text, sync=sync)
                assert await memory.history("s").messages() == messages
            assert [plain(one) for one in talk.model.seen] == [plain(one) for one in alone.model.seen]
