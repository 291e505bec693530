"""An offline chat model that says what a script says, and a tool, for tests of agents and graphs."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core import messages as lc
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from pydantic import Field

import chatmem


class Scripted(BaseChatModel):
    """Says what the script says, in turn; an exception in it is raised. Keeps what it was sent."""

    script: list[Any]
    seen: list[list[lc.BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[lc.BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.seen.append(list(messages))
        said = self.script.pop(0)
        if isinstance(said, Exception):
            raise said
        return ChatResult(generations=[ChatGeneration(message=said)])


def asking(*cities: str) -> lc.AIMessage:
    return lc.AIMessage("", tool_calls=[{"name": "weather", "args": {"city": c}, "id": f"call-{c}"} for c in cities])


@tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    if city == "Atlantis":
        raise LookupError("no such city")
    return f"fine in {city}"


async def check_naming(memory: chatmem.ChatMemory, agent: Any, *, messages: int) -> None:
    """Assert that a run's session is where it should be looked for; each run stores so many messages."""
    given, other = {"messages": [("human", "x")]}, {"configurable": {"session_id": "not looked at"}}
    await agent.ainvoke(given, other, context={"session_id": "from context", "user": "bob"})
    await agent.ainvoke(given, {"configurable": {"session_id": "from config"}})
    await agent.ainvoke(given, {"configurable": {"thread_id": "a thread"}})
    for session in ("from context", "from config", "a thread"):
        assert await memory.history(session).count() == messages
    assert (await memory.history("from context").info()).user == "bob"
    with pytest.raises(ValueError, match="session_id"):
        await agent.ainvoke(given)
