"""What Microsoft's agents send of a history: exchanges that models accept, whatever two runs or a killed one left."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip(
    "agent_framework", reason="agent-framework-core is not installed: pip install 'chatmem-redis[agent-framework]'"
)

from agent_framework import Agent, AgentSession, Content, Message
from hypothesis import given
from hypothesis import strategies as st

import chatmem
from chatmem.agent_framework import ChatmemHistoryProvider
from chatmem.agent_framework.exchanges import sendable
from tests.framework_client import OfflineClient, said

NAMES = ["call_0", "call_1", "c2"]


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


def called(name: str, **options: Any) -> Content:
    return Content.from_function_call(name, "weather", arguments="{}", **options)


def answered(name: str, result: str = "fine") -> Content:
    return Content.from_function_result(name, result=result)


def contents_of(messages: list[Message]) -> Iterator[Content]:
    return (content for message in messages for content in message.contents)


def is_exchange(content: Content) -> bool:
    return content.type in ("function_call", "function_result")


def check(messages: list[Message]) -> None:
    """Check that each call has one result directly behind it, that there are no others, and that ids are unique."""
    waiting, seen = list[str | None](), set[str | None]()
    for message in messages:
        calls = [content.call_id for content in message.contents if content.type == "function_call"]
        results = [content.call_id for content in message.contents if content.type == "function_result"]
        assert results or not waiting, f"{waiting} are not answered directly behind them"
        for name in results:
            waiting.remove(name)
        assert None not in calls
        assert "" not in calls
        assert seen.isdisjoint(calls)
        assert len(set(calls)) == len(calls)
        seen.update(calls)
        waiting += calls
    assert not waiting


_calls = st.lists(st.sampled_from([*NAMES, ""]), max_size=3).map(lambda names: [called(name) for name in names])
_said = st.lists(st.sampled_from(["Wait.", "hm"]).map(Content.from_text), max_size=1)
_thought = st.lists(st.just("so").map(lambda text: Content.from_text_reasoning(text=text)), max_size=1)
_answers = st.tuples(_thought, _said, _calls).map(lambda parts: Message("assistant", [one for p in parts for one in p]))
_results = st.lists(st.sampled_from(NAMES).map(answered), min_size=1, max_size=3).map(lambda one: Message("tool", one))
_questions = st.sampled_from(["Lima?", "Go on"]).map(lambda text: Message("user", [text]))
_histories = st.lists(st.one_of(_answers, _results, _results, _questions), max_size=9)


class TestAnyHistory:
    @given(_histories, st.one_of(_questions.map(lambda one: [one]), _results.map(lambda one: [one])))
    def test_models_accept_it(self, history: list[Message], asked: list[Message]) -> None:
        """What is sent, with results that the run is given or with a question."""
        sent = sendable(history, asked)
        waiting = {one.call_id for one in contents_of(sent) if one.type == "function_call"}
        waiting -= {one.call_id for one in contents_of(sent) if one.type == "function_result"}
        given_results = [Message("tool", [one]) for one in contents_of(asked) if one.call_id in waiting]
        check([*sent, *{one.contents[0].call_id: one for one in given_results}.values()])
        check(sendable([*history, *asked], []))

    @given(_histories)
    def test_all_that_was_said_is_there(self, history: list[Message]) -> None:
        """Nothing but calls, results, and reasoning that nothing follows is left out."""
        sent = sendable(history, [])
        texts = [id(one) for one in contents_of(history) if one.type == "text"]
        assert [id(one) for one in contents_of(sent) if one.type == "text"] == texts

    @given(_histories)
    def test_as_many_exchanges_as_can_be(self, history: list[Message]) -> None:
        """Each result that comes behind an open call with its id is sent."""
        pairs, waiting = 0, list[str | None]()
        for content in contents_of(history):
            if content.type == "function_call" and content.call_id:
                waiting.append(content.call_id)
            elif content.call_id in waiting:
                waiting.remove(content.call_id)
                pairs += 1
        sent = [one.type for one in contents_of(sendable(history, [])) if is_exchange(one)]
        assert sent.count("function_call") == sent.count("function_result") == pairs

    @given(_histories)
    def test_what_is_fit_stays(self, history: list[Message]) -> None:
        """What can be sent is not touched, nor is what is stored."""
        before = [message.to_dict() for message in history]
        sent = sendable(history, [])
        again = sendable(sent, [])
        assert len(again) == len(sent)
        assert all(one is other for one, other in zip(again, sent, strict=True))
        assert [message.to_dict() for message in history] == before


@pytest.mark.parametrize("wrong", ["", {}, [None], 1])
def test_approvals_that_are_malformed(wrong: Any) -> None:
    """They stay as they are: the framework does not check what it reads."""
    history = [Message("assistant", [Content("function_approval_request", function_call=wrong)])]
    assert sendable(history, []) == history


class TestRuns:
    @staticmethod
    async def sent(memory: chatmem.ChatMemory, *given: Message) -> list[Message]:
        client = OfflineClient(lambda messages: said("ok"))
        agent = Agent(client, context_providers=[ChatmemHistoryProvider(memory)])
        await agent.run(list(given), session=AgentSession(session_id="s"))
        return list(client.seen[-1])

    async def test_ids_that_repeat(self, memory: chatmem.ChatMemory) -> None:
        """A killed run's call is left out although an earlier call with its id was answered."""
        turn = [
            Message("user", ["Lima?"]),
            Message("assistant", [called("call_0")]),
            Message("tool", [answered("call_0")]),
        ]
        await ChatmemHistoryProvider(memory).save_messages("s", [*turn, Message("assistant", ["Fine."]), *turn[:2]])
        sent = await self.sent(memory, Message("user", ["Rome?"]))
        assert [message.role for message in sent] == ["user", "assistant", "tool", "assistant", "user", "user"]

    async def test_two_runs_at_once(self, memory: chatmem.ChatMemory) -> None:
        """Each stored its calls and results while the other one did."""
        provider = ChatmemHistoryProvider(memory)
        for name in ("one", "two"):
            await provider.save_messages("s", [Message("user", [name]), Message("assistant", [called("call_0")])])
        for name in ("two", "one"):
            await provider.save_messages(
                "s", [Message("tool", [answered("call_0", name)]), Message("assistant", ["Fine."])]
            )
        sent = await self.sent(memory, Message("user", ["Rome?"]))
        check(sent)
        results = [content.result for content in contents_of(sent) if content.type == "function_result"]
        assert results == ["one", "two"]

    async def test_a_result_that_the_run_is_given(self, memory: chatmem.ChatMemory) -> None:
        """Its call comes directly before it, with the id that it has, although others wrote meanwhile."""
        provider = ChatmemHistoryProvider(memory)
        turn = [Message("assistant", [called("c")]), Message("tool", [answered("c", "old")])]
        await provider.save_messages(
            "s", [Message("user", ["Lima?"]), *turn, Message("assistant", ["Wait.", called("c")])]
        )
        await provider.save_messages("s", [Message("user", ["Are you there?"])])
        sent = await self.sent(memory, Message("tool", [answered("c", "new")]))
        check(sent)
        last = [[content.call_id for content in message.contents if content.call_id] for message in sent][-2:]
        assert last == [["c"], ["c"]]
        assert any(before.text == "Are you there?" and "Wait." in after.text for before, after in pairwise(sent))

    async def test_calls_that_run_elsewhere(self, memory: chatmem.ChatMemory) -> None:
        """They stay where they are, with their results."""
        hosted = [called("h", hosted=True, server_name="s"), answered("h")]
        elsewhere = [Message("assistant", hosted), Message("assistant", [called("i", hosted=True)])]
        await ChatmemHistoryProvider(memory).save_messages("s", [Message("user", ["Lima?"]), *elsewhere])
        sent = await self.sent(memory, Message("user", ["And?"]))
        assert [content.call_id for content in contents_of(sent) if is_exchange(content)] == ["h", "h", "i"]
