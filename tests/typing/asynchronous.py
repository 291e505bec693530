"""The asynchronous facade."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import assert_type

import redis
import redis.asyncio
from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.runnables import Runnable
from langchain_core.runnables.history import RunnableWithMessageHistory

import chatmem
from chatmem import (
    Appended,
    Branch,
    Change,
    Chunk,
    Draft,
    Edited,
    Entry,
    Match,
    Page,
    SessionChange,
    SessionInfo,
    SessionPage,
    Summary,
    Switched,
)
from chatmem.core.feed import Changes
from chatmem.langchain import ChatMessageHistory


def connect(client: redis.Redis, asyncio_client: redis.asyncio.Redis, ring: chatmem.KeyRing) -> None:
    assert_type(chatmem.connect(), chatmem.ChatMemory)
    assert_type(chatmem.connect(None), chatmem.ChatMemory)
    assert_type(
        chatmem.connect(
            "redis://localhost",
            token=None,
            prefix="app",
            ttl=timedelta(days=7),
            ttl_refresh="read",
            wait_replicas=1,
            wait_timeout=0.5,
            compression="zstd",
            max_messages=100,
            max_message_bytes=1000,
            encryption=ring,
            on_unstorable="repr",
            publish=True,
        ),
        chatmem.ChatMemory,
    )
    assert_type(chatmem.connect(client=client), chatmem.ChatMemory)
    assert_type(chatmem.connect(client=asyncio_client), chatmem.ChatMemory)
    chatmem.connect(ttl_refresh="always")  # type: ignore[arg-type]
    chatmem.connect(ttl="7d")  # type: ignore[arg-type]
    chatmem.connect(compression="gzip")  # type: ignore[arg-type]
    chatmem.connect(unknown=1)  # type: ignore[call-arg]


async def memory(memory: chatmem.ChatMemory) -> None:
    async with memory as entered:
        assert_type(entered, chatmem.ChatMemory)
    assert_type(memory.history("a"), chatmem.History)
    assert_type(memory.history("a", user="alice", claim=True), chatmem.History)
    memory.history(1)  # type: ignore[arg-type]
    assert_type(await memory.sessions("alice"), SessionPage)
    assert_type(await memory.sessions("alice", limit=10, before="cursor"), SessionPage)
    assert_type(memory.changes("alice", timeout=0.1), Changes[SessionChange])
    async for told in memory.changes("alice", after="cursor"):
        assert_type(told.session_id, str | None)
    assert_type(await memory.sessions("alice", archived=None, pinned=True, tag="work", title="trip"), SessionPage)
    await memory.sessions("alice", order="last")  # type: ignore[arg-type]
    assert_type(await memory.count("alice", archived=True, pinned=False, tag="work"), int)
    assert_type(memory.all_sessions("tenant-*"), AsyncIterator[str])
    async for session_id in memory.all_sessions():
        assert_type(session_id, str)
    assert_type(await memory.search("alice", "refund", limit=5), list[Match])
    assert_type(await memory.forget("alice"), int)
    assert_type(memory.langchain("a"), ChatMessageHistory)
    assert_type(memory.langchain("a", "alice"), ChatMessageHistory)
    assert_type(await memory.ping(), bool)
    await memory.aclose()


def runnable(memory: chatmem.ChatMemory, runnable: Runnable[list[BaseMessage], BaseMessage]) -> None:
    RunnableWithMessageHistory(runnable, memory.langchain)


async def write(history: chatmem.History, message: BaseMessage) -> None:
    assert_type(history.session_id, str)
    likes = ("hi", ("ai", "hello"), {"role": "user", "content": "hi"}, message)
    assert_type(await history.append(*likes), Appended)
    assert_type(
        await history.append(message, idempotency_key="turn-1", expected_version=3, on_known_id="replace"), Appended
    )
    await history.append(5)  # type: ignore[arg-type]
    await history.append("hi", on_known_id="skip")  # type: ignore[arg-type]
    assert_type(await history.put(message, expected_version=3), Edited)
    assert_type(await history.replace("id", "hi", expected_version=3), Edited)
    assert_type(await history.replace(0, message), Edited)
    assert_type(await history.delete("id", expected_version=3), Edited)
    assert_type(await history.truncate(after=1, expected_version=3), Edited)
    assert_type(await history.compact(up_to="id", replacement=[("system", "a summary")], expected_version=3), Edited)
    assert_type(await history.fork("b"), chatmem.History)
    assert_type(await history.fork("b", up_to=7, expected_version=3), chatmem.History)
    await history.fork("b", up_to=1.5)  # type: ignore[arg-type]
    assert_type(await history.update(title="A chat", metadata={"model": "x"}, merge=True, expected_revision=1), int)
    assert_type(await history.update(archived=True, pinned=False, tags=("work",)), int)
    assert_type(await history.reencrypt(), int)
    assert_type(await history.touch(), bool)
    assert_type(await history.touch(ttl=timedelta(hours=1)), bool)
    await history.clear()


async def answer(memory: chatmem.ChatMemory, history: chatmem.History, produce: AsyncIterator[str]) -> None:
    async with history.answer("Why?", id="id", alone=False, expected_version=3, lease=timedelta(minutes=1)) as draft:
        assert_type(draft, Draft)
        await draft.write("text", ("messages", "part"))
    assert_type(await memory.answers.start(history, produce, "Why?", id="id", alone=False), str)
    await memory.answers.start(history, "Why?")  # type: ignore[arg-type]


async def read(history: chatmem.History) -> None:
    assert_type(await history.messages(), list[BaseMessage])
    assert_type(await history.messages(last=20, strict=True), list[BaseMessage])
    assert_type(
        await history.window(messages=20, turns=5, keep_system=False, start_on=["human", SystemMessage]),
        list[BaseMessage],
    )
    assert_type(await history.window(tokens=4000, token_counter=len), list[BaseMessage])
    await history.window(start_on=5)  # type: ignore[arg-type]
    assert_type(history.changes(after=3, timeout=timedelta(minutes=1)), Changes[Change])
    async for change in history.changes():
        assert_type(change.version, int)
    assert_type(history.follow("id", after="cursor", timeout=60), Changes[Chunk])
    async for chunk in history.follow("id"):
        assert_type(chunk, Chunk)
    assert_type(await history.stop("id"), bool)
    assert_type(await history.stop(), bool)
    assert_type(history.entries(strict=True), AsyncIterator[Entry])
    async for entry in history.entries():
        assert_type(entry, Entry)
    assert_type(await history.page(), Page)
    assert_type(await history.page(before=5, after=1, limit=10, newest_first=False), Page)
    assert_type(await history.get("id"), Entry | None)
    assert_type(await history.get(0), Entry | None)
    assert_type(await history.search("refund", limit=5), list[Match])
    assert_type(await history.branch(after="id", expected_version=3), Switched)
    assert_type(await history.branch(after=-1), Switched)
    assert_type(await history.switch(1, expected_version=3), Switched)
    assert_type(await history.delete_branch(1, expected_version=3), Edited)
    assert_type(await history.branches(), list[Branch])
    assert_type(await history.summarize(up_to="id", summary=["a summary"], expected_version=3), Edited)
    assert_type(await history.summary(), Summary | None)
    assert_type(await history.annotate("id", {"rating": 1}), Edited)
    assert_type(await history.count(), int)
    assert_type(await history.info(), SessionInfo)
