"""The synchronous facade."""

from collections.abc import Iterator
from datetime import timedelta
from typing import assert_type

import redis
from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.runnables import Runnable
from langchain_core.runnables.history import RunnableWithMessageHistory

import chatmem
import chatmem.sync
from chatmem import (
    Appended,
    Branch,
    Change,
    Chunk,
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
from chatmem.langchain import ChatMessageHistory


def connect(client: redis.Redis, ring: chatmem.KeyRing) -> None:
    assert_type(chatmem.sync.connect(), chatmem.sync.ChatMemory)
    assert_type(chatmem.sync.connect(None), chatmem.sync.ChatMemory)
    assert_type(
        chatmem.sync.connect(
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
        chatmem.sync.ChatMemory,
    )
    assert_type(chatmem.sync.connect(client=client), chatmem.sync.ChatMemory)
    chatmem.sync.connect(ttl_refresh="always")  # type: ignore[arg-type]
    chatmem.sync.connect(ttl="7d")  # type: ignore[arg-type]
    chatmem.sync.connect(compression="gzip")  # type: ignore[arg-type]
    chatmem.sync.connect(unknown=1)  # type: ignore[call-arg]


def memory(memory: chatmem.sync.ChatMemory) -> None:
    with memory as entered:
        assert_type(entered, chatmem.sync.ChatMemory)
    assert_type(memory.history("a"), chatmem.sync.History)
    assert_type(memory.history("a", user="alice", claim=True), chatmem.sync.History)
    memory.history(1)  # type: ignore[arg-type]
    assert_type(memory.sessions("alice"), SessionPage)
    assert_type(memory.sessions("alice", limit=10, before="cursor"), SessionPage)
    assert_type(memory.changes("alice", timeout=0.1), Iterator[SessionChange])
    for told in memory.changes("alice", after="cursor"):
        assert_type(told.session_id, str | None)
    assert_type(memory.sessions("alice", archived=None, pinned=True, tag="work", title="trip"), SessionPage)
    memory.sessions("alice", order="last")  # type: ignore[arg-type]
    assert_type(memory.count("alice", archived=True, pinned=False, tag="work"), int)
    assert_type(memory.all_sessions("tenant-*"), Iterator[str])
    for session_id in memory.all_sessions():
        assert_type(session_id, str)
    assert_type(memory.search("alice", "refund", limit=5), list[Match])
    assert_type(memory.forget("alice"), int)
    assert_type(memory.langchain("a"), ChatMessageHistory)
    assert_type(memory.langchain("a", "alice"), ChatMessageHistory)
    assert_type(memory.ping(), bool)
    memory.close()


def runnable(memory: chatmem.sync.ChatMemory, runnable: Runnable[list[BaseMessage], BaseMessage]) -> None:
    RunnableWithMessageHistory(runnable, memory.langchain)


def write(history: chatmem.sync.History, message: BaseMessage) -> None:
    assert_type(history.session_id, str)
    likes = ("hi", ("ai", "hello"), {"role": "user", "content": "hi"}, message)
    assert_type(history.append(*likes), Appended)
    assert_type(history.append(message, idempotency_key="turn-1", expected_version=3, on_known_id="replace"), Appended)
    history.append(5)  # type: ignore[arg-type]
    history.append("hi", on_known_id="skip")  # type: ignore[arg-type]
    assert_type(history.put(message, expected_version=3), Edited)
    assert_type(history.replace("id", "hi", expected_version=3), Edited)
    assert_type(history.replace(0, message), Edited)
    assert_type(history.delete("id", expected_version=3), Edited)
    assert_type(history.truncate(after=1, expected_version=3), Edited)
    assert_type(history.compact(up_to="id", replacement=[("system", "a summary")], expected_version=3), Edited)
    assert_type(history.fork("b"), chatmem.sync.History)
    assert_type(history.fork("b", up_to=7, expected_version=3), chatmem.sync.History)
    history.fork("b", up_to=1.5)  # type: ignore[arg-type]
    assert_type(history.update(title="A chat", metadata={"model": "x"}, merge=True, expected_revision=1), int)
    assert_type(history.update(archived=True, pinned=False, tags=("work",)), int)
    assert_type(history.reencrypt(), int)
    assert_type(history.touch(), bool)
    assert_type(history.touch(ttl=timedelta(hours=1)), bool)
    history.clear()


def answer(history: chatmem.sync.History) -> None:
    with history.answer("Why?", id="id", alone=False, expected_version=3, lease=timedelta(minutes=1)) as draft:
        assert_type(draft, chatmem.sync.Draft)
        draft.write("text", ("messages", "part"))


def read(history: chatmem.sync.History) -> None:
    assert_type(history.messages(), list[BaseMessage])
    assert_type(history.messages(last=20, strict=True), list[BaseMessage])
    assert_type(
        history.window(messages=20, turns=5, keep_system=False, start_on=["human", SystemMessage]), list[BaseMessage]
    )
    assert_type(history.window(tokens=4000, token_counter=len), list[BaseMessage])
    history.window(start_on=5)  # type: ignore[arg-type]
    assert_type(history.changes(after=3, timeout=timedelta(minutes=1)), Iterator[Change])
    for change in history.changes():
        assert_type(change.version, int)
    assert_type(history.follow("id", after="cursor", timeout=60), Iterator[Chunk])
    for chunk in history.follow("id"):
        assert_type(chunk, Chunk)
    assert_type(history.stop("id"), bool)
    assert_type(history.stop(), bool)
    assert_type(history.entries(strict=True), Iterator[Entry])
    for entry in history.entries():
        assert_type(entry, Entry)
    assert_type(history.page(), Page)
    assert_type(history.page(before=5, after=1, limit=10, newest_first=False), Page)
    assert_type(history.get("id"), Entry | None)
    assert_type(history.get(0), Entry | None)
    assert_type(history.search("refund", limit=5), list[Match])
    assert_type(history.branch(after="id", expected_version=3), Switched)
    assert_type(history.branch(after=-1), Switched)
    assert_type(history.switch(1, expected_version=3), Switched)
    assert_type(history.delete_branch(1, expected_version=3), Edited)
    assert_type(history.branches(), list[Branch])
    assert_type(history.summarize(up_to="id", summary=["a summary"], expected_version=3), Edited)
    assert_type(history.summary(), Summary | None)
    assert_type(history.annotate("id", {"rating": 1}), Edited)
    assert_type(history.count(), int)
    assert_type(history.info(), SessionInfo)
