"""Snapshots of AG-UI threads, with the framework's own endpoint and an offline client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

pytest.importorskip("agent_framework_ag_ui", reason="it holds FastAPI back, so only `nox -s adapters` installs it")

from agent_framework import Agent, tool
from agent_framework_ag_ui import AGUIThreadSnapshot, AGUIThreadSnapshotStore, add_agent_framework_fastapi_endpoint
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

import chatmem
import chatmem.sync
from chatmem.agent_framework import ChatmemHistoryProvider
from chatmem.agent_framework.ag_ui import ChatmemSnapshotStore
from tests.faults import Schedule, failing
from tests.framework_client import OfflineClient, calling, said, scripted

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Lima"}'}}
MESSAGES: list[dict[str, Any]] = [
    {"id": "1", "role": "user", "content": "Lima?"},
    {"id": "1", "role": "user", "content": [{"type": "text", "text": "see"}, {"type": "binary", "url": "x"}]},
    {"id": "2", "role": "assistant", "content": None, "toolCalls": [CALL]},
    {"id": "2b", "role": "assistant", "content": "Wait.", "tool_calls": [CALL, {"id": 5}, {**CALL, "function": {}}]},
    {"id": "3", "role": "tool", "content": "fine", "toolCallId": "c1"},
    {"id": "3", "role": "tool", "content": ""},
    {"id": "4", "role": "assistant", "content": "Fine.", "name": "helper", "x": {"y": [1, None]}},
    {"id": "5", "role": "developer", "content": "be kind"},
    {"id": "6", "role": "activity", "content": {"plan": 1}},
    {"id": "7", "role": "reasoning", "content": "hm"},
    {"role": "user", "content": ""},
    {"role": 5},
    {},
]
SNAPSHOTS = st.builds(
    AGUIThreadSnapshot,
    messages=st.lists(st.sampled_from(MESSAGES), max_size=6),
    state=st.sampled_from([None, {}, {"count": 1}]),
    interrupt=st.sampled_from([None, [], [{"id": "i"}]]),
    session_state=st.sampled_from([None, {"provider": {"x": None}}]),
)
WHERE: Any = {"scope": "alice", "thread_id": "t"}


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


@pytest.fixture
def store(memory: chatmem.ChatMemory) -> ChatmemSnapshotStore:
    return ChatmemSnapshotStore(memory)


class TestStore:
    async def test_a_snapshot_comes_back(self, store: ChatmemSnapshotStore) -> None:
        """All messages and fields, also in place of another snapshot."""
        protocol: AGUIThreadSnapshotStore = store
        assert isinstance(protocol, AGUIThreadSnapshotStore)
        assert await store.get(**WHERE) is None
        for snapshot in (
            AGUIThreadSnapshot(MESSAGES, state={"a": 1}, interrupt=[{"id": "i"}], session_state={"p": None}),
            AGUIThreadSnapshot(MESSAGES[:2]),
            AGUIThreadSnapshot(MESSAGES[::-1], state={}),
            AGUIThreadSnapshot(),
            AGUIThreadSnapshot([{}]),
        ):
            await store.save(**WHERE, snapshot=snapshot)
            assert await store.get(**WHERE) == snapshot

    async def test_values_that_python_calls_equal(self, store: ChatmemSnapshotStore) -> None:
        """A snapshot is replaced by one that differs from it in JSON alone."""
        for number in (1, True, 1.0, 0, False, 0.0, -0.0):
            snapshot = AGUIThreadSnapshot([{"role": "activity", "content": {"n": number}}], state={"n": number})
            await store.save(**WHERE, snapshot=snapshot)
            assert repr(await store.get(**WHERE)) == repr(snapshot)

    def test_any_snapshots(self, url: str, prefix: str) -> None:
        """Whatever snapshots follow one another, the last one is read."""

        @given(st.lists(SNAPSHOTS, min_size=1, max_size=4))
        def check(snapshots: list[AGUIThreadSnapshot]) -> None:
            async def main() -> None:
                async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
                    store = ChatmemSnapshotStore(memory)
                    for snapshot in snapshots:
                        await store.save(**WHERE, snapshot=snapshot)
                        assert await store.get(**WHERE) == snapshot

            asyncio.run(main())

        check()

    async def test_what_others_read(self, memory: chatmem.ChatMemory, store: ChatmemSnapshotStore) -> None:
        """Text, tool calls and results are LangChain's own; `sessions` lists the threads of a scope."""
        await store.save(**WHERE, snapshot=AGUIThreadSnapshot(MESSAGES[:8], state={"x": 1}))
        (info,) = (await memory.sessions("alice")).sessions
        assert info.session_id == "ag-ui:alice:t"
        messages = await memory.history(info.session_id, user="alice").messages()
        assert [(one.type, one.text) for one in messages] == [
            ("human", "Lima?"),
            ("human", "see"),
            ("ai", ""),
            ("ai", "Wait."),
            ("tool", "fine"),
            ("tool", ""),
            ("ai", "Fine."),
            ("system", "be kind"),
        ]
        assert [call["args"] for one in messages for call in getattr(one, "tool_calls", ())] == [{"city": "Lima"}] * 2

    async def test_only_changes_are_written(self, memory: chatmem.ChatMemory, store: ChatmemSnapshotStore) -> None:
        """A long thread that grows by a message is not stored again."""
        messages = [{"id": str(number), "role": "user", "content": f"{number}"} for number in range(1500)]
        await store.save(**WHERE, snapshot=AGUIThreadSnapshot(messages[:-1], state={"x": 1}))
        await store.save(**WHERE, snapshot=AGUIThreadSnapshot(messages, state={"x": 2}))
        history = memory.history("ag-ui:alice:t")
        assert [entry.seq async for entry in history.entries()] == [*range(1498), 1499, 1500]
        assert await store.get(**WHERE) == AGUIThreadSnapshot(messages, state={"x": 2})
        version = (await history.info()).version
        await store.save(**WHERE, snapshot=AGUIThreadSnapshot(messages, state={"x": 2}))
        assert (await history.info()).version == version

    async def test_scopes(self, memory: chatmem.ChatMemory, store: ChatmemSnapshotStore) -> None:
        """Scopes are exact, and never mix with threads; a scope or all can be cleared."""
        names = [(scope, thread) for scope in ("a", "a:b", "a%3Ab", "*") for thread in ("t", "b:t", "*")]
        for number, (scope, thread) in enumerate(names):
            await store.save(scope=scope, thread_id=thread, snapshot=AGUIThreadSnapshot([{"id": number}]))
        await memory.history("mine", user="a").append("not a snapshot")
        for number, (scope, thread) in enumerate(names):
            found = await store.get(scope=scope, thread_id=thread)
            assert found == AGUIThreadSnapshot([{"id": number}])
        assert await store.delete(scope="a", thread_id="t")
        assert not await store.delete(scope="a", thread_id="t")
        await store.clear(scope="*")
        await store.clear(scope="a")
        left = [pair for pair in names if await store.get(scope=pair[0], thread_id=pair[1]) is not None]
        assert left == [pair for pair in names if pair[0] not in ("a", "*")]
        await store.clear()
        assert [one async for one in memory.all_sessions()] == ["mine"]
        wrong: Any
        for wrong, error in (("", ValueError), (5, TypeError), (None, TypeError)):
            for call in (store.get(scope=wrong, thread_id="t"), store.delete(scope="a", thread_id=wrong)):
                with pytest.raises(error):
                    await call

    async def test_two_writers_at_once(self, memory: chatmem.ChatMemory, url: str, prefix: str) -> None:
        """A reader always finds all of one snapshot."""
        async with chatmem.connect(url, prefix=prefix, ttl=60) as other:

            async def write(who: str, memory: chatmem.ChatMemory) -> None:
                for number in range(20):
                    messages: list[dict[str, Any]] = [{"id": f"{who}{number}"}] * (number % 4)
                    snapshot = AGUIThreadSnapshot(messages, state={"of": f"{who}{number}"})
                    await ChatmemSnapshotStore(memory).save(**WHERE, snapshot=snapshot)

            async def read() -> None:
                for _ in range(60):
                    found = await ChatmemSnapshotStore(memory).get(**WHERE)
                    if found is not None and found.state is not None:
                        of = found.state["of"]
                        assert found.messages == [{"id": of}] * (int(of[1:]) % 4)

            await asyncio.gather(write("a", memory), write("b", other), read())

    async def test_faults(self, url: str, prefix: str) -> None:
        """Behind a network that fails at every third command, the last snapshot is there as it was saved."""
        schedule, where, number = Schedule(3, 80), urlsplit(url), 0
        with failing(lambda: (str(where.hostname), int(where.port or 0)), schedule, patience=0.1) as proxy:
            behind = f"redis://127.0.0.1:{proxy.port}/0?socket_timeout=0.1&socket_connect_timeout=0.1"
            async with (
                chatmem.connect(behind, prefix=prefix, ttl=60) as memory,
                chatmem.connect(url, prefix=prefix, ttl=60) as direct,
            ):
                while not schedule.is_over:
                    number += 1
                    messages = [{"id": f"{one}", "role": "user", "content": f"{one}"} for one in range(number)]
                    snapshot = AGUIThreadSnapshot(messages, state={"number": number})
                    done = False
                    while not done:
                        with suppress(chatmem.UnavailableError):
                            await ChatmemSnapshotStore(memory).save(**WHERE, snapshot=snapshot)
                            done = True
                    proxy.settle()
                    assert await ChatmemSnapshotStore(direct).get(**WHERE) == snapshot

    async def test_encryption(self, url: str, prefix: str) -> None:
        """Nothing can be read without the key, and a snapshot that cannot be read is an error."""
        snapshot = AGUIThreadSnapshot([{"id": "1", "role": "user", "content": "secret"}], state={"x": "secret state"})
        async with chatmem.connect(url, prefix=prefix, ttl=60, encryption=chatmem.KeyRing({"k": b"k" * 32})) as memory:
            await ChatmemSnapshotStore(memory).save(**WHERE, snapshot=snapshot)
            assert await ChatmemSnapshotStore(memory).get(**WHERE) == snapshot
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
            with pytest.raises(chatmem.CorruptRecordError):
                await ChatmemSnapshotStore(memory).get(**WHERE)
        with redis.Redis.from_url(url) as raw:
            kept = b"".join(raw.dump(key) or b"" for key in raw.scan_iter(f"{prefix}*"))
        assert kept
        assert b"secret" not in kept


def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"fine in {city}"


def post(client: TestClient, thread: str, *messages: dict[str, Any], user: str = "alice") -> list[dict[str, Any]]:
    """Return the events of a run."""
    body = {"threadId": thread, "runId": "r", "messages": messages, "state": {}, "tools": [], "context": []}
    response = client.post("/", json={**body, "forwardedProps": {"user": user}})
    assert response.status_code == 200
    return [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line.startswith("data: ")]


def test_the_endpoint(url: str, prefix: str) -> None:
    """After a restart, a client that connects to a thread gets all of it; another user's thread is empty."""
    script = scripted(calling(c1="Lima"), said("Fine."), said("Bye."), said("Hello, Bob."))
    client = OfflineClient(script)

    def app() -> FastAPI:
        memory = chatmem.connect(url, prefix=prefix, ttl=60)
        history = ChatmemHistoryProvider(memory, load_messages=False)  # clients send the conversation themselves
        agent = Agent(client, tools=[tool(weather)], context_providers=[history])
        made = FastAPI()
        add_agent_framework_fastapi_endpoint(
            made,
            agent,
            snapshot_store=ChatmemSnapshotStore(memory),
            snapshot_scope_resolver=lambda request: str((request.forwarded_props or {})["user"]),
        )
        return made

    with TestClient(app()) as browser:
        events = post(browser, "t", {"id": "u1", "role": "user", "content": "Lima?"})
        assert events[-1]["type"] == "RUN_FINISHED"
    with TestClient(app()) as browser:
        (hydrated,) = [one for one in post(browser, "t") if one["type"] == "MESSAGES_SNAPSHOT"]
        shown = [(one["role"], one.get("content")) for one in hydrated["messages"]]
        assert shown[0] == ("user", "Lima?")
        assert shown[-1] == ("assistant", "Fine.")
        assert ("tool", "fine in Lima") in shown
        post(browser, "t", *hydrated["messages"], {"id": "u2", "role": "user", "content": "Thanks"})
        post(browser, "t", {"id": "u1", "role": "user", "content": "Hi"}, user="bob")
        assert "MESSAGES_SNAPSHOT" not in [one["type"] for one in post(browser, "t", user="carol")]
        (hydrated,) = [one for one in post(browser, "t", user="bob") if one["type"] == "MESSAGES_SNAPSHOT"]
        assert [one["content"] for one in hydrated["messages"]] == ["Hi", "Hello, Bob."]
    assert [message.text for message in client.seen[-2] if message.role == "user"] == ["Lima?", "Thanks"]
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory:
        (conversation,) = [one for one in memory.all_sessions() if len(memory.history(one).messages()) == 6]
        said_in_it = [(one.type, one.text) for one in memory.history(conversation).messages()]
    assert said_in_it == [
        ("human", "Lima?"),
        ("ai", ""),
        ("tool", "fine in Lima"),
        ("ai", "Fine."),
        ("human", "Thanks"),
        ("ai", "Bye."),
    ]
