"""The Claude Agent SDK's own contracts, and what chatmem promises beyond them: once, isolated, whole, free of races."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import messages as lc

import chatmem
from chatmem.claude_agents import ChatmemSessionStore
from chatmem.claude_agents.entries import entry_of, message_of
from chatmem.codec import record
from chatmem.core.window import Window
from chatmem.openai_agents import ChatmemSession
from chatmem.pydantic_ai import ModelMessageHistory
from tests import providers
from tests.conftest import Connect
from tests.coroutines import AsCoroutines
from tests.faults import Schedule, failing

needs_sdk = pytest.mark.skipif(
    find_spec("claude_agent_sdk") is None, reason="pip install claude-agent-sdk (385 MB): nox -s adapters"
)
KEY: Any = {"project_key": "-srv-app", "session_id": "11111111-1111-4111-8111-111111111111"}


def at(**more: str) -> Any:
    """Return a key like `KEY`, with other parts."""
    return {**KEY, **more}


def said(kind: str, uuid: str | None, content: Any, **more: Any) -> Any:
    role = {"role": kind, "content": content, **({"model": "claude", "id": "msg_1"} if kind == "assistant" else {})}
    return {"type": kind, **({"uuid": uuid} if uuid else {}), "sessionId": "s", "message": role, **more}


SUB = at(subpath="subagents/agent-1")
TITLE: Any = {"type": "custom-title", "customTitle": "T"}
MODE: Any = {"type": "mode", "mode": "x"}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "fine", "is_error": False}
ENTRIES: list[Any] = [
    {"type": "queue-operation", "operation": "enqueue", "content": "Lima?"},
    said("user", "u1", "Lima?", parentUuid=None, timestamp="2026-01-01T00:00:00.000Z"),
    said("assistant", "u2", [{"type": "thinking", "thinking": "hm", "signature": "x" * 8}]),
    said("assistant", "u3", [{"type": "text", "text": "Let me see.", "citations": None}], requestId="r"),
    said("assistant", "u4", [{"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Lima"}}]),
    said("user", "u5", [RESULT], toolUseResult={"stdout": "fine"}),
    said("assistant", "u6", [{"type": "text", "text": "Fine."}]),
    said(
        "user", "u7", [{"type": "text", "text": "And this?"}, {"type": "image", "source": {"type": "url", "url": "u"}}]
    ),
    said("user", "u8", [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}]),
    {"type": "custom-title", "customTitle": "Lima", "uuid": "u9", "timestamp": "2026-01-01T00:00:05.000Z"},
    {"type": "file-history-snapshot", "snapshot": {"files": {}, "n": 1.5, "none": None}},
]
TEXTS = ["Lima?", "", "Let me see.", "", "fine", "Fine.", "And this?", ""]


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


@pytest.fixture
def store(memory: chatmem.ChatMemory) -> ChatmemSessionStore:
    return ChatmemSessionStore(memory)


@needs_sdk
class TestTheSDK:
    @pytest.mark.parametrize("user", [None, "alice"])
    async def test_conformance(self, connect: Connect, prefix: str, user: str | None) -> None:
        """All 14 contracts, the optional ones included, on every server, encrypted or not."""
        from claude_agent_sdk.testing import run_session_store_conformance

        if isinstance(connect(), AsCoroutines):
            pytest.skip("the SDK is asynchronous")
        for ring in (None, chatmem.KeyRing({"k": b"k" * 32})):
            numbers = iter(range(100))

            def fresh(numbers: Any = numbers, ring: Any = ring) -> ChatmemSessionStore:
                return ChatmemSessionStore(
                    connect(prefix=f"{prefix}-{ring is None}-{next(numbers)}", encryption=ring), user=user
                )

            await run_session_store_conformance(fresh)

    async def test_a_mirror_and_a_resume(
        self, memory: chatmem.ChatMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the SDK mirrors is what it writes down for the process that resumes, subagents included."""
        from claude_agent_sdk import ClaudeAgentOptions, project_key_for_directory
        from claude_agent_sdk._internal.session_resume import materialize_resume_session
        from claude_agent_sdk._internal.transcript_mirror_batcher import TranscriptMirrorBatcher

        monkeypatch.setattr(Path, "home", staticmethod(lambda: tmp_path))
        monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
        store, errors = ChatmemSessionStore(memory, user="alice"), list[Any]()

        async def on_error(*error: Any) -> None:
            errors.append(error)

        folder = tmp_path / "projects" / project_key_for_directory(tmp_path)
        batcher = TranscriptMirrorBatcher(store=store, projects_dir=str(folder.parent), on_error=on_error)
        batcher.enqueue(f"{folder}/{KEY['session_id']}.jsonl", ENTRIES)
        batcher.enqueue(f"{folder}/{KEY['session_id']}/subagents/agent-1.jsonl", ENTRIES[1:2])
        await batcher.flush()
        assert errors == []
        options = ClaudeAgentOptions(cwd=tmp_path, session_store=store, continue_conversation=True)
        resumed = await materialize_resume_session(options)
        assert resumed is not None
        assert resumed.resume_session_id == KEY["session_id"]
        main = resumed.config_dir / "projects" / folder.name / f"{KEY['session_id']}.jsonl"
        assert [json.loads(line) for line in main.read_text().splitlines()] == ENTRIES
        sub = main.with_suffix("") / "subagents" / "agent-1.jsonl"
        assert [json.loads(line) for line in sub.read_text().splitlines()] == ENTRIES[1:2]
        await resumed.cleanup()

    async def test_summaries(self, memory: chatmem.ChatMemory, store: ChatmemSessionStore) -> None:
        """They are what the SDK makes of all stored entries, whoever wrote them, listed or not in between."""
        from claude_agent_sdk import fold_session_summary

        async def check() -> None:
            (listed,) = await store.list_session_summaries(KEY["project_key"])
            stored: Any = await store.load(KEY)
            assert listed["data"] == fold_session_summary(None, KEY, stored)["data"]
            assert [listed["mtime"]] == [one["mtime"] for one in await store.list_sessions(KEY["project_key"])]

        await store.append(KEY, ENTRIES)
        await check()
        await check()
        tag: Any = [{"type": "tag", "tag": "a"}]
        other = ChatmemSessionStore(memory)
        for _ in range(5):
            await asyncio.gather(
                *(one.append(KEY, tag * 3) for one in (store, other)),
                store.append(KEY, [said("user", None, "x", customTitle="T")]),
                *(one.list_session_summaries(KEY["project_key"]) for one in (store, other)),
            )
            await check()
        await store.append(KEY, [said("user", "u1", "Rome?", customTitle="R")])
        await check()
        await memory.history(store.session_id(KEY)).replace("u9", message_of({"type": "custom-title", "uuid": "u9"}))
        await check()

    async def test_a_summary_is_kept(
        self, memory: chatmem.ChatMemory, store: ChatmemSessionStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Only what came since is read again; the application's own metadata and the order of the sessions stay."""
        history = memory.history(store.session_id(KEY), user=KEY["project_key"])
        await history.update(metadata={"own": 1})
        await store.append(KEY, ENTRIES[1:2])
        before = await history.info()
        (first,) = await store.list_session_summaries(KEY["project_key"])
        after = await history.info()
        assert (after.version, after.updated_at, after.metadata["own"]) == (before.version, before.updated_at, 1)
        kept = after.metadata["claude_agents_summary"]
        changed = {**kept, "data": {**first["data"], "from": "the kept one"}}
        await history.update(metadata={"claude_agents_summary": changed}, merge=True)
        (again,) = await store.list_session_summaries(KEY["project_key"])
        assert again["data"]["from"] == "the kept one"
        await store.append(KEY, [said("user", "u2", "x", customTitle="T")])
        (again,) = await store.list_session_summaries(KEY["project_key"])
        assert (again["data"]["from"], again["data"]["custom_title"]) == ("the kept one", "T")
        await store.delete(KEY)
        await store.append(KEY, ENTRIES[1:2])
        (anew,) = await store.list_session_summaries(KEY["project_key"])
        assert anew["data"] == first["data"]

    async def test_an_unreadable_record(self, url: str, prefix: str) -> None:
        """It is left out of a summary, as of the transcript."""
        ring = chatmem.KeyRing({"k": b"k" * 32})
        async with (
            chatmem.connect(url, prefix=prefix, ttl=60, encryption=ring) as sealed,
            chatmem.connect(url, prefix=prefix, ttl=60) as plain,
        ):
            await ChatmemSessionStore(sealed).append(KEY, ENTRIES * 100)
            store = ChatmemSessionStore(plain)
            await store.append(KEY, [TITLE])
            (summary,) = await store.list_session_summaries(KEY["project_key"])
            assert summary["data"]["custom_title"] == "T"
            assert await store.load(KEY) == [TITLE]


class TestTranscripts:
    async def test_entries_come_back(self, connect: Connect) -> None:
        """Every server returns them equal and in order, encrypted or not; a repeated batch is stored once."""
        for ring in (None, chatmem.KeyRing({"k": b"k" * 32})):
            memory = connect(encryption=ring)
            if isinstance(memory, AsCoroutines):
                pytest.skip("the SDK is asynchronous")
            store = ChatmemSessionStore(memory, user=f"alice-{ring is None}")
            key = at(session_id=f"s/{ring is None}")
            assert await store.load(key) is None
            await store.append(key, [])
            assert await store.load(key) is None
            await store.append(key, ENTRIES)
            await store.append(key, ENTRIES[1:5])
            assert await store.load(key) == ENTRIES
            await store.append(at(**key, subpath="a"), ENTRIES[:2])
            assert await store.list_subkeys(key) == ["a"]
            assert [one["session_id"] for one in await store.list_sessions(KEY["project_key"])] == [key["session_id"]]
            await store.delete(key)
            assert await store.load(at(**key, subpath="a")) is None

    async def test_an_entry_again(self, store: ChatmemSessionStore) -> None:
        """A uuid that is stored already takes the stored one's place; entries without one are all kept."""
        await store.append(KEY, [said("user", "u1", "a"), MODE])
        await store.append(KEY, [said("user", "u1", "b"), MODE])
        assert await store.load(KEY) == [said("user", "u1", "b"), MODE, MODE]

    async def test_keys_are_exact(self, store: ChatmemSessionStore) -> None:
        """No two keys are one session, whatever characters they have."""
        names = ["a", "A", "a/b", "a%2Fb", "%", "b", "é", "*"]
        keys: list[Any] = [{"project_key": p, "session_id": s} for p in names for s in names]
        keys += [{**keys[0], "subpath": sub} for sub in names]
        for number, key in enumerate(keys):
            await store.append(key, [said("x", "u", number)])
        for number, key in enumerate(keys):
            assert await store.load(key) == [said("x", "u", number)]
        for project in names:
            assert sorted(one["session_id"] for one in await store.list_sessions(project)) == sorted(names)
        assert sorted(await store.list_subkeys(keys[0])) == sorted(names)
        with pytest.raises(ValueError, match="subpath must not be empty"):
            await store.load(at(subpath=""))

    async def test_a_session_of_another_user(self, memory: chatmem.ChatMemory) -> None:
        """It is neither read, changed, listed nor erased; `forget` erases transcripts of subagents too."""
        alices, bobs = (ChatmemSessionStore(memory, user=user) for user in ("alice", "bob"))
        await alices.append(KEY, ENTRIES)
        await alices.append(SUB, ENTRIES)
        for key in (KEY, SUB):
            for call in (bobs.load, bobs.delete, bobs.list_subkeys, partial(bobs.append, entries=ENTRIES)):
                with pytest.raises(chatmem.NotYoursError):
                    await call(key)
        assert await bobs.list_sessions(KEY["project_key"]) == []
        assert (await alices.load(KEY), await alices.load(SUB)) == (ENTRIES, ENTRIES)
        await memory.forget("alice")
        assert (await alices.load(KEY), await alices.load(SUB)) == (None, None)

    async def test_what_others_stored_there(self, memory: chatmem.ChatMemory, store: ChatmemSessionStore) -> None:
        """It is no entry, which the error says."""
        await memory.history(store.session_id(KEY), user=KEY["project_key"]).append("hi")
        with pytest.raises(chatmem.UnsupportedError, match="a HumanMessage that another program stored is no entry"):
            await store.load(KEY)

    async def test_many_sessions(self, store: ChatmemSessionStore) -> None:
        """All pages of a project's sessions are listed."""
        for number in range(1010):
            await store.append(at(session_id=str(number)), [{"type": "x"}])
        assert len(await store.list_sessions(KEY["project_key"])) == 1010


class TestSubagents:
    async def test_they_expire_with_their_session(
        self, url: str, prefix: str, memory: chatmem.ChatMemory, store: ChatmemSessionStore
    ) -> None:
        """An append to one transcript restarts the TTL of all of them."""
        other = at(subpath="subagents/agent-2")
        keys = (KEY, SUB, other)
        for key in keys:
            await store.append(key, ENTRIES[:1])
        for written in keys:
            for key in keys:
                await memory.history(store.session_id(key)).touch(ttl=5)
            await store.append(written, ENTRIES[1:2])
            for key in keys:
                assert (await memory.history(store.session_id(key)).info()).ttl > 30  # type: ignore[operator]

    async def test_many_at_once(self, memory: chatmem.ChatMemory) -> None:
        """Of subagents that begin at once, in several processes, each is listed."""
        names = [f"subagents/agent-{number}" for number in range(20)]
        stores = [ChatmemSessionStore(memory) for _ in names]
        await asyncio.gather(
            *(store.append(at(subpath=name), ENTRIES) for store, name in zip(stores, names, strict=True))
        )
        assert sorted(await stores[0].list_subkeys(KEY)) == sorted(names)
        assert await stores[0].list_sessions(KEY["project_key"]) == []
        await stores[0].append(KEY, ENTRIES)
        await stores[0].delete(at(subpath=names[0]))
        await stores[0].delete(at(subpath="unknown"))
        assert sorted(await stores[0].list_subkeys(KEY)) == sorted(names[1:])


class TestFaults:
    async def test_two_writers_at_once(self, memory: chatmem.ChatMemory) -> None:
        """Batches of both are whole, each once, in the order of each writer."""

        def batch(writer: int, number: int) -> list[Any]:
            return [{"type": "x", "uuid": f"{writer}-{number}-{at}"} for at in range(3)]

        async def write(writer: int) -> None:
            store = ChatmemSessionStore(memory)
            for number in range(20):
                await store.append(KEY, batch(writer, number))

        await asyncio.gather(write(0), write(1))
        loaded: Any = await ChatmemSessionStore(memory).load(KEY)
        assert len(loaded) == 120
        assert [loaded[at : at + 3] for at in range(0, 120, 3) if loaded[at]["uuid"][0] == "0"] == [
            batch(0, number) for number in range(20)
        ]
        assert [one for one in loaded if one["uuid"][0] == "1"] == [e for n in range(20) for e in batch(1, n)]

    async def test_retries_of_the_sdk(self, url: str, prefix: str) -> None:
        """A proxy that cuts, delays and swallows: 0 lost, 0 doubled, uuid or not, main transcript and subagents."""
        schedule, where = Schedule("claude", 60), urlsplit(url)
        with failing(lambda: (str(where.hostname), int(where.port or 0)), schedule, patience=1) as proxy:
            through = f"redis://127.0.0.1:{proxy.port}/0?socket_timeout=1"
            async with chatmem.connect(through, prefix=prefix, ttl=60) as memory:
                store, number = ChatmemSessionStore(memory), 0
                while not schedule.is_over:
                    for key in (KEY, SUB):
                        await insist(partial(store.append, key, numbered(number)))
                    number += 1
                proxy.settle()
                wanted = [entry for one in range(number) for entry in numbered(one)]
                assert (await store.load(KEY), await store.load(SUB)) == (wanted, wanted)
                assert await store.list_subkeys(KEY) == ["subagents/agent-1"]
        assert schedule.drawn.total() == 60


def numbered(number: int) -> list[Any]:
    return [{"type": "mode", "mode": "same"}, {"type": "x", "uuid": str(number)}, {"type": "mode", "mode": "same"}]


async def insist(call: Callable[[], Any]) -> None:
    """Repeat a call until it succeeds, as the SDK does three times."""
    for _ in range(30):
        try:
            await call()
        except chatmem.UnavailableError:
            continue
        return
    raise AssertionError("it never succeeded")


class TestWhatOthersRead:
    async def test_langchain(self, memory: chatmem.ChatMemory, store: ChatmemSessionStore) -> None:
        """Texts, thinking, images, calls and results."""
        await store.append(KEY, ENTRIES)
        messages = await memory.history(store.session_id(KEY)).messages()
        assert [one.type for one in messages] == [
            "ai",
            "human",
            "ai",
            "ai",
            "ai",
            "tool",
            "ai",
            "human",
            "human",
            "ai",
            "ai",
        ]
        assert [one.text for one in messages[1:9]] == TEXTS
        assert isinstance(messages[4], lc.AIMessage)
        assert [(call["name"], call["args"], call["id"]) for call in messages[4].tool_calls] == [
            ("weather", {"city": "Lima"}, "t1")
        ]
        assert messages[2].content == [{"type": "reasoning", "reasoning": "hm"}]
        assert messages[8].content == [{"type": "image", "base64": "aGk=", "mime_type": "image/png"}]
        found = await memory.search(KEY["project_key"], "fine")
        assert {one.entry.id for one in found} == {"u5", "u6"}

    async def test_the_other_adapters(self, memory: chatmem.ChatMemory, store: ChatmemSessionStore) -> None:
        """Text, tool calls and results."""
        await store.append(KEY, ENTRIES[:7])
        name = store.session_id(KEY)
        parts = [part for one in await ModelMessageHistory(memory, name).messages() for part in one.parts]
        assert [part.part_kind for part in parts] == [
            "user-prompt",
            "thinking",
            "text",
            "tool-call",
            "tool-return",
            "text",
        ]
        await store.delete(KEY)
        await store.append(KEY, [*ENTRIES[:2], *ENTRIES[3:7]])
        items = await ChatmemSession(memory, name).get_items()
        kinds = [item.get("type", item.get("role")) for item in items]
        assert kinds == ["assistant", "user", "assistant", "function_call", "function_call_output", "assistant"]

    @pytest.mark.parametrize("content", ["gone", [], [{"type": "text", "text": "gone"}]])
    async def test_a_message_that_is_changed(
        self, memory: chatmem.ChatMemory, store: ChatmemSessionStore, content: Any
    ) -> None:
        """If a message is redacted, its entry is redacted, too."""
        await store.append(KEY, ENTRIES)
        history = memory.history(store.session_id(KEY))
        for message in await history.messages():
            gone = {"content": content, **({"tool_calls": []} if isinstance(message, lc.AIMessage) else {})}
            await history.replace(str(message.id), message.model_copy(update=gone))
        loaded: Any = await store.load(KEY)
        assert [one.get("uuid") for one in loaded] == [one.get("uuid") for one in ENTRIES]
        left = str([one["message"] for one in loaded if "message" in one])
        assert not any(text in left for text in ("Lima", "hm", "see", "fine", "Fine", "aGk="))

    @given(st.lists(st.sampled_from(ENTRIES), max_size=8))
    def test_any_window_is_sendable(self, entries: list[Any]) -> None:
        """A window of any entries, in any order, can be sent to a model."""
        window = Window(messages=None, turns=None, tokens=None, token_counter="approximate", start_on="human")
        selection = window.select([])
        selection.take([message_of(entry) for entry in entries])
        providers.check(asyncio.run(selection.messages(partial(asyncio.sleep, 0))))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_types = st.sampled_from(["text", "thinking", "tool_use", "tool_result", "image", "document", "x"]) | _json
_names = st.sampled_from(
    ["text", "thinking", "id", "name", "input", "tool_use_id", "content", "is_error", "source", "z"]
)
_source = st.fixed_dictionaries(
    {"type": st.just("base64"), "media_type": st.just("image/png") | _json, "data": st.text(max_size=3) | _json}
)
_parts = st.dictionaries(_names, st.text(max_size=3) | _source | _json, max_size=5).flatmap(
    lambda part: _types.map(lambda kind: {**part, "type": kind})
)
_nested = st.tuples(_parts, st.lists(_parts, max_size=2)).map(lambda pair: {**pair[0], "content": pair[1]})
_contents = st.text(max_size=3) | st.lists(_parts | _nested, max_size=3) | _json


@given(
    st.sampled_from(["user", "assistant", "system"]), _contents, st.dictionaries(st.text(max_size=5), _json, max_size=2)
)
def test_any_entry_comes_back(kind: str, content: Any, more: dict[str, Any]) -> None:
    """Any entry comes back equal from its record."""
    entry = {**more, "type": kind, "message": {"role": kind, "content": content, **more}}
    encoded = record.encode(message_of(entry), 0, 0)
    assert entry_of(record.decode(b"0:" + encoded.record, None).message) == entry


def test_large_texts_are_stored_once() -> None:
    """A text, a tool's arguments and an image lie in the message alone."""
    large = "abc é" * 2000
    for entry in (
        said("user", "u", large),
        said("assistant", "u", [{"type": "text", "text": large}]),
        said("assistant", "u", [{"type": "thinking", "thinking": large, "signature": "x"}]),
        said("assistant", "u", [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": large}}]),
        said("user", "u", [{**RESULT, "content": large}]),
        said("user", "u", [{**RESULT, "content": [{"type": "text", "text": large}]}]),
        said("user", "u", [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": large}}]),
    ):
        message = message_of(entry)
        assert len(record.encode(message, 0, 0).record) < 1.1 * len(json.dumps(entry, ensure_ascii=False).encode())
        assert entry_of(message) == entry


def test_what_is_no_entry() -> None:
    wrong: Any
    for wrong in ("hi", None, 5, ["type"]):
        with pytest.raises(ValueError, match="an entry must be a dict"):
            message_of(wrong)
