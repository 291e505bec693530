"""pydantic-ai's conversation store on chatmem, with an agent of it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import redis
from langchain_core.messages import HumanMessage

pytest.importorskip("pydantic_ai.conversation_store", reason="pydantic-ai is older than 2.66")

from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai import messages as pm
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage

import chatmem
import chatmem.sync
from chatmem.pydantic_ai import ChatmemConversationStore, ModelMessageHistory
from tests.conftest import Connect
from tests.coroutines import AsCoroutines
from tests.faults import Schedule, failing
from tests.pydantic_agent import AGENT, check_view, prompt, read, said, turn
from tests.test_pydantic_ai import MODELS

SECRET = "4242-4242"


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


@pytest.fixture
def store(memory: chatmem.ChatMemory) -> ChatmemConversationStore:
    return ChatmemConversationStore(memory)


class TestEveryServer:
    async def test_a_conversation(self, connect: Connect) -> None:
        """What is saved comes back exactly, on another branch too, and is gone once it is deleted."""
        memory = connect()
        if isinstance(memory, AsCoroutines):
            pytest.skip("pydantic-ai's facade is asynchronous")
        store = ChatmemConversationStore(memory)
        conversation = Conversation(
            conversation_id="c", messages=MODELS[:4], usage=RunUsage(input_tokens=3, requests=1)
        )
        entries = await store.save(conversation, scope="alice")
        found = await store.load("c", scope="alice")
        assert found == conversation
        assert found.messages == MODELS[:4]
        left = await store.branch("c", at=1, expected_revision=found.revision)
        left.messages.append(prompt("other"))
        await store.save(left)
        assert (await read(store)).messages == [MODELS[0], left.messages[-1]]
        back = await store.branch("c", from_entry=entries[2].id, expected_revision=left.revision)
        assert back.messages == MODELS[:3]
        fork = await store.fork("c", from_entry=entries[3].id, new_conversation_id="f")
        assert [one.conversation_id for one in await store.list_conversations(scope="alice")] == ["f", "c"]
        await store.delete("c")
        assert await store.load("c") is None
        assert (await read(store, "f")).messages == fork.messages == MODELS[:4]
        await store.delete("f", scope="alice")
        assert await store.list_conversations(scope="alice") == []


class TestConflicts:
    async def test_many_writers_at_once(self, store: ChatmemConversationStore) -> None:
        """One writer wins, the others get a conflict, and nothing of theirs is stored."""
        await turn(store, "Hi")
        loaded = [await read(store) for _ in range(8)]
        results = [await AGENT.run(f"writer {number}", conversation=one) for number, one in enumerate(loaded)]
        done = await asyncio.gather(*map(store.save, results), return_exceptions=True)
        lost = [one for one in done if isinstance(one, BaseException)]
        assert [type(one) for one in lost] == [ConversationConflict] * 7
        (won,) = [number for number, one in enumerate(done) if not isinstance(one, BaseException)]
        assert said((await read(store)).messages) == ["Hi", f"writer {won}"]
        assert await store._memory.history("c").branches() != []
        assert len(await store._memory.history("c").branches()) == 1

    async def test_a_new_conversation_of_many(self, store: ChatmemConversationStore) -> None:
        new = [await AGENT.run(text, conversation=Conversation(conversation_id="c")) for text in "ab"]
        done = await asyncio.gather(*map(store.save, new), return_exceptions=True)
        assert sorted(type(one).__name__ for one in done) == ["ConversationConflict", "list"]
        assert len(said((await read(store)).messages)) == 1

    async def test_writers_who_go_on_after_a_conflict(self, store: ChatmemConversationStore) -> None:
        """Writers who load again and retry lose nothing."""

        async def write(number: int) -> None:
            while True:
                try:
                    await turn(store, str(number))
                except ConversationConflict:
                    continue
                return

        await asyncio.gather(*map(write, range(6)))
        assert sorted(said((await read(store)).messages)) == [str(number) for number in range(6)]

    async def test_a_conversation_deleted_meanwhile(self, store: ChatmemConversationStore) -> None:
        await turn(store, "Hi")
        loaded = await read(store)
        await store.delete("c")
        with pytest.raises(ConversationConflict):
            await store.save(loaded)
        with pytest.raises(ConversationConflict):
            await store.delete_record("c", expected_revision=str(loaded.revision))
        await turn(store, "Anew")
        with pytest.raises(ConversationConflict):
            await store.save(loaded)
        assert said((await read(store)).messages) == ["Anew"]

    async def test_a_deletion_at_the_same_time(self, store: ChatmemConversationStore) -> None:
        """A deletion that comes behind another save erases nothing, also if it has read the record before."""
        await turn(store, "Hi")
        record = await store.read_record("c")
        assert record is not None
        new = dataclasses.replace(record, revision="2")
        done = await asyncio.gather(
            store.write_record(new, expected_revision=record.revision),
            store.delete_record("c", expected_revision=record.revision),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in done) == ["ConversationConflict", "NoneType"]
        assert (await store.read_record("c") is None) == (done[1] is None)

    async def test_a_save_again(self, store: ChatmemConversationStore) -> None:
        """A record that is written again, since its confirmation was lost, is no conflict and stores nothing twice."""
        await turn(store, "Hi")
        record = await store.read_record("c")
        assert record is not None
        entry = ConversationEntry(parent_id=record.head_id, message=prompt("more"))
        new = dataclasses.replace(record, head_id=entry.id, revision="2")
        for _ in range(2):
            await store.write_record(new, new_entries=[entry], expected_revision=record.revision)
        assert said((await read(store)).messages) == ["Hi", "more"]

    async def test_another_session_s_id(self, memory: chatmem.ChatMemory, store: ChatmemConversationStore) -> None:
        """A session that something else wrote is not taken for a conversation, and not written to."""
        await memory.history("c", user="bob").append("Hi")
        assert await store.load("c") is None
        for scope in (None, "alice"):
            with pytest.raises(ConversationConflict):
                await turn(store, "mine", scope=scope)
        assert await memory.history("c").count() == 1

    async def test_an_entry_that_is_gone(self, store: ChatmemConversationStore) -> None:
        record = ConversationRecord(conversation_id="new", head_id="gone/1")
        with pytest.raises(ConversationConflict):
            await store.write_record(record, expected_revision=None)
        await turn(store, "Hi")
        stored = await store.read_record("c")
        assert stored is not None
        with pytest.raises(ConversationConflict):
            await store.write_record(
                dataclasses.replace(stored, head_id="c/gone", revision="2"), expected_revision=stored.revision
            )
        assert await store.read_record("c") == stored


class TestEntries:
    async def test_an_entry_by_its_id_alone(self, memory: chatmem.ChatMemory, store: ChatmemConversationStore) -> None:
        """Ids that were kept elsewhere, as text, lead to their entries, on any branch, and to chatmem's messages."""
        first, answer = await turn(store, "a/b", name="x/y:1")
        loaded = await read(store, "x/y:1")
        await store.branch("x/y:1", at=0, expected_revision=loaded.revision)
        entry = await ChatmemConversationStore(memory).read_entry("".join(list(first)))
        assert (entry.id, entry.parent_id, said([entry.message])) == (first, None, ["a/b"])
        assert (await store.read_entry(answer)).parent_id == first
        assert [one.id for one in await store.read_history(answer)] == [first, answer]
        await memory.history("x/y:1").annotate(answer, {"rating": 1})
        found = await memory.history("x/y:1").get(answer)
        assert found is not None
        assert found.annotations == {"rating": 1}

    async def test_an_entry_that_nobody_knows(self, store: ChatmemConversationStore) -> None:
        await turn(store, "Hi")
        for unknown in ("c/1", "d/1", "1"):
            for call in (store.read_entry, store.read_history):
                with pytest.raises(KeyError):
                    await call(unknown)

    async def test_ids_of_one_s_own(self, store: ChatmemConversationStore) -> None:
        """`write_record` keeps ids as they are given, and what was read leads on from there."""
        entries = [ConversationEntry(id="1", parent_id=None, message=prompt("a"))]
        entries += [ConversationEntry(id="2", parent_id="1", message=pm.ModelResponse([pm.TextPart("b")]))]
        record = ConversationRecord(conversation_id="c", head_id="2", scope="alice", branches=["1"])
        await store.write_record(record, new_entries=entries, expected_revision=None)
        found = await store.read_record("c")
        assert found == record
        assert found.head_id is not None
        assert await store.read_history(found.head_id) == entries
        assert await store.read_entry(found.head_id) == entries[1]
        assert await store.read_history(found.branches[0]) == entries[:1]

    async def test_a_fork_keeps_the_ids(self, store: ChatmemConversationStore) -> None:
        """A fork has the entries of its source, and is still whole when that is gone."""
        ids = [*await turn(store, "a"), *await turn(store, "b")]
        fork = await store.fork("c", at=3)
        await turn(store, "c", name=fork.conversation_id)
        entries = await store.load_entries(fork.conversation_id)
        assert entries is not None
        assert [one.id for one in entries][:3] == ids[:3]
        await store.delete("c")
        assert await store.load_entries(fork.conversation_id) == entries
        assert [(await store.read_entry(one.id)) for one in entries] == entries
        again = await store.fork(fork.conversation_id)
        assert again.messages == [one.message for one in entries]

    async def test_the_last_messages(self, store: ChatmemConversationStore) -> None:
        for number in range(4):
            await turn(store, str(number))
        everything = await store.load_entries("c")
        assert everything is not None
        for limit in range(10):
            assert await store.load_entries("c", limit=limit) == everything[len(everything) - min(limit, 8) :]

    async def test_a_long_conversation(self, store: ChatmemConversationStore) -> None:
        """Histories and branches of more messages than a page are read whole."""
        messages = [
            pm.ModelRequest([pm.SystemPromptPart("x"), *(pm.UserPromptPart(f"{number}") for _ in range(3))])
            for number in range(700)
        ]
        conversation = Conversation(conversation_id="c", messages=[*messages])
        entries = await store.save(conversation)
        assert (await read(store)).messages == messages
        left = await store.branch("c", at=650, expected_revision=conversation.revision)
        left.messages.append(prompt("other"))
        await store.save(left)
        assert await store.read_history(entries[-1].id) == entries
        assert len((await read(store)).messages) == 651

    async def test_what_others_appended_or_removed(
        self, memory: chatmem.ChatMemory, store: ChatmemConversationStore
    ) -> None:
        """A message of another program is no entry; the next save goes on behind the last entry, on another branch."""
        first, *_ = await turn(store, "a")
        await memory.history("c").append(HumanMessage("from elsewhere"))
        await turn(store, "b")
        assert said((await read(store)).messages) == ["a", "b"]
        assert [one.text for one in await memory.history("c").messages() if one.type == "human"] == ["a", "b"]
        assert len(await memory.history("c").branches()) == 2
        await memory.history("c").delete(first)
        assert said((await read(store)).messages) == ["b"]

    async def test_an_unreadable_entry(
        self, url: str, prefix: str, store: ChatmemConversationStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It costs that entry alone, with a warning."""
        for text in "abc":
            await turn(store, text)
        with redis.Redis.from_url(url) as raw:
            raw.lset(f"{prefix}:{{c}}:m", 3, b"3:\x01junk")
        assert said((await read(store)).messages) == ["a", "c"]
        assert "left out an unreadable record" in caplog.text

    async def test_back_to_a_branch(self, memory: chatmem.ChatMemory, store: ChatmemConversationStore) -> None:
        """A conversation that goes back and forth uses the branches that it has."""
        ids = [await turn(store, "a"), await turn(store, "b")]
        await store.branch("c", at=2, expected_revision=(await read(store)).revision)
        ids.append(await turn(store, "c"))
        for tip in (ids[1][-1], ids[2][-1], ids[1][-1]):
            await store.branch("c", from_entry=tip, expected_revision=(await read(store)).revision)
        assert [one.active for one in await memory.history("c").branches()] == [True, False]
        assert said((await read(store)).messages) == ["a", "b"]
        await store.branch("c", from_entry=ids[2][0], expected_revision=(await read(store)).revision)
        assert said((await read(store)).messages) == ["a", "c"]
        await check_view(memory, "c")

    async def test_the_other_class_reads_it(self, memory: chatmem.ChatMemory, store: ChatmemConversationStore) -> None:
        """`ModelMessageHistory` reads the active branch."""
        await turn(store, "a", scope="alice")
        conversation = await read(store)
        assert await ModelMessageHistory(memory, "c", user="alice").messages() == conversation.messages

    async def test_a_message_that_cannot_be_stored(self, store: ChatmemConversationStore) -> None:
        """It is an error that says which, and nothing is stored."""
        wrong = pm.ModelRequest([pm.ToolReturnPart("f", object(), "1")])
        with pytest.raises(chatmem.EncodingError) as caught:
            await store.save(Conversation(conversation_id="c", messages=[prompt("a"), wrong]))
        assert caught.value.index == 1
        assert await store.load("c") is None


class TestRecords:
    async def test_lists(self, store: ChatmemConversationStore) -> None:
        """A scope's conversations, the last saved first; other sessions of the user are left out."""
        for name in ("1", "2", "3"):
            await turn(store, "Hi", name=name, scope="alice")
        await turn(store, "Hi", name="4", scope="bob")
        await turn(store, "again", name="1", scope="alice")
        await store._memory.history("other", user="alice").append("Hi")
        for limit, names in ((None, ["1", "3", "2"]), (2, ["1", "3"]), (0, [])):
            found = await store.list_conversations(scope="alice", limit=limit)
            assert [one.conversation_id for one in found] == names
        with pytest.raises(chatmem.UnsupportedError, match="scope="):
            await store.list_conversations()

    async def test_title_and_metadata_stay(self, memory: chatmem.ChatMemory, store: ChatmemConversationStore) -> None:
        """The record is one key of the metadata; those of the application stay, also if it writes at the same time."""
        await turn(store, "Hi")
        metadata = (await memory.history("c").info()).metadata
        await memory.history("c").update(title="Greeting", metadata={**metadata, "color": "red"})
        await turn(store, "more")
        info = await memory.history("c").info()
        assert (info.title, info.metadata["color"]) == ("Greeting", "red")

    async def test_deferred_approvals(self, memory: chatmem.ChatMemory) -> None:
        """A run that waits for an approval goes on in another process, once it is given."""

        def make() -> tuple[ChatmemConversationStore, Agent[None, str | DeferredToolRequests]]:
            agent = Agent(TestModel(), output_type=[str, DeferredToolRequests])

            @agent.tool_plain(requires_approval=True)
            def delete(path: str) -> str:
                return f"deleted {path}"

            return ChatmemConversationStore(memory), agent

        store, agent = make()
        await store.save(await agent.run("Go", conversation=Conversation(conversation_id="c")))
        store, agent = make()
        conversation = await read(store)
        requests = conversation.deferred_tool_requests
        assert requests is not None
        (call,) = requests.approvals
        results = requests.build_results(approvals={call.tool_call_id: True})
        await store.save(await agent.run(conversation=conversation, deferred_tool_results=results))
        done = await read(store)
        assert done.deferred_tool_requests is None
        returned = [part for one in done.messages for part in one.parts if isinstance(part, pm.ToolReturnPart)]
        assert [part.content for part in returned] == ["deleted a"]
        assert done.usage.tool_calls == 1

    async def test_a_record_that_is_lost(
        self, memory: chatmem.ChatMemory, store: ChatmemConversationStore, url: str, prefix: str
    ) -> None:
        """No run begins without its past: `load` and `save` refuse, and the messages can be saved anew."""
        await turn(store, "one")
        before = await read(store)
        with redis.Redis.from_url(url) as raw:
            assert raw.delete(f"{prefix}:{{c}}:s")
        with pytest.raises(chatmem.TornSessionError) as caught:
            await store.load("c")
        assert caught.value.reason == "record"
        with pytest.raises(chatmem.TornSessionError):
            await store.save(Conversation(conversation_id="c", messages=before.messages))
        messages = await ModelMessageHistory(memory, "c").messages()
        assert messages == before.messages
        await store.save(Conversation(conversation_id="d", messages=messages))
        await turn(store, "two", "d")
        assert said((await read(store, "d")).messages) == ["one", "two"]

    async def test_values_of_deferred_requests(self, store: ChatmemConversationStore) -> None:
        """They come back as from pydantic-ai's own JSON; what that cannot hold is an error, and nothing is stored."""
        arguments = {"text": "\ud800", "raw": b"\xff", "number": float("nan")}
        requests = DeferredToolRequests(approvals=[pm.ToolCallPart("f", arguments, "1")], metadata={"1": {"why": 1}})
        await store.save(Conversation(conversation_id="c", messages=[prompt("a")], deferred_tool_requests=requests))
        found = (await read(store)).deferred_tool_requests
        assert found is not None
        assert found.approvals[0].args == {"text": "\ud800", "raw": "_w==", "number": None}
        assert found.metadata == requests.metadata
        requests.metadata["1"]["why"] = object()
        with pytest.raises(chatmem.EncodingError, match="record"):
            await store.save(Conversation(conversation_id="d", messages=[prompt("a")], deferred_tool_requests=requests))
        assert await store.load("d") is None

    async def test_encrypted(self, url: str, prefix: str) -> None:
        """With keys, neither messages nor records can be read on the server; a fork is encrypted for itself."""
        keys = chatmem.KeyRing({"1": b"k" * 32})
        async with chatmem.connect(url, prefix=prefix, ttl=60, encryption=keys) as memory:
            store = ChatmemConversationStore(memory)
            ids = await turn(store, SECRET, scope="alice")
            loaded = await read(store)
            loaded.deferred_tool_requests = DeferredToolRequests(calls=[pm.ToolCallPart("f", {"card": SECRET}, "1")])
            await store.save(loaded)
            await turn(store, SECRET)
            left = await store.branch("c", at=2, expected_revision=(await read(store)).revision)
            result = await AGENT.run("other", conversation=left)
            others = [AGENT.run("late", conversation=await read(store)) for _ in range(3)]
            await asyncio.gather(*map(store.save, await asyncio.gather(*others)), return_exceptions=True)
            with pytest.raises(ConversationConflict):
                await store.save(result)
            fork = await store.fork("c", from_entry=ids[0])
            assert said(fork.messages) == [SECRET]
            assert said((await read(store)).messages) == [SECRET, "late"]
            await store.delete("c")
            assert said((await read(store, fork.conversation_id)).messages) == [SECRET]
            with redis.Redis.from_url(url) as raw:
                for key in raw.scan_iter(f"{prefix}*"):
                    assert SECRET.encode() not in (raw.dump(key) or b"")


async def test_faults(url: str, prefix: str) -> None:
    """Connections that fail at any moment lose nothing that was saved, and double nothing."""
    schedule, where = Schedule(5, 60), urlsplit(url)
    with failing(lambda: (str(where.hostname), int(where.port or 0)), schedule, patience=0.1) as proxy:
        through = f"redis://127.0.0.1:{proxy.port}/0?socket_timeout=0.1&socket_connect_timeout=0.1"
        async with chatmem.connect(through, prefix=prefix, ttl=600) as memory:
            store, done = ChatmemConversationStore(memory), list[str]()
            while not schedule.is_over:
                text = str(len(done))
                try:
                    loaded = await store.load("c")
                    if loaded is None or said(loaded.messages)[-1] != text:
                        await turn(store, text)
                    loaded = await read(store)
                    if len(done) % 3 == 2:
                        await store.branch("c", at=len(loaded.messages), expected_revision=loaded.revision)
                except (chatmem.UnavailableError, ConversationConflict):
                    proxy.settle()
                    continue
                done.append(text)
    async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
        store = ChatmemConversationStore(memory)
        assert said((await read(store)).messages) == done
        assert len(await memory.history("c").branches()) == 1
        assert len({one.id for one in await store.load_entries("c") or []}) == 2 * len(done)
