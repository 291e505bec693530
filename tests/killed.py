"""A program to be killed: `python -m tests.killed KIND URL PREFIX` has a turn for each line it is given.

Its models are offline, and say what they were sent: the texts of all users, in JSON. Told to wait, they call a tool
that says so and never ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
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


def framework(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    return _framework(memory, by_call=False)


def framework_by_call(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    return _framework(memory, by_call=True)


def _framework(memory: chatmem.ChatMemory, *, by_call: bool) -> Callable[[str], Awaitable[str]]:
    from agent_framework import AgentSession

    from chatmem.agent_framework import ChatmemHistoryProvider

    provider = ChatmemHistoryProvider(memory)
    made = _framework_agent(context_providers=[provider], require_per_service_call_history_persistence=by_call)

    async def turn(text: str) -> str:
        return str((await made.run(text, session=AgentSession(session_id=SESSION))).text)

    return turn


def _framework_agent(**options: Any) -> Any:
    from agent_framework import Agent, Content, Message, tool

    from tests.framework_client import OfflineClient

    def remembering(messages: Sequence[Message]) -> list[Content]:
        contents = [content for one in messages for content in one.contents]
        calls, results = (
            {str(one.call_id) for one in contents if one.type == kind} for kind in ("function_call", "function_result")
        )
        text = answer([one.text for one in messages if one.role == "user"], calls, results)
        return [Content.from_text(text) if text else Content.from_function_call("c", "wait", arguments="{}")]

    return Agent(OfflineClient(remembering, None), tools=[tool(wait)], **options)


def ag_ui(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    """Have a browser that knows nothing ask for the thread, and send all of it back with what the user says."""
    from uuid import uuid4

    from agent_framework_ag_ui import add_agent_framework_fastapi_endpoint
    from fastapi import FastAPI
    from httpx import ASGITransport, AsyncClient

    from chatmem.agent_framework.ag_ui import ChatmemSnapshotStore

    app, store = FastAPI(), ChatmemSnapshotStore(memory)
    agent = _framework_agent()
    add_agent_framework_fastapi_endpoint(app, agent, snapshot_store=store, snapshot_scope_resolver=lambda _: "alice")

    async def post(*messages: Any) -> list[Any]:
        """Return the messages of the run's last snapshot."""
        body = {"threadId": SESSION, "runId": str(uuid4()), "messages": messages, "state": {}, "tools": []}
        async with AsyncClient(transport=ASGITransport(app), base_url="http://app") as browser:
            response = await browser.post("/", json={**body, "context": [], "forwardedProps": {}})
        events = [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line]
        snapshots = [one["messages"] for one in events if one["type"] == "MESSAGES_SNAPSHOT"]
        return snapshots[-1] if snapshots else []

    async def turn(text: str) -> str:
        shown = await post(*await post(), {"id": str(uuid4()), "role": "user", "content": text})
        return str(shown[-1]["content"])

    return turn


def claude(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    """Mirror entries as the Claude Agent SDK does for its CLI, which leaves out calls without a result."""
    from uuid import uuid4

    from chatmem.claude_agents import ChatmemSessionStore

    store = ChatmemSessionStore(memory)
    key: Any = {"project_key": "p", "session_id": SESSION}

    async def mirror(kind: str, content: Any) -> None:
        entry: Any = {"type": kind, "uuid": str(uuid4()), "message": {"role": kind, "content": content}}
        await store.append(key, [entry])

    async def turn(text: str) -> str:
        known: Any = await store.load(key) or []
        said = [one["message"]["content"] for one in known if one["type"] == "user"]
        await mirror("user", text)
        reply = answer([*said, text], set(), set())
        if reply is None:
            await mirror("assistant", [{"type": "tool_use", "id": "c", "name": "wait", "input": {}}])
            return await wait()
        await mirror("assistant", [{"type": "text", "text": reply}])
        return reply

    return turn


def chatkit(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    from datetime import datetime

    from chatkit.server import ChatKitServer, StreamingResult
    from chatkit.types import (
        AssistantMessageContent,
        AssistantMessageItem,
        ThreadItemDoneEvent,
        ThreadMetadata,
        ThreadStreamEvent,
        UserMessageItem,
    )

    from chatmem.chatkit import ChatmemStore

    class Server(ChatKitServer[str]):
        async def respond(
            self, thread: ThreadMetadata, input_user_message: UserMessageItem | None, context: str
        ) -> AsyncIterator[ThreadStreamEvent]:
            items = (await self.store.load_thread_items(thread.id, None, 100, "asc", context)).data
            text = answer([one.content[0].text for one in items if isinstance(one, UserMessageItem)], set(), set())
            if text is None:
                text = await wait()
            name = self.store.generate_item_id("message", thread, context)
            yield ThreadItemDoneEvent(
                item=AssistantMessageItem(
                    id=name,
                    thread_id=thread.id,
                    created_at=datetime.now(),
                    content=[AssistantMessageContent(text=text)],
                )
            )

    server = Server(ChatmemStore(memory, lambda user: user))

    async def turn(text: str) -> str:
        await server.store.save_thread(ThreadMetadata(id=SESSION, created_at=datetime.now()), "alice")
        said = {"content": [{"type": "input_text", "text": text}], "attachments": [], "inference_options": {}}
        request = {"type": "threads.add_user_message", "params": {"thread_id": SESSION, "input": said}}
        result = await server.process(json.dumps(request), "alice")
        assert isinstance(result, StreamingResult)
        events = [json.loads(event.removeprefix(b"data: ")) async for event in result]
        return str(events[-1]["item"]["content"][0]["text"])

    return turn


def adk(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    from google.adk.agents import LlmAgent
    from google.adk.models.base_llm import BaseLlm
    from google.adk.models.llm_response import LlmResponse
    from google.adk.runners import Runner
    from google.genai import types

    from chatmem.google_adk import ChatmemSessionService

    class Remembering(BaseLlm):
        async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncGenerator[Any, None]:
            parts = [(content.role, part) for content in llm_request.contents for part in content.parts]
            text = answer(
                [part.text for role, part in parts if role == "user" and part.text],
                {part.function_call.id for _, part in parts if part.function_call},
                {part.function_response.id for _, part in parts if part.function_response},
            )
            call = types.Part(function_call=types.FunctionCall(name="wait", args={}))
            part = call if text is None else types.Part(text=text)
            yield LlmResponse(content=types.Content(role="model", parts=[part]))

    of: Any = {"app_name": "shop", "user_id": "alice", "session_id": SESSION}
    service = ChatmemSessionService(memory)
    made = LlmAgent(name="helper", model=Remembering(model="offline"), tools=[wait])
    running = Runner(agent=made, app_name="shop", session_service=service)

    async def turn(text: str) -> str:
        if await service.get_session(**of) is None:
            await service.create_session(**of)
        message, said = types.Content(role="user", parts=[types.Part(text=text)]), ""
        async for one in running.run_async(user_id="alice", session_id=SESSION, new_message=message):
            said = one.content.parts[-1].text or said if one.content and one.content.parts else said
        return said

    return turn


def llama(memory: chatmem.ChatMemory) -> Callable[[str], Awaitable[str]]:
    from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
    from llama_index.core.memory import Memory

    from chatmem.llama_index import ChatmemDBChatStore

    async def turn(text: str) -> str:
        chat = Memory.from_defaults(session_id=SESSION, chat_store=ChatmemDBChatStore(memory))
        await chat.aput(ChatMessage(role="user", content=text))
        reply = answer([str(one.content) for one in await chat.aget() if one.role == "user"], set(), set())
        if reply is None:
            await chat.aput(ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_call_id="c", tool_name="wait")]))
            return await wait()
        await chat.aput(ChatMessage(role="assistant", content=reply))
        return reply

    return turn


KINDS = {
    one.__name__: one
    for one in (
        adk,
        agent,
        graph,
        runner,
        pydantic,
        pydantic_by_step,
        pydantic_store,
        framework,
        framework_by_call,
        ag_ui,
        chatkit,
        claude,
        llama,
    )
}
NEEDED = {
    "adk": "google.adk",
    "pydantic_store": "pydantic_ai.conversation_store",
    "framework": "agent_framework",
    "framework_by_call": "agent_framework",
    "ag_ui": "agent_framework_ag_ui",
    "chatkit": "chatkit",
    "llama": "llama_index",
}
"""What must be installed for a kind that not everybody has."""


async def main(kind: str, url: str, prefix: str) -> None:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        turn = KINDS[kind](memory)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await turn(line.strip()), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
