"""Windows of pydantic-ai's runs: a run is a turn, and a call left out of a message is left out of its ModelMessage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import cycle

import pytest
from langchain_core import messages as lc
from pydantic_ai import Agent, ModelRetry, ToolReturn
from pydantic_ai import messages as pm
from pydantic_ai.models.function import AgentInfo, FunctionModel

import chatmem
from chatmem.pydantic_ai import ModelMessageHistory
from tests import providers


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


async def test_a_run_is_a_turn(memory: chatmem.ChatMemory) -> None:
    """A run is one turn, whatever prompts are in it: a tool's, pydantic-ai's own, or ones inserted meanwhile."""
    answers = cycle(["", "short", "long enough"])

    def model(messages: list[pm.ModelMessage], info: AgentInfo) -> pm.ModelResponse:
        text = next(answers)
        return pm.ModelResponse([pm.TextPart(text) if text else pm.ToolCallPart("look", {})])

    agent = Agent(FunctionModel(model))

    @agent.tool_plain
    def look() -> ToolReturn:
        return ToolReturn("see", content="a file of its own")

    @agent.output_validator
    def check(text: str) -> str:
        if text == "short":
            raise ModelRetry("longer, please")
        return text

    history = ModelMessageHistory(memory, "s")
    runs = []
    for number in range(3):
        result = await agent.run(f"question {number}", message_history=await history.messages())
        runs.append(result.new_messages())
        await history.append(runs[-1])
    stored = await memory.history("s").messages()
    assert sum(isinstance(message, lc.HumanMessage) for message in stored) == 9
    assert await history.window(turns=1) == runs[2]
    window = await memory.history("s").window(turns=2)
    assert [m.text for m in window if m.text.startswith("question")] == ["question 1", "question 2"]
    assert await history.window(turns=3) == await history.messages()
    providers.check(window)


async def test_prompts_put_in_meanwhile(memory: chatmem.ChatMemory) -> None:
    """Prompts in a request of their own belong to the run that the request names; another run begins a turn."""
    await ModelMessageHistory(memory, "s").append(
        [
            pm.ModelRequest([pm.UserPromptPart("q0")], run_id="0"),
            pm.ModelResponse([pm.TextPart("a0")], run_id="0"),
            pm.ModelRequest([pm.SystemPromptPart("be kind"), pm.UserPromptPart("q1")], run_id="1"),
            pm.ModelResponse([pm.TextPart("let me see")], run_id="1"),
            pm.ModelRequest([pm.UserPromptPart("quickly")], run_id="1"),
            pm.ModelResponse([pm.TextPart("a1")], run_id="1"),
        ]
    )
    said = [m.text for m in await memory.history("s").window(turns=1)]
    assert said == ["q1", "let me see", "quickly", "a1"]


async def test_calls_that_nobody_answered(memory: chatmem.ChatMemory) -> None:
    """Calls without a result are left out of ModelMessages, too; a repeated id gets another one, in call and result."""
    calls = [pm.ToolCallPart("f", {"n": 0}, "call_0"), pm.ToolCallPart("f", {"n": 1}, "x")]
    exchange: list[pm.ModelMessage] = [
        pm.ModelRequest([pm.UserPromptPart("q")]),
        pm.ModelResponse([pm.TextPart("Look."), *calls]),
        pm.ModelRequest([pm.ToolReturnPart("f", "r", "call_0")]),
    ]
    history = ModelMessageHistory(memory, "s")
    await history.append([*exchange, *exchange, pm.ModelRequest([pm.UserPromptPart("q3")])])
    parts = [part for message in await history.window() for part in message.parts]
    asked = [(part.tool_call_id, part.args) for part in parts if isinstance(part, pm.ToolCallPart)]
    assert asked == [("call_0", {"n": 0}), ("call_0-2", {"n": 0})]
    assert [part.tool_call_id for part in parts if isinstance(part, pm.ToolReturnPart)] == ["call_0", "call_0-2"]
    assert [part.content for part in parts if isinstance(part, pm.TextPart)] == ["Look."] * 2
