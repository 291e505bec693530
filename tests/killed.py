"""A program to be killed: `python -m tests.killed KIND URL PREFIX` has a turn for each line it is given.

Its models are offline, and say what they were sent: the texts of all users, in JSON. Told to wait, they call a tool
that says so and never ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import chatmem

WAITING = "in the tool"
SESSION = "s"


async def wait() -> str:
    """Wait until somebody kills this process."""
    print(WAITING, flush=True)
    await asyncio.Event().wait()
    return "never"


def answer(said: list[str], calls: set[str], results: set[str]) -> str | None:
    """Return what a model says that was sent these texts, calls and results; None where it calls the tool."""
    if calls != results:
        return f"half an exchange: {calls ^ results}"
    return None if said[-1] == "wait" else json.dumps(said)


def _langchain_model() -> Any:
    from langchain_core import messages as lc
    from langchain_core.language_models import BaseChatModel
    from langchain_core.outputs import ChatGeneration, ChatResult

    from tests.exchanges import calls_of

    class Model(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "remembering"

        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self

        def _generate(self, messages: list[lc.BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
            said = [str(one.text) for one in messages if isinstance(one, lc.HumanMessage)]
            calls = {str(call) for one in messages for call in calls_of(one)}
            text = answer(said, calls, {one.tool_call_id for one in messages if isinstance(one, lc.ToolMessage)})
            message = lc.AIMessage(text or "", tool_calls=[] if text else [{"name": "wait", "args": {}, "id": "c"}])
            return ChatResult(generations=[ChatGeneration(message=message)])

    return Model()


CONFIG: Any = {"configurable": {"session_id": SESSION}}


def agent(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    from langchain.agents import create_agent
    from langchain_core.tools import tool

    from chatmem.langchain import HistoryMiddleware

    made: Any = create_agent(_langchain_model(), [tool(wait)], middleware=[HistoryMiddleware(memory)])

    async def turn(text: str) -> str:
        done = await made.ainvoke({"messages": [("human", text)]}, CONFIG)
        return str(done["messages"][-1].text)

    return turn


def graph(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    from langchain_core.tools import tool
    from langgraph.graph import START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode, tools_condition

    from chatmem.langgraph import HistoryNodes

    model, nodes = _langchain_model(), HistoryNodes(memory)
    built: Any = StateGraph(MessagesState)
    built.add_node("load", nodes.load)
    built.add_node("heard", nodes.save)
    built.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    built.add_node("said", nodes.save)
    built.add_node("tools", ToolNode([tool(wait)]))
    built.add_edge(START, "load")
    built.add_edge("load", "heard")
    built.add_edge("heard", "model")
    built.add_edge("model", "said")
    built.add_conditional_edges("said", tools_condition)
    built.add_edge("tools", "model")
    made = built.compile()

    async def turn(text: str) -> str:
        done = await made.ainvoke({"messages": [("human", text)]}, CONFIG)
        return str(done["messages"][-1].text)

    return turn


def runner(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    from agents import Agent, ModelResponse, Runner, Usage, function_tool, set_tracing_disabled
    from agents.models.interface import Model
    from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

    from chatmem.openai_agents import ChatmemSession

    set_tracing_disabled(True)

    class Remembering(Model):
        async def get_response(self, system_instructions: Any, input: Any, *args: Any, **kwargs: Any) -> ModelResponse:  # noqa: A002
            said = [one["content"] for one in input if one.get("role") == "user"]
            calls, results = (
                {one["call_id"] for one in input if one.get("type") == kind}
                for kind in ("function_call", "function_call_output")
            )
            text = answer(said, calls, results)
            output: Any = ResponseFunctionToolCall(arguments="{}", call_id="c", name="wait", type="function_call")
            if text is not None:
                part = ResponseOutputText(annotations=[], text=text, type="output_text", logprobs=[])
                output = ResponseOutputMessage(
                    id=f"msg_{len(input)}", content=[part], role="assistant", status="completed", type="message"
                )
            return ModelResponse(output=[output], usage=Usage(), response_id=None)

        def stream_response(self, *args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError

    made = Agent("helper", model=Remembering(), tools=[function_tool(wait)])

    async def turn(text: str) -> str:
        return str((await Runner.run(made, text, session=ChatmemSession(memory, SESSION))).final_output)

    return turn


def pydantic(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    return _pydantic(memory, by_step=False)


def pydantic_by_step(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    return _pydantic(memory, by_step=True)


def _pydantic(memory: chatmem.ChatMemory, *, by_step: bool) -> Callable[[str], Awaitable[str]]:
    from chatmem.pydantic_ai import ModelMessageHistory

    made = _pydantic_agent()

    async def turn(text: str) -> str:
        history = ModelMessageHistory(memory, SESSION)
        async with made.iter(text, message_history=await history.window()) as run:
            async for _ in run:
                if by_step:
                    await history.append(run.new_messages())
        assert run.result is not None
        await history.append(run.result.new_messages())
        return str(run.result.output)

    return turn


def pydantic_store(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    from pydantic_ai.conversation import Conversation

    from chatmem.pydantic_ai import ChatmemConversationStore

    made, store = _pydantic_agent(), ChatmemConversationStore(memory)

    async def turn(text: str) -> str:
        conversation = await store.load(SESSION) or Conversation(conversation_id=SESSION)
        result = await made.run(text, conversation=conversation)
        await store.save(result)
        return str(result.output)

    return turn


def _pydantic_agent() -> Any:
    from pydantic_ai import Agent
    from pydantic_ai import messages as pm
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    def remembering(messages: list[pm.ModelMessage], info: AgentInfo) -> pm.ModelResponse:
        parts = [part for one in messages for part in one.parts]
        text = answer(
            [str(part.content) for part in parts if isinstance(part, pm.UserPromptPart)],
            {part.tool_call_id for part in parts if isinstance(part, pm.ToolCallPart)},
            {part.tool_call_id for part in parts if isinstance(part, pm.ToolReturnPart)},
        )
        return pm.ModelResponse([pm.TextPart(text) if text else pm.ToolCallPart("wait", {}, "c")])

    return Agent(FunctionModel(remembering), tools=[wait])


KINDS = {one.__name__: one for one in (agent, graph, runner, pydantic, pydantic_by_step, pydantic_store)}


async def main(kind: str, url: str, prefix: str) -> None:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        turn = KINDS[kind](memory)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await turn(line.strip()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
