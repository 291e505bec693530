"""Windows: what a model may be sent, the same as `trim_messages` makes of the whole, and never half an exchange."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core import messages as lc
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages.utils import count_tokens_approximately

import chatmem
import chatmem.sync
from chatmem.core.window import without_halves
from tests.exchanges import calls_of, conversations, halves, numbered
from tests.providers import check


def ids(messages: list[lc.BaseMessage]) -> list[str | None]:
    return [message.id for message in messages]


def words(messages: list[lc.BaseMessage]) -> int:
    return sum(len(str(message.content).split()) + 3 for message in messages)


def one(message: lc.BaseMessage) -> int:
    return len(str(message.content)) + 1


one.__annotations__["message"] = lc.BaseMessage  # trim_messages tells by it that this counts one message, not a list


class TestContract:
    async def test_messages_and_system(self, history: chatmem.History) -> None:
        """The last so many with the system message of the head, beginning with a human one."""
        await history.append(lc.SystemMessage("be kind"), *(x for i in range(50) for x in (f"q{i}", ("ai", f"a{i}"))))
        window = await history.window(messages=5)
        assert [m.content for m in window] == ["be kind", "q48", "a48", "q49", "a49"]
        assert [m.content for m in await history.window(messages=4)] == ["be kind", "q49", "a49"]
        assert [m.content for m in await history.window(messages=3, keep_system=False)] == ["q49", "a49"]
        assert [m.content for m in await history.window(messages=3, keep_system=False, start_on=None)] == [
            "a48",
            "q49",
            "a49",
        ]
        assert await history.window(messages=1000) == await history.messages() == await history.window()

    async def test_turns(self, history: chatmem.History) -> None:
        """A turn begins with a human message, however long it is."""
        for turn in range(30):
            calls = [{"name": "f", "args": {}, "id": f"{turn}-{i}"} for i in range(20)]
            results = [lc.ToolMessage("r", tool_call_id=call["id"]) for call in calls]
            await history.append(f"q{turn}", lc.AIMessage("", tool_calls=calls), *results, ("ai", f"a{turn}"))
        window = await history.window(turns=3)
        assert [m.content for m in window if m.type == "human"] == ["q27", "q28", "q29"]
        assert len(window) == 3 * 23

    async def test_tokens(self, history: chatmem.History) -> None:
        """Counted by a function, by a function of one message, or by a model."""
        await history.append(lc.SystemMessage("sys"), *(x for i in range(200) for x in (f"q {i}", ("ai", f"a {i}"))))
        whole = await history.messages()
        for counter in (words, count_tokens_approximately, "approximate", one):
            for tokens in (1, 40, 700):
                wanted = lc.trim_messages(
                    whole,
                    max_tokens=tokens,
                    token_counter=count_tokens_approximately if counter == "approximate" else counter,
                    include_system=True,
                    start_on="human",
                )
                assert await history.window(tokens=tokens, token_counter=counter) == wanted
        model = Counting(responses=["x"])
        assert len(await history.window(tokens=21, token_counter=model)) == 3

    async def test_all_limits_hold_at_once(self, history: chatmem.History) -> None:
        """The one that leaves least decides."""
        await history.append(*(x for i in range(100) for x in (f"q {i}", ("ai", f"a {i}"))))
        assert len(await history.window(messages=20, turns=3, tokens=100_000)) == 6
        assert len(await history.window(messages=4, turns=30, tokens=100_000)) == 4
        assert len(await history.window(messages=90, turns=30, tokens=30, token_counter=words)) == 6

    async def test_an_exchange_at_the_end_waits(self, history: chatmem.History) -> None:
        """Calls without all their results, and what results there are, are left out."""
        calls = [{"name": "f", "args": {}, "id": str(i)} for i in range(2)]
        await history.append("q", lc.AIMessage("", tool_calls=calls), lc.ToolMessage("r", tool_call_id="0"))
        assert [m.type for m in await history.window(messages=10)] == ["human"]
        await history.append(lc.ToolMessage("r", tool_call_id="1"))
        assert [m.type for m in await history.window(messages=10)] == ["human", "ai", "tool", "tool"]
        assert [m.type for m in await history.window(messages=2, start_on=None)] == []

    async def test_what_follows_a_summary(self, history: chatmem.History) -> None:
        """It may begin with an answer or a call, unless a limit leaves a gap, or the summary is no turn of the user."""
        call = lc.AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "c"}])
        await history.append(lc.SystemMessage("be kind"), "q0", call, lc.ToolMessage("r", tool_call_id="c"))
        await history.append(("ai", "a"), "q1", ("ai", "a1"))
        await history.summarize(up_to=1, summary=[lc.HumanMessage("sum", id="sum")])
        whole = ["be kind", "sum", "", "r", "a", "q1", "a1"]
        for limits in ({}, {"messages": 7}, {"tokens": 1000}, {"turns": 3}, {"token_counter": words, "tokens": 1000}):
            window = await history.window(**limits)
            assert [m.content for m in window] == whole
            check(window)
        for limits in ({"messages": 6}, {"turns": 1}, {"messages": 5, "token_counter": words}):
            assert [m.content for m in await history.window(**limits)] == ["be kind", "sum", "q1", "a1"]
        for limits in ({"tokens": 1}, {"messages": 1}, {"tokens": 1, "token_counter": words}):
            assert [m.content for m in await history.window(**limits)] == ["be kind", "sum"]
        await history.append(*(text for i in range(300) for text in (f"q{i + 2}", ("ai", f"a{i + 2}"))))
        window = await history.window()
        assert len(window) == 607
        assert window[:7] == (await history.window(tokens=100_000))[:7]
        assert [m.content for m in window[:7]] == whole
        await history.summarize(up_to=1, summary=[lc.SystemMessage("sum", id="sum")])
        assert [m.content for m in (await history.window())[:3]] == ["be kind", "sum", "q1"]

    async def test_a_damaged_record(self, history: chatmem.History, raw: Any, prefix: str, caplog: Any) -> None:
        """It is left out, with its exchange, and the rest is there."""
        calls = [{"name": "f", "args": {}, "id": "1"}]
        await history.append(
            "q", lc.AIMessage("", tool_calls=calls), lc.ToolMessage("r", tool_call_id="1"), ("ai", "a")
        )
        raw.lset(f"{prefix}:{{user-123}}:m", 2, "rubbish")
        assert [m.type for m in await history.window(messages=10)] == ["human", "ai"]
        assert "position 2" in caplog.text

    @pytest.mark.parametrize("name", ["messages", "turns", "tokens"])
    @pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", True])
    async def test_wrong_limits(self, history: chatmem.History, name: str, wrong: Any) -> None:
        with pytest.raises(ValueError, match=f"{name} must be"):
            await history.window(**{name: wrong})

    async def test_wrong_counter(self, history: chatmem.History) -> None:
        with pytest.raises(ValueError, match="token_counter"):
            await history.window(tokens=5, token_counter="exactly")  # type: ignore[arg-type]

    @pytest.mark.parametrize("counted", [None, "5", -1, math.nan, [3]], ids=str)
    async def test_what_a_counter_must_return(self, history: chatmem.History, counted: Any) -> None:
        """A number from 0 on; anything else is an error that names the argument."""
        await history.append("q", ("ai", "a"))
        with pytest.raises(ValueError, match="token_counter must return"):
            await history.window(tokens=5, token_counter=lambda _: counted)

    async def test_a_counter_that_is_async(self, history: chatmem.History) -> None:
        async def count(messages: list[lc.BaseMessage]) -> int:
            return len(messages)

        await history.append("q", ("ai", "a"))
        with pytest.raises(ValueError, match="it is async"):
            await history.window(tokens=5, token_counter=count)  # type: ignore[arg-type]

    async def test_counters_of_one_message(self, history: chatmem.History) -> None:
        """An annotation says so, also as a string, as all are in a module with `from __future__ import annotations`."""

        class Counter:
            def __call__(self, message: lc.BaseMessage) -> int:
                return len(message.text)

        def count(message: lc.BaseMessage) -> int:
            return len(message.text)

        def evaluated(message: Any) -> int:
            return len(message.text)

        evaluated.__annotations__["message"] = lc.BaseMessage
        await history.append("q1", ("ai", "a1"), "q2", ("ai", "a2"))
        for counter in (Counter(), count, evaluated, functools.partial(count)):
            window = await history.window(tokens=5, token_counter=counter)
            assert [message.content for message in window] == ["q2", "a2"]

    async def test_a_counter_that_changes_its_list(self, history: chatmem.History) -> None:
        """It may put its own messages into the list, and changes no window."""

        def count(messages: Any) -> int:
            messages.insert(0, lc.SystemMessage("be kind"))
            return len(messages)

        await history.append("q1", ("ai", "a1"), "", ("ai", "a2"))
        window = await history.window(tokens=3, token_counter=count)
        assert [message.content for message in window] == ["(empty)", "a2"]

    @pytest.mark.parametrize(
        "wrong", ["", "user", "assistant", 5, True, str, int, b"human", ["human", 5], [None], ["user"]]
    )
    async def test_wrong_beginnings(self, history: chatmem.History, wrong: Any) -> None:
        """What no message can be is an error, and not a window that is always empty."""
        await history.append("q", ("ai", "a"))
        with pytest.raises(ValueError, match="start_on must be"):
            await history.window(messages=5, start_on=wrong)

    async def test_nothing(self, history: chatmem.History) -> None:
        """A session that does not exist has an empty window."""
        assert await history.window(messages=5) == await history.window(tokens=5) == []


class Counting(FakeListChatModel):
    """A model that counts seven tokens a message."""

    def get_num_tokens_from_messages(self, messages: Any, tools: Any = None) -> int:
        return 7 * len(messages)


@settings(max_examples=150)
@given(st.data())
def test_the_same_as_trim_messages(url: str, data: st.DataObject) -> None:
    """On whole conversations, whatever their exchanges: for messages, tokens, with and without the system message."""
    messages = numbered(data.draw(conversations(complete=True)))
    limit = data.draw(st.integers(1, 60))
    keep_system = data.draw(st.booleans())
    by_tokens = data.draw(st.booleans())
    with chatmem.sync.connect(url, prefix="window", ttl=600) as memory:
        history = memory.history("x")
        history.clear()
        history.append(*messages)
        start_on: Any = data.draw(st.sampled_from(["human", ["human", "system"], lc.HumanMessage]))
        options: Any = {"tokens": limit, "token_counter": words} if by_tokens else {"messages": limit}
        counter: Any = words if by_tokens else len
        wanted = lc.trim_messages(
            messages,
            max_tokens=limit,
            token_counter=counter,
            include_system=keep_system,
            start_on=start_on,
        )
        window = history.window(**options, keep_system=keep_system, start_on=start_on)
        if not halves(wanted):
            assert ids(window) == ids(wanted)
        assert not halves(window)


@settings(max_examples=200)
@given(conversations(complete=False), st.integers(1, 30), st.sampled_from([None, "human", "ai"]), st.booleans())
def test_never_half_an_exchange(
    url: str, messages: list[lc.BaseMessage], limit: int, start_on: str | None, turns: bool
) -> None:
    """Whatever is missing in the conversation, and wherever the window begins."""
    messages = numbered(messages)
    with chatmem.sync.connect(url, prefix="window", ttl=600) as memory:
        history = memory.history("y")
        history.clear()
        history.append(*messages)
        options: Any = {"turns": limit} if turns else {"messages": limit}
        window = history.window(**options, start_on=start_on)
        assert not halves(window)
        assert ids(window) == [i for i in ids(messages) if i in set(ids(window))]
        if start_on and window:
            assert next(m for m in window if m.type != "system").type == start_on if window[1:] else True


@given(conversations(complete=False))
def test_no_more_is_left_out_than_must_be(messages: list[lc.BaseMessage]) -> None:
    """Messages without calls and results stay, what is said beside calls too, and so do exchanges that are whole."""
    messages = numbered(messages)
    kept = without_halves(messages)
    said = [m.id for m in messages if m.type != "tool" and (m.text or not calls_of(m))]
    assert [i for i in ids(kept) if i in said] == said
    assert not halves(kept)
    assert without_halves(kept) is kept
    if not halves(messages):
        assert kept is messages


def test_round_trips(url: str) -> None:
    """One where the first slice is enough; another of two where messages are very short."""
    from tests.wire import watched

    with watched(url) as wire, chatmem.sync.connect(wire.url, prefix="window", ttl=600) as memory:
        history = memory.history("z")
        history.clear()
        history.append(*(text for i in range(500) for text in (f"q{i}", ("ai", f"a{i}"))))
        history.window(messages=1)  # the first call sends the script's text, which may go out in two parts
        for name, limit, wanted in (("messages", 50, 1), ("turns", 20, 1), ("tokens", 2000, 3)):
            wire.reset()
            options: Any = {name: limit}
            history.window(**options)
            assert wire.round_trips == wanted
