"""The adapters, passed to what they are made for."""

from typing import Any, assert_type

import redis
from agent_framework import Agent, BaseChatClient, HistoryProvider
from agents import Session
from chatkit.store import Store
from langchain.agents import create_agent
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langgraph.graph import MessagesState, StateGraph
from pydantic_ai.messages import ModelMessage

import chatmem
import chatmem.sync
from chatmem.agent_framework import ChatmemHistoryProvider
from chatmem.chatkit import ChatmemStore
from chatmem.dropin import langchain_community, langchain_redis, memorystore
from chatmem.langchain import ChatMessageHistory, HistoryMiddleware
from chatmem.langgraph import HistoryNodes
from chatmem.openai_agents import ChatmemSession
from chatmem.pydantic_ai import ModelMessageHistory, to_messages, to_model_messages
from chatmem.ui import ag_ui, ai_sdk, openai


async def history(history: ChatMessageHistory, messages: list[BaseMessage]) -> None:
    base: BaseChatMessageHistory = history
    base.add_messages(messages)
    await base.aadd_messages(messages)
    assert_type(history.messages, list[BaseMessage])
    assert_type(await history.aget_messages(), list[BaseMessage])
    history.clear()
    await history.aclear()


def middleware(memory: chatmem.ChatMemory, blocking: chatmem.sync.ChatMemory, model: BaseChatModel) -> None:
    limited = HistoryMiddleware(
        memory, save="end", messages=50, turns=10, tokens=4000, token_counter=model, start_on="human"
    )
    create_agent(model, [], middleware=[HistoryMiddleware(blocking), limited])
    HistoryMiddleware(memory, save="never")  # type: ignore[arg-type]


def nodes(memory: chatmem.ChatMemory, blocking: chatmem.sync.ChatMemory) -> None:
    HistoryNodes(blocking)
    nodes = HistoryNodes(memory, messages=50, turns=10, tokens=4000, token_counter="approximate", start_on=None)
    graph = StateGraph(MessagesState)
    graph.add_node("load", nodes.load)
    graph.add_node("save", nodes.save)


async def openai_session(memory: chatmem.ChatMemory) -> None:
    session = ChatmemSession(memory, "a", user="alice", claim=True, session_settings={"limit": 10})
    accepted: Session = session
    await accepted.add_items([{"role": "user", "content": "hi"}])
    assert_type(ChatmemSession.from_url("a", url="redis://localhost", prefix="app"), ChatmemSession)
    assert_type(session.session_id, str)
    assert_type(await session.get_items(limit=10), list[Any])
    assert_type(await session.pop_item(), Any | None)
    assert_type(await session.ping(), bool)
    await session.clear_session()
    await session.close()
    ChatmemSession(chatmem.sync.connect(), "a")  # type: ignore[arg-type]


async def model_messages(memory: chatmem.ChatMemory, models: list[ModelMessage], messages: list[BaseMessage]) -> None:
    history = ModelMessageHistory(memory, "a", user="alice", claim=True)
    assert_type(history.session_id, str)
    assert_type(await history.messages(), list[ModelMessage])
    assert_type(await history.window(messages=20, keep_system=False), list[ModelMessage])
    assert_type(await history.append(models, idempotency_key="turn-1"), chatmem.Appended)
    await history.clear()
    assert_type(to_messages(models), list[BaseMessage])
    assert_type(to_model_messages(messages), list[ModelMessage])


def framework(memory: chatmem.ChatMemory, client: BaseChatClient[Any]) -> None:
    provider: HistoryProvider = ChatmemHistoryProvider(memory, "audit", user="alice", load_messages=False)
    Agent(client, context_providers=[provider])
    ChatmemHistoryProvider(chatmem.sync.connect())  # type: ignore[arg-type]


async def front_ends(history: chatmem.History, sent: Any) -> None:
    page = await history.page()
    assert_type(ai_sdk.from_messages(page.entries), list[dict[str, Any]])
    assert_type(ag_ui.from_messages(await history.messages(), trusted=True), list[dict[str, Any]])
    assert_type(openai.from_messages(await history.messages()), list[dict[str, Any]])
    assert_type(ai_sdk.to_messages(sent, accept=["user", "tool"]), list[BaseMessage])
    assert_type(ag_ui.to_messages(sent, trusted=True), list[BaseMessage])
    assert_type(openai.to_messages(sent), list[BaseMessage])
    async for text in ai_sdk.stream(history.follow("a"), answer_id="a"):
        assert_type(text, str)
    async for event in ag_ui.events(history.follow("a"), "thread", "run", snapshot=ag_ui.snapshot(page)):
        assert_type(event, dict[str, Any])


def chatkit_store(memory: chatmem.ChatMemory) -> None:
    store: Store[dict[str, str]] = ChatmemStore(memory, lambda context: context["user"])
    assert_type(store.generate_thread_id({}), str)
    ChatmemStore[int](memory, lambda context: context)  # type: ignore[arg-type, return-value]


async def dropins(client: redis.Redis) -> None:
    for community in (
        langchain_community.RedisChatMessageHistory("a", "redis://localhost", key_prefix="app:", ttl=60),
        langchain_community.UpstashRedisChatMessageHistory("a", "https://host", "token", key_prefix="app:", ttl=60),
    ):
        base: BaseChatMessageHistory = community
        assert_type(base.messages, list[BaseMessage])
        assert_type(community.key, str)
    base = memorystore.MemorystoreChatMessageHistory(client, "a", ttl=60)
    own = langchain_redis.RedisChatMessageHistory("a", redis_url="redis://localhost", redis_client=client, ttl=60)
    base = own
    assert_type(len(own), int)
    assert_type(await own.acount(), int)
    assert_type(own.search_messages("refund", limit=5), list[dict[str, Any]])
    assert_type(await own.asearch_messages("refund"), list[dict[str, Any]])
    own.delete()
    await own.adelete()
