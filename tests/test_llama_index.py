"""LlamaIndex's memories on chatmem: messages come back exactly, calls are atomic, and others read what is stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import messages as lc
from typer.testing import CliRunner

import chatmem
import chatmem.sync
from chatmem.cli.app import app
from chatmem.codec import record
from chatmem.core.window import Window
from chatmem.openai_agents import ChatmemSession
from chatmem.pydantic_ai import ModelMessageHistory
from tests import providers
from tests.conftest import Connect
from tests.coroutines import AsCoroutines
from tests.faults import Schedule, failing
from tests.test_claude_agents import insist

llama: Any = pytest.importorskip(
    "llama_index.core.base.llms.types", reason="pip install llama-index-core (92 MB): nox -s adapters"
)

from llama_index.core.memory import ChatMemoryBuffer, Memory  # noqa: E402
from llama_index.core.storage.chat_store.base_db import MessageStatus  # noqa: E402

from chatmem.llama_index import ChatmemChatStore, ChatmemDBChatStore  # noqa: E402
from chatmem.llama_index.messages import to_chat_message, to_message  # noqa: E402

Message = llama.ChatMessage
PIXEL = b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CALL = llama.ToolCallBlock(tool_call_id="c1", tool_name="weather", tool_kwargs={"city": "Lima"})


def text(role: str, said: str) -> Any:
    return Message(role=role, content=said)


MESSAGES: list[Any] = [
    text("system", "Be brief."),
    text("user", "Lima?"),
    Message(role="assistant", blocks=[llama.ThinkingBlock(content="hm", num_tokens=1), CALL]),
    Message(role="tool", content="fine", additional_kwargs={"tool_call_id": "c1", "name": "weather"}),
    Message(
        role="assistant", content="Fine.", additional_kwargs={"raw": {"n": float("inf"), "b": b"\xff", "t": 2**70}}
    ),
    Message(role="user", blocks=[llama.TextBlock(text="And this?"), llama.ImageBlock(url="https://example.org/a.png")]),
    Message(role="user", blocks=[llama.ImageBlock(image=PIXEL), llama.DocumentBlock(data=PIXEL, title="t")]),
    Message(
        role="chatbot",
        blocks=[
            llama.CitableBlock(title="t", source="s", content=[llama.TextBlock(text="x")]),
            llama.CitationBlock(cited_content="x", source="s", title="t", additional_location_info={"a": 1}),
            llama.ThinkingBlock(),
            llama.CachePoint(cache_control=llama.CacheControl(type="ephemeral")),
            llama.AudioBlock(audio=PIXEL, format="wav"),
            llama.VideoBlock(url="https://example.org/a.mp4"),
            llama.ToolCallBlock(tool_name="f", tool_kwargs="{bad"),
        ],
    ),
    Message(role="function", content="f"),
    Message(role="model"),
    Message(role="developer", blocks=[llama.TextBlock(text="")]),
    Message(
        role="user", blocks=[llama.TextBlock(text="a"), llama.TextBlock(text="b")], additional_kwargs={"a": "\ud800"}
    ),
]


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


def contents(messages: list[Any]) -> list[Any]:
    return [message.content for message in messages]


class TestDBChatStore:
    async def test_messages_come_back(self, connect: Connect) -> None:
        """Every server returns them equal, with any status, and pages of them; encrypted or not."""
        for ring in (None, chatmem.KeyRing({"k": b"k" * 32})):
            memory = connect(encryption=ring)
            if isinstance(memory, AsCoroutines):
                pytest.skip("the interface is asynchronous")
            store, key = ChatmemDBChatStore(memory), f"s-{ring is None}"
            assert await store.get_messages(key) == []
            await store.add_messages(key, [])
            await store.add_messages(key, MESSAGES[:5])
            for message in MESSAGES[5:]:
                await store.add_message(key, message)
            assert await store.get_messages(key) == MESSAGES
            assert await store.get_messages(key, limit=2, offset=1) == MESSAGES[1:3]
            assert await store.archive_oldest_messages(key, 3) == MESSAGES[:3]
            assert await store.get_messages(key) == MESSAGES[3:]
            assert await store.get_messages(key, MessageStatus.ARCHIVED) == MESSAGES[:3]
            assert await store.get_messages(key, None) == MESSAGES
            counts = [
                await store.count_messages(key, one) for one in (MessageStatus.ACTIVE, MessageStatus.ARCHIVED, None)
            ]
            assert counts == [len(MESSAGES) - 3, 3, len(MESSAGES)]
            assert await store.delete_oldest_messages(key, 1) == MESSAGES[3:4]
            assert await store.delete_message(key, 1) == MESSAGES[5]
            assert [await store.delete_message(key, index) for index in (-1, 99)] == [None, None]
            await store.delete_messages(key, MessageStatus.ARCHIVED)
            assert await store.get_messages(key, None) == [MESSAGES[4], *MESSAGES[6:]]
            await store.set_messages(key, MESSAGES[:2])
            assert await store.get_messages(key, None) == MESSAGES[:2]
            await store.delete_messages(key, MessageStatus.ACTIVE)
            assert await store.count_messages(key, None) == 0
            await store.add_messages(key, MESSAGES[:2], MessageStatus.ARCHIVED)
            assert await store.get_messages(key) == []
            await store.delete_messages(key)
            assert await memory.history(key).count() == 0

    async def test_a_long_archive_is_not_read(self, memory: chatmem.ChatMemory, url: str) -> None:
        """Active messages are read from the end, and as many of them as there are."""
        store = ChatmemDBChatStore(memory)
        many = [text("user", str(number)) for number in range(3000)]
        await store.add_messages("s", many)
        assert await store.get_messages("s") == many
        assert len(await store.archive_oldest_messages("s", 2990)) == 2990
        with redis.Redis.from_url(url) as raw:
            before: Any = raw.info("stats")
            assert await store.get_messages("s") == many[2990:]
            after: Any = raw.info("stats")
        assert after["total_net_output_bytes"] - before["total_net_output_bytes"] < 100_000
        assert contents(await store.get_messages("s", MessageStatus.ARCHIVED)) == contents(many[:2990])

    async def test_a_memory(self, memory: chatmem.ChatMemory) -> None:
        """LlamaIndex's `Memory` archives what exceeds its limit, and goes on in another process."""
        for number in range(8):
            chat = Memory.from_defaults(
                session_id="s", token_limit=60, token_flush_size=20, chat_store=ChatmemDBChatStore(memory, user="alice")
            )
            await chat.aput_messages([text("user", f"{number} " + "x " * 8), text("assistant", "y " * 8)])
        everything = await chat.aget_all()
        assert len(everything) == 16
        active = await chat.aget()
        assert 0 < len(active) < 16
        assert active == everything[-len(active) :]
        assert await ChatmemDBChatStore(memory, user="alice").get_keys() == ["s"]
        await chat.areset()
        assert await chat.aget_all() == []

    async def test_another_user_s(self, memory: chatmem.ChatMemory) -> None:
        """Another user's session is neither read nor changed."""
        await ChatmemDBChatStore(memory, user="alice").add_messages("s", MESSAGES)
        bobs = ChatmemDBChatStore(memory, user="bob")
        for call in (
            bobs.get_messages("s"),
            bobs.add_messages("s", MESSAGES),
            bobs.set_messages("s", MESSAGES),
            bobs.delete_messages("s"),
            bobs.archive_oldest_messages("s", 1),
            bobs.delete_oldest_messages("s", 1),
        ):
            with pytest.raises(chatmem.NotYoursError):
                await call
        assert await bobs.get_keys() == []
        assert await ChatmemDBChatStore(memory, user="alice").get_messages("s") == MESSAGES


class TestChatStore:
    @pytest.mark.parametrize("facade", ["async", "sync"])
    async def test_both_ways(self, url: str, prefix: str, facade: str) -> None:
        """Synchronous and asynchronous methods do the same, with the memory of either facade."""
        kind = chatmem if facade == "async" else chatmem.sync
        memory = kind.connect(url, prefix=prefix, ttl=60)
        store = ChatmemChatStore(memory)
        for number, message in enumerate(MESSAGES):
            store.add_message("a", message)
            await store.async_add_message("b", message)
            assert number or store.get_keys()
        for key in "ab":
            assert store.get_messages(key) == await store.aget_messages(key) == MESSAGES
        assert sorted(store.get_keys()) == sorted(await store.aget_keys()) == ["a", "b"]
        store.add_message("a", text("user", "new"), idx=1)
        await store.async_add_message("b", text("user", "new"), idx=1)
        wanted = [MESSAGES[0], text("user", "new"), *MESSAGES[1:]]
        assert store.get_messages("a") == store.get_messages("b") == wanted
        assert store.delete_message("a", 1) == await store.adelete_message("b", 1) == wanted[1]
        assert store.delete_message("a", 99) is await store.adelete_message("b", -1) is None
        assert store.delete_last_message("a") == await store.adelete_last_message("b") == MESSAGES[-1]
        store.set_messages("a", MESSAGES[:2])
        await store.aset_messages("b", MESSAGES[:2])
        assert store.delete_messages("a") == await store.adelete_messages("b") == MESSAGES[:2]
        assert store.delete_messages("a") is None
        assert store.delete_last_message("a") is None
        memory.close() if isinstance(memory, chatmem.sync.ChatMemory) else await memory.aclose()

    def test_a_buffer(self, url: str, prefix: str) -> None:
        """A `ChatMemoryBuffer` goes on with what another one stored."""
        with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory:
            for said in ("a", "b"):
                buffer = ChatMemoryBuffer.from_defaults(
                    token_limit=100, chat_store=ChatmemChatStore(memory), chat_store_key="s"
                )
                buffer.put(text("user", said))
            assert contents(buffer.get()) == ["a", "b"]
            assert ChatmemChatStore(memory).model_dump() == {"class_name": "ChatmemChatStore"}


class TestFaults:
    async def test_two_writers_at_once(self, memory: chatmem.ChatMemory) -> None:
        """Messages of both are there once and in order, whatever is archived, inserted and replaced meanwhile."""

        async def write(writer: str) -> None:
            store = ChatmemDBChatStore(memory)
            for number in range(20):
                await store.add_messages("s", [text("user", f"{writer}{number}{at}") for at in "xy"])

        async def archive() -> list[Any]:
            store = ChatmemDBChatStore(memory)
            return [one for _ in range(10) for one in await store.archive_oldest_messages("s", 3)]

        archived = (await asyncio.gather(write("a"), write("b"), archive(), archive()))[2:]
        store = ChatmemDBChatStore(memory)
        everything = contents(await store.get_messages("s", None))
        for writer in "ab":
            mine = [one for one in everything if one[0] == writer]
            assert mine == [f"{writer}{number}{at}" for number in range(20) for at in "xy"]
        taken = contents([*archived[0], *archived[1]])
        assert len(taken) == len(set(taken))
        assert sorted(taken) == sorted(contents(await store.get_messages("s", MessageStatus.ARCHIVED)))
        stores = [ChatmemChatStore(memory) for _ in range(10)]
        await asyncio.gather(*(one.async_add_message("s", text("user", "new"), idx=0) for one in stores))
        assert contents(await store.get_messages("s", None)).count("new") == 10
        await asyncio.gather(*(one.aset_messages("s", [text("user", str(n))] * 3) for n, one in enumerate(stores)))
        assert contents(await store.get_messages("s", None)) in [[str(number)] * 3 for number in range(10)]

    async def test_a_faulty_network(self, url: str, prefix: str) -> None:
        """A proxy that cuts, delays and swallows: 0 lost, 0 doubled."""
        schedule, where = Schedule("llama", 60), urlsplit(url)
        with failing(lambda: (str(where.hostname), int(where.port or 0)), schedule, patience=1) as proxy:
            through = f"redis://127.0.0.1:{proxy.port}/0?socket_timeout=1"
            async with chatmem.connect(through, prefix=prefix, ttl=60) as memory:
                store, number = ChatmemDBChatStore(memory), 0
                while not schedule.is_over:
                    said = [text("user", "same"), text("assistant", str(number))]
                    await insist(partial(store.add_messages, "s", said))
                    await insist(partial(store.set_messages, "t", said))
                    number += 1
                proxy.settle()
                wanted = [one for n in range(number) for one in ("same", str(n))]
                assert contents(await store.get_messages("s")) == wanted
                assert contents(await store.get_messages("t")) == wanted[-2:]


class TestWhatOthersRead:
    async def test_langchain_and_the_adapters(self, memory: chatmem.ChatMemory) -> None:
        """Text, reasoning, files, calls and results."""
        store = ChatmemDBChatStore(memory)
        await store.add_messages("s", MESSAGES[:7])
        read = await memory.history("s").messages()
        assert [one.type for one in read] == ["system", "human", "ai", "tool", "ai", "human", "human"]
        assert isinstance(read[2], lc.AIMessage)
        assert read[2].tool_calls[0]["args"] == {"city": "Lima"}
        assert [one.text for one in read[3:6]] == ["fine", "Fine.", "And this?"]
        parts = [part.part_kind for one in await ModelMessageHistory(memory, "s").messages() for part in one.parts]
        kinds = ["system-prompt", "user-prompt", "thinking", "tool-call", "tool-return", "text", "user-prompt"]
        assert parts == [*kinds, "user-prompt"]
        await store.set_messages("s", [*MESSAGES[:2], Message(role="assistant", blocks=[CALL]), *MESSAGES[3:5]])
        items = await ChatmemSession(memory, "s").get_items()
        kinds = [item.get("type", item.get("role")) for item in items]
        assert kinds == ["system", "user", "function_call", "function_call_output", "assistant"]

    async def test_a_session_of_langchain(self, memory: chatmem.ChatMemory) -> None:
        """Text, files, calls and results become messages; anything else is an error that names it."""
        await memory.history("s").append(
            lc.SystemMessage("Be brief."),
            lc.HumanMessage([{"type": "text", "text": "Lima?"}, {"type": "image", "url": "https://example.org/a.png"}]),
            lc.AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Lima"}, "id": "c1"}]),
            lc.ToolMessage("fine", tool_call_id="c1", name="weather"),
        )
        store = ChatmemDBChatStore(memory)
        image = llama.ImageBlock(url="https://example.org/a.png")
        assert await store.get_messages("s") == [
            MESSAGES[0],
            Message(role="user", blocks=[llama.TextBlock(text="Lima?"), image]),
            Message(role="assistant", blocks=[CALL]),
            MESSAGES[3],
        ]
        assert await store.archive_oldest_messages("s", 1) == MESSAGES[:1]
        assert await store.delete_message("s", 2) == MESSAGES[3]
        assert contents(await store.get_messages("s", None)) == ["Be brief.", "Lima?", None]
        for wrong in (lc.ChatMessage(content="x", role="judge"), lc.HumanMessage([{"type": "video", "url": "u"}])):
            await memory.history("t").append(wrong)
            with pytest.raises(chatmem.UnsupportedError, match=type(wrong).__name__):
                await store.get_messages("t")
            await store.delete_messages("t")

    async def test_a_message_that_is_changed(self, memory: chatmem.ChatMemory) -> None:
        """If a message is redacted, so is the `ChatMessage`."""
        store, history = ChatmemDBChatStore(memory), memory.history("s")
        await store.add_messages("s", MESSAGES)
        for message in await history.messages():
            gone = {"content": "gone", **({"tool_calls": []} if isinstance(message, lc.AIMessage) else {})}
            await history.replace(str(message.id), message.model_copy(update=gone))
        read = await store.get_messages("s")
        assert {message.content for message in read} == {"gone"}
        assert [message.role for message in read] == [message.role for message in MESSAGES]

    @given(st.lists(st.sampled_from(MESSAGES), max_size=8))
    def test_any_window_is_sendable(self, messages: list[Any]) -> None:
        """A window of any messages, in any order, can be sent to a model."""
        window = Window(messages=None, turns=None, tokens=None, token_counter="approximate", start_on="human")
        selection = window.select([])
        selection.take([to_message(message) for message in messages])
        providers.check(asyncio.run(selection.messages(partial(asyncio.sleep, 0))))


class TestMigration:
    def test_lists_of_its_redis_store(self, url: str, prefix: str) -> None:
        """Messages of both forms, oldest first, are moved; what is no message is listed and stays."""
        old = {"role": "user", "content": "of before there were blocks", "additional_kwargs": {"a": 1}}
        plain = [*MESSAGES[:4], *MESSAGES[5:8]]
        with redis.Redis.from_url(url) as raw:
            raw.rpush(f"{prefix}-chat", json.dumps(old), *(one.model_dump_json() for one in plain))
            raw.rpush(f"{prefix}-bad", plain[0].model_dump_json(), "[]")
        arguments = ["migrate", url, "--from", "llama-index", "--match", f"{prefix}-*", "--url", url, "--yes"]
        done = CliRunner().invoke(app, [*arguments, "--prefix", prefix])
        assert done.exit_code == 1, done.output
        with chatmem.sync.connect(url, prefix=prefix) as memory:
            read = ChatmemChatStore(memory).get_messages(f"{prefix}-chat")
            assert read == [Message(**old), *plain]
            assert ChatmemChatStore(memory).get_messages(f"{prefix}-bad") == plain[:1]
            for key in ("chat", "bad"):
                memory.history(f"{prefix}-{key}").clear()
        with redis.Redis.from_url(url) as raw:
            raw.delete(f"{prefix}-chat", f"{prefix}-bad")


def test_records(tmp_path: Path) -> None:
    """Messages come back equal from their records; large data is stored once; a file may be gone."""
    for message in MESSAGES:
        encoded = record.encode(to_message(message), 0, 0)
        assert to_chat_message(record.decode(b"0:" + encoded.record, None).message) == message
    large = "abc é" * 2000
    for block in (
        llama.TextBlock(text=large),
        llama.ThinkingBlock(content=large),
        llama.ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"a": large}),
        llama.ImageBlock(image=PIXEL * 200),
    ):
        message = Message(role="assistant", blocks=[block])
        size = len(message.model_dump_json().encode())
        assert len(record.encode(to_message(message), 0, 0).record) < 1.1 * size
    (tmp_path / "a.png").write_bytes(b"x")
    message = Message(role="user", blocks=[llama.ImageBlock(path=tmp_path / "a.png")])
    encoded = record.encode(to_message(message), 0, 0)
    (tmp_path / "a.png").unlink()
    assert to_chat_message(record.decode(b"0:" + encoded.record, None).message) == message
