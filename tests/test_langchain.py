"""LangChain's deprecated history interface over chatmem: all its methods, and concurrent runs lose no message."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
import redis
from langchain_classic.memory import ConversationBufferMemory
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory

import chatmem
import chatmem.sync
from chatmem.errors import NotFoundError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The class `ConversationBuffer")

CONFIG: Any = {"configurable": {"session_id": "s"}}


Memory = chatmem.ChatMemory | chatmem.sync.ChatMemory


@pytest.fixture(params=["async", "sync"])
async def memory(request: pytest.FixtureRequest, url: str, prefix: str) -> AsyncIterator[Memory]:
    """A memory of either facade; `.langchain` has sync and async methods in both."""
    if request.param == "async":
        async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
            yield memory
    else:
        with chatmem.sync.connect(url, prefix=prefix, ttl=600) as blocking:
            yield blocking
    with redis.Redis.from_url(url) as raw:
        for key in raw.scan_iter(f"{prefix}*"):
            assert raw.pttl(key) > 0
            raw.unlink(key)


def contents(messages: Sequence[BaseMessage]) -> list[Any]:
    return [message.content for message in messages]


class TestNames:
    async def test_the_sync_names(self, memory: Memory) -> None:
        """The synchronous methods of BaseChatMessageHistory work."""
        history = memory.langchain("s")
        assert isinstance(history, BaseChatMessageHistory)
        history.add_user_message("hi")
        history.add_ai_message(AIMessage("hello", id="1"))
        history.add_message(HumanMessage("how are you?"))
        history.add_messages([AIMessage("fine"), AIMessage("hello", id="1")])
        history.add_messages([])
        assert contents(history.messages) == ["hi", "hello", "how are you?", "fine"]
        assert str(history) == "Human: hi\nAI: hello\nHuman: how are you?\nAI: fine"
        history.clear()
        assert history.messages == []

    async def test_the_async_names(self, memory: Memory) -> None:
        """The asynchronous methods of BaseChatMessageHistory work."""
        history = memory.langchain("s")
        await history.aadd_messages([HumanMessage("hi"), AIMessage("hello", id="1")])
        await history.aadd_messages([AIMessage("hello", id="1")])
        await history.aadd_messages([])
        assert contents(await history.aget_messages()) == ["hi", "hello"]
        await history.aclear()
        assert await history.aget_messages() == []

    async def test_ids_that_begin_anew(self, memory: Memory) -> None:
        """Messages with the same id, as of a gateway, are all stored; each is recognised when it is appended again."""
        history = memory.langchain("s")
        for _ in range(2):
            for text in ("hello", "bye"):
                history.add_messages([AIMessage(text, id="msg_1")])
                await history.aadd_messages([AIMessage(text, id="msg_1")])
        assert contents(history.messages) == contents(await history.aget_messages()) == ["hello", "bye"]

    async def test_a_session_of_another(self, memory: Memory) -> None:
        await memory.langchain("s", user="alice").aadd_messages([HumanMessage("hi")])
        other = memory.langchain("s", user="bob")
        with pytest.raises(NotFoundError):
            _ = other.messages
        with pytest.raises(NotFoundError):
            await other.aget_messages()
        with pytest.raises(NotFoundError):
            await other.aadd_messages([HumanMessage("hello")])
        with pytest.raises(NotFoundError):
            other.clear()
        assert contents(memory.langchain("s", user="alice").messages) == ["hi"]

    async def test_async_names_use_no_thread(self, memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
        """They are real coroutines; the base class would run the sync methods in an executor."""
        before = threading.active_count()
        history = memory.langchain("s")
        await asyncio.gather(*(history.aadd_messages([HumanMessage(str(n))]) for n in range(20)))
        assert threading.active_count() == before

    async def test_direct_reads_are_fresh(self, memory: Memory) -> None:
        """Outside of a run, every read sees what others wrote."""
        one, other = memory.langchain("s"), memory.langchain("s")
        assert one.messages == await one.aget_messages() == []
        other.add_user_message("hi")
        assert contents(one.messages) == contents(await one.aget_messages()) == ["hi"]

    async def test_the_same_session_as_the_core(self, memory: Memory) -> None:
        """It reads and writes the session of `memory.history`."""
        await memory.langchain("s").aadd_messages([HumanMessage("hi")])
        count = memory.history("s").count()
        assert (await count if asyncio.iscoroutine(count) else count) == 1


def replying(delay: Callable[[str], float] = lambda _: 0) -> Runnable[Any, Any]:
    """Return a model that answers `re:` and the last message, after a delay that depends on the message."""

    def reply(messages: list[BaseMessage]) -> AIMessage:
        threading.Event().wait(delay(str(messages[-1].content)))
        return AIMessage(f"re:{messages[-1].content}")

    async def areply(messages: list[BaseMessage]) -> AIMessage:
        await asyncio.sleep(delay(str(messages[-1].content)))
        return AIMessage(f"re:{messages[-1].content}")

    return RunnableLambda(reply, areply)


class TestRunnable:
    """`RunnableWithMessageHistory(chain, memory.langchain)` keeps the conversation."""

    async def test_it_remembers(self, memory: Memory) -> None:
        """A prompt with `history_messages_key` gets the history in invoke, ainvoke, stream, astream and batch."""
        seen: list[int] = []

        def answer(prompt: Any) -> AIMessage:
            seen.append(len(prompt.messages))
            return AIMessage(f"re:{prompt.messages[-1].content}")

        prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{question}")])
        chain = RunnableWithMessageHistory(
            prompt | RunnableLambda(answer),
            memory.langchain,
            input_messages_key="question",
            history_messages_key="history",
        )
        chain.invoke({"question": "1"}, CONFIG)
        await chain.ainvoke({"question": "2"}, CONFIG)
        list(chain.stream({"question": "3"}, CONFIG))
        async for _ in chain.astream({"question": "4"}, CONFIG):
            pass
        chain.batch([{"question": "5"}], CONFIG)
        await chain.abatch([{"question": "6"}], CONFIG)
        assert seen == [1, 3, 5, 7, 9, 11]
        expected = [text for n in range(1, 7) for text in (str(n), f"re:{n}")]
        assert contents(memory.langchain("s").messages) == expected

    async def test_messages_in_messages_out(self, memory: Memory) -> None:
        """A chain that takes messages and returns a message needs no keys."""
        chain = RunnableWithMessageHistory(replying(), memory.langchain)
        chain.invoke([HumanMessage("1")], CONFIG)
        await chain.ainvoke([HumanMessage("2")], CONFIG)
        list(chain.stream([HumanMessage("3")], CONFIG))
        async for _ in chain.astream([HumanMessage("4")], CONFIG):
            pass
        expected = [text for n in range(1, 5) for text in (str(n), f"re:{n}")]
        assert contents(memory.langchain("s").messages) == expected

    async def test_a_streamed_answer_is_one_message(self, memory: Memory) -> None:
        """Chunks that a model streams are stored as their sum."""
        model = GenericFakeChatModel(messages=iter([AIMessage("one two three")]))
        chain = RunnableWithMessageHistory(model, memory.langchain)
        streamed = [chunk async for chunk in chain.astream([HumanMessage("go")], CONFIG)]
        assert len(streamed) > 2
        stored = memory.langchain("s").messages
        assert contents(stored) == ["go", "one two three"]
        assert isinstance(stored[1], AIMessageChunk)
        assert stored[1].id == streamed[0].id

    @pytest.mark.parametrize("shared", [False, True])
    async def test_two_runs_at_once_lose_nothing(self, memory: Memory, shared: bool) -> None:
        """Runs that overlap store every input and output, in whole turns, even if they share one object."""
        kept: dict[str, Any] = {}

        def factory(session_id: str) -> Any:
            return kept.setdefault(session_id, memory.langchain(session_id)) if shared else memory.langchain(session_id)

        chain = RunnableWithMessageHistory(replying(lambda text: int(text) % 5 / 100), factory)
        for first in range(0, 30, 10):
            await asyncio.gather(*(chain.ainvoke([HumanMessage(str(n))], CONFIG) for n in range(first, first + 10)))
        stored = contents(memory.langchain("s").messages)
        assert sorted(stored) == sorted([str(n) for n in range(30)] + [f"re:{n}" for n in range(30)])
        assert all(stored[i + 1] == f"re:{stored[i]}" for i in range(0, 60, 2))

    async def test_many_runs_at_once_lose_nothing(self, memory: Memory) -> None:
        """One object may serve any number of runs at once."""
        history = memory.langchain("s")
        chain = RunnableWithMessageHistory(replying(lambda text: int(text) % 7 / 100), lambda _: history)
        await asyncio.gather(*(chain.ainvoke([HumanMessage(str(n))], CONFIG) for n in range(200)))
        assert sorted(contents(history.messages)) == sorted([f"{re}{n}" for n in range(200) for re in ("", "re:")])

    @pytest.mark.parametrize("shared", [False, True])
    async def test_two_runs_in_threads_lose_nothing(self, memory: Memory, shared: bool) -> None:
        """The runs of a batch, which run in threads, store every input and output, in whole turns."""
        one = memory.langchain("s")
        factory = (lambda _: one) if shared else memory.langchain
        chain = RunnableWithMessageHistory(replying(lambda text: int(text) % 5 / 100), factory)
        await asyncio.to_thread(chain.batch, [[HumanMessage(str(n))] for n in range(10)], CONFIG)
        stored = contents(memory.langchain("s").messages)
        assert sorted(stored) == sorted([str(n) for n in range(10)] + [f"re:{n}" for n in range(10)])

    async def test_a_read_within_a_run_is_fresh(self, memory: Memory) -> None:
        """A read inside the chain sees what others wrote; only the run's own last read returns what its first did."""
        seen: list[list[Any]] = []

        async def look(messages: list[BaseMessage], config: Any) -> AIMessage:
            await memory.langchain("s").aadd_messages([HumanMessage("from elsewhere")])
            seen.append(contents(await config["configurable"]["message_history"].aget_messages()))
            return AIMessage("done")

        await RunnableWithMessageHistory(RunnableLambda(look), memory.langchain).ainvoke([HumanMessage("go")], CONFIG)
        assert seen == [["from elsewhere"]]
        assert contents(memory.langchain("s").messages) == ["from elsewhere", "go", "done"]

    async def test_a_run_that_fails_leaves_nothing_behind(self, memory: Memory) -> None:
        """After a run that raised, the next run with the same object stores its messages."""
        history = memory.langchain("s")
        fails: Runnable[Any, Any] = RunnableLambda(lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await RunnableWithMessageHistory(fails, lambda _: history).ainvoke([HumanMessage("a")], CONFIG)
        await RunnableWithMessageHistory(replying(), lambda _: history).ainvoke([HumanMessage("b")], CONFIG)
        assert contents(history.messages) == ["b", "re:b"]


async def test_conversation_buffer_memory(memory: Memory) -> None:
    """It works as the `chat_memory` of langchain-classic's ConversationBufferMemory."""
    buffer = ConversationBufferMemory(chat_memory=memory.langchain("s"), return_messages=True)
    buffer.save_context({"input": "hi"}, {"output": "hello"})
    await buffer.asave_context({"input": "my name is Alice"}, {"output": "noted"})
    assert contents(buffer.load_memory_variables({})["history"]) == ["hi", "hello", "my name is Alice", "noted"]
    await buffer.aclear()
    assert memory.langchain("s").messages == []


def test_importing_chatmem_imports_no_deprecated_base() -> None:
    """`import chatmem` and `chatmem.sync` import nothing of LangChain's histories."""
    script = (
        "import sys, chatmem, chatmem.sync\n"
        "chatmem.connect('redis://localhost').history('a')\n"
        "base = {'langchain_core.chat_history', 'langchain_core.runnables.history', 'chatmem.langchain'}\n"
        "assert not base & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
