"""Windows of conversations as the world leaves them: every provider takes them, and nobody's words are missing."""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core import messages as lc
from langchain_core.messages import convert_to_messages
from langchain_core.messages.utils import count_tokens_approximately

import chatmem
from chatmem.core.window import Window
from chatmem.transports.driving import drive
from tests import providers
from tests.logs import heads, is_a_persons, logs
from tests.samples import conversations, same

Messages = list[lc.BaseMessage]


async def _rest() -> None:
    """Let nobody run."""


def window_of(
    log: Messages, pinned: Messages | None = None, slices: list[int] | None = None, **limits: Any
) -> Messages:
    """Return the window of a conversation, read in slices of these sizes from its end, in one by default."""
    options = {"messages": None, "turns": None, "tokens": None, "token_counter": "approximate", "start_on": "human"}
    selection = Window(**{**options, **limits}).select(pinned or [])
    left = list(log)
    for size in slices or []:
        if not left or not selection.take(left[-size:]):
            break
        del left[-size:]
    else:
        selection.take(left)
    return drive(selection.messages(_rest))


def words(messages: Messages) -> int:
    return sum(len(str(message.content).split()) + 3 for message in messages)


limits = st.one_of(
    st.fixed_dictionaries({}),
    st.fixed_dictionaries({"messages": st.integers(1, 20)}),
    st.fixed_dictionaries({"turns": st.integers(1, 6)}),
    st.fixed_dictionaries({"tokens": st.integers(1, 200)}),
    st.fixed_dictionaries({"tokens": st.integers(1, 100), "token_counter": st.just(words)}),
    st.fixed_dictionaries({"messages": st.integers(1, 20), "turns": st.integers(1, 6), "tokens": st.integers(1, 200)}),
)


class TestAnyConversation:
    @settings(max_examples=500)
    @given(logs, heads, limits)
    def test_every_provider_takes_the_window(self, log: Messages, head: Messages, limits: dict[str, Any]) -> None:
        """As it is, and with the next question behind it."""
        window = window_of(log, head, **limits)
        providers.check(window)
        providers.check([*window, lc.HumanMessage("And now?")])

    @settings(max_examples=200)
    @given(logs, heads, limits, st.sampled_from([None, "ai", "system", "tool", ["human", "ai"], lc.AIMessage]))
    def test_whatever_it_starts_on(self, log: Messages, head: Messages, limits: dict[str, Any], start_on: Any) -> None:
        """OpenAI, which lets a model speak first, takes it."""
        providers.check_openai(window_of(log, head, **limits, start_on=start_on))

    @settings(max_examples=200)
    @given(logs, heads, limits)
    def test_limits_hold(self, log: Messages, head: Messages, limits: dict[str, Any]) -> None:
        """For what is sent; only messages that are pinned stay beyond them."""
        window = window_of(log, head, **limits)
        pinned = window_of([], head)
        assert window[: len(pinned)] == pinned
        assert "SUMMARY" in [m.text for m in window] or "SUMMARY" not in [m.text for m in head]
        if window != pinned:
            counter: Any = limits.get("token_counter", count_tokens_approximately)
            assert len(window) <= limits.get("messages", 1000)
            assert counter(window) <= limits.get("tokens", 10**6)

    @settings(max_examples=200)
    @given(logs, st.integers(1, 25))
    def test_what_a_person_said_is_there(self, log: Messages, limit: int) -> None:
        """All of it that is among so many last messages, in the order in which it was said."""
        window = [m.id for m in window_of(log, messages=limit)]
        said = [m.id for m in log[-limit:] if is_a_persons(m) and not _is_only_results(m)]
        first = next((i for i, m in enumerate(log[-limit:]) if _opens(m)), len(log))
        must = [m.id for m in log[-limit:][first:] if m.id in said]
        assert [one for one in window if one in must] == must

    @settings(max_examples=200)
    @given(logs, heads, limits, st.lists(st.integers(1, 6), max_size=8))
    def test_slices_do_not_matter(
        self, log: Messages, head: Messages, limits: dict[str, Any], slices: list[int]
    ) -> None:
        """The window is that of the whole, however it is read."""
        assert window_of(log, head, slices, **limits) == window_of(log, head, **limits)

    @settings(max_examples=200)
    @given(logs, heads, limits)
    def test_a_window_of_a_window_is_itself(self, log: Messages, head: Messages, limits: dict[str, Any]) -> None:
        window = window_of(log, head, **limits)
        pinned = len(window_of([], head))
        assert window_of(window[pinned:], window[:pinned], **limits) == window

    @settings(max_examples=200)
    @given(logs, heads, limits)
    def test_what_is_stored_stays_as_it_is(self, log: Messages, head: Messages, limits: dict[str, Any]) -> None:
        """A window is made of copies wherever it says something else."""
        before = copy.deepcopy((log, head))
        window_of(log, head, **limits)
        assert all(same(one, other) for one, other in zip((*log, *head), (*before[0], *before[1]), strict=True))


def _is_only_results(message: lc.BaseMessage) -> bool:
    blocks = message.content if isinstance(message.content, list) else []
    return bool(blocks) and all(isinstance(one, dict) and one.get("type") == "tool_result" for one in blocks)


def _opens(message: lc.BaseMessage) -> bool:
    return is_a_persons(message) and not _is_only_results(message)


def ask(*ids: str | None, text: str = "", name: str = "f") -> lc.AIMessage:
    return lc.AIMessage(text, tool_calls=[{"name": name, "args": {}, "id": one} for one in ids])


def result(call: str, text: str = "r") -> lc.ToolMessage:
    return lc.ToolMessage(text, tool_call_id=call)


def told(messages: Messages) -> list[tuple[str, str]]:
    """Return what is said, in short: who, and the text, or the ids of the calls."""
    made = []
    for message in messages:
        calls = [str(call["id"]) for call in message.tool_calls] if isinstance(message, lc.AIMessage) else []
        made.append((message.type, " ".join([message.text, *calls]).strip()))
    return made


class TestExchanges:
    async def test_what_comes_between_comes_after(self, history: chatmem.History) -> None:
        """Another question, an answer to it and an instruction do not part a call from its results."""
        await history.append(
            "q1", ask("a", "b"), "q2", result("b", "rb"), ("ai", "wait"), ("system", "hurry"), result("a", "ra"), "q3"
        )
        window = await history.window()
        assert told(window) == [
            ("human", "q1"),
            ("ai", "a b"),
            ("tool", "rb"),
            ("tool", "ra"),
            ("human", "q2"),
            ("ai", "wait"),
            ("human", "hurry"),
            ("human", "q3"),
        ]
        providers.check(window)
        assert [m.type for m in await history.messages()] == [
            "human",
            "ai",
            "human",
            "tool",
            "ai",
            "system",
            "tool",
            "human",
        ]

    async def test_the_first_result_counts(self, history: chatmem.History) -> None:
        """Of results of one call, be the second one turns later, or in another slice."""
        await history.append("q1", ask("a"), result("a", "once"), result("a", "twice"), ("ai", "a1"))
        await history.append(*(x for i in range(300) for x in (f"q {i}", ("ai", f"a {i}"))), result("a", "late"))
        window = await history.window(tokens=100_000)
        assert [m.text for m in window if m.type == "tool"] == ["once"]
        assert len(window) == 604

    async def test_a_result_of_another_slice(self, history: chatmem.History) -> None:
        """A result far from its call stands behind it where the window reaches so far, and is nowhere where not."""
        await history.append(
            "q1", ask("a"), *(x for i in range(600) for x in (f"q {i}", ("ai", f"a {i}"))), result("a")
        )
        window = await history.window(tokens=100_000)
        assert [m.type for m in window[:3]] == ["human", "ai", "tool"]
        assert "tool" not in [m.type for m in await history.window(messages=100)]

    async def test_calls_that_nobody_answered(self, history: chatmem.History) -> None:
        """They go, whether they could be read or not; what was said beside them and the answered ones stay."""
        broken = {"type": "invalid_tool_call", "id": "x", "name": "f", "args": "{", "error": None}
        await history.append(
            "q1",
            ask("a", text="May I?"),
            "q2",
            ask("b", "c"),
            result("c"),
            "q3",
            lc.AIMessage("", tool_calls=ask("d").tool_calls, invalid_tool_calls=[broken]),
            result("d"),
            lc.AIMessage("", invalid_tool_calls=[broken]),
            "q4",
        )
        window = await history.window()
        kept = [
            ("ai", "May I?"),
            ("human", "q2"),
            ("ai", "c"),
            ("tool", "r"),
            ("human", "q3"),
            ("ai", "d"),
            ("tool", "r"),
        ]
        assert told(window) == [("human", "q1"), *kept, ("human", "q4")]
        assert not any(m.invalid_tool_calls for m in window if isinstance(m, lc.AIMessage))

    async def test_an_answered_call_that_cannot_be_read(self, history: chatmem.History) -> None:
        """It stays, with what it was told."""
        broken = {"type": "invalid_tool_call", "id": "x", "name": "f", "args": "{", "error": None}
        called = lc.AIMessage("", invalid_tool_calls=[broken])
        await history.append("q", called, result("x", "no JSON"), ("ai", "a"))
        assert await history.window() == await history.messages()

    async def test_ids_that_repeat(self, history: chatmem.History) -> None:
        """Each turn has its own exchange, in which call and result agree; for Anthropic and OpenAI the ids differ."""
        for turn in range(3):
            await history.append(f"q{turn}", ask("call_0"), result("call_0", f"r{turn}"), ("ai", f"a{turn}"))
        window = await history.window()
        assert [text for kind, text in told(window) if kind != "ai"] == ["q0", "r0", "q1", "r1", "q2", "r2"]
        assert [m.tool_call_id for m in window if isinstance(m, lc.ToolMessage)] == ["call_0", "call_0-2", "call_0-3"]
        providers.check(window)
        assert (await history.window(turns=1)) == (await history.messages(last=4))

    async def test_equal_ids_in_one_message_and_none(self, history: chatmem.History) -> None:
        """The first result is the first call's, the second the second's."""
        await history.append("q1", ask("a", "a"), result("a", "1"), result("a", "2"), ("ai", "a1"))
        await history.append("q2", ask(None, None), result("", "1"), result("", "2"), ("ai", "a2"))
        window = await history.window()
        assert [m.text for m in window if m.type == "tool"] == ["1", "2", "1", "2"]
        asked = [call["id"] for m in window if isinstance(m, lc.AIMessage) for call in m.tool_calls]
        assert asked == [m.tool_call_id for m in window if isinstance(m, lc.ToolMessage)]
        assert len(set(asked)) == 4

    async def test_content_says_the_same_calls(self, history: chatmem.History) -> None:
        """Blocks of calls go and stay with the calls, and thoughts with what they were for."""
        thought = {"type": "reasoning", "id": "rs_1"}
        blocks: list[Any] = [{"type": "text", "text": "Look."}]
        for one in ("a", "b"):
            blocks += [thought, {"type": "tool_use", "id": one, "name": "f", "input": {}}]
        await history.append("q", lc.AIMessage(blocks, tool_calls=ask("a", "b").tool_calls), result("a"), "q2")
        window = await history.window()
        assert window[1].content == blocks[:3]
        assert isinstance(window[1], lc.AIMessage)
        assert [call["id"] for call in window[1].tool_calls] == ["a"]

    async def test_functions_of_before_there_were_tools(self, history: chatmem.History) -> None:
        """They come as tools, which every provider knows; Gemini's copy of a call beside it is no second one."""
        function = {"function_call": {"name": "sky", "arguments": '{"city": "Lima"}'}}
        gemini = ask("g", name="sky")
        gemini.additional_kwargs = function
        old = [lc.AIMessage("", additional_kwargs=function), lc.FunctionMessage(content="fog", name="sky")]
        await history.append(
            "q1", *old, ("ai", "a1"), "q2", gemini, result("g"), ("ai", "a2"), "q3", *old, ("ai", "a3")
        )
        window = await history.window()
        calls = [call for m in window if isinstance(m, lc.AIMessage) for call in m.tool_calls]
        assert [(call["name"], call["args"]) for call in calls] == [
            ("sky", {"city": "Lima"}),
            ("sky", {}),
            ("sky", {"city": "Lima"}),
        ]
        assert [m.text for m in window if m.type == "tool"] == ["fog", "r", "fog"]
        providers.check(window)


class TestExchangesInContent:
    """Approvals and tools that providers run, whose both halves are content blocks."""

    @pytest.mark.parametrize(
        ("asking", "answering"),
        [
            (
                {"type": "mcp_approval_request", "id": "x"},
                {"type": "mcp_approval_response", "approval_request_id": "x"},
            ),
            ({"type": "server_tool_use", "id": "x"}, {"type": "web_search_tool_result", "tool_use_id": "x"}),
            ({"type": "mcp_tool_use", "id": "x"}, {"type": "mcp_tool_result", "tool_use_id": "x"}),
            ({"type": "server_tool_call", "id": "x"}, {"type": "server_tool_result", "tool_call_id": "x"}),
            ({"type": "shell_call", "call_id": "x"}, {"type": "shell_call_output", "call_id": "x"}),
            (
                {"type": "local_shell_call", "id": "l", "call_id": "x"},
                {"type": "local_shell_call_output", "id": "x"},
            ),
            (
                {"type": "non_standard", "value": {"type": "apply_patch_call", "call_id": "x"}},
                {"type": "apply_patch_call_output", "call_id": "x"},
            ),
        ],
    )
    async def test_halves_go(self, history: chatmem.History, asking: Any, answering: Any) -> None:
        """A half goes, with the thoughts before it; a whole stays; and what the last message asks may be answered."""
        thought = {"type": "reasoning", "id": "rs_1"}
        text = {"type": "text", "text": "May I?"}
        await history.append("q1", lc.AIMessage([text, thought, asking]))
        assert (await history.window())[1].content == [text, thought, asking]
        await history.append(lc.HumanMessage([answering, text]))
        assert [m.content for m in await history.window()] == ["q1", [text, thought, asking], [answering, text]]
        await history.append(("ai", "a1"), "q2", lc.AIMessage([thought, asking]), "q3")
        window = await history.window()
        assert [m.content for m in window[2:]] == [[answering, text], "a1", "q2", "q3"]
        assert [m.content for m in await history.window(messages=5)] == [[text], "a1", "q2", "q3"]
        providers.check(window)

    async def test_blocks_without_ids_stay(self, history: chatmem.History) -> None:
        """Gemini's own tools have none, so no half can be told from a whole."""
        ran: list[Any] = [{"type": "server_tool_call", "id": None}, {"type": "server_tool_result", "tool_call_id": ""}]
        await history.append("q1", lc.AIMessage(ran), "q2")
        assert (await history.window())[1].content == ran


class TestRoles:
    async def test_instructions_meanwhile(self, history: chatmem.History) -> None:
        """System messages behind the head come where they are, as notifications; the one at the head stays."""
        await history.append(("system", "be kind"), "q1", ("ai", "a1"), ("system", "It is late."), "q2")
        window = await history.window()
        assert told(window)[3:] == [("human", "It is late."), ("human", "q2")]
        assert lc.get_notification_metadata(window[3]) is not None
        assert [m.type for m in await history.window(turns=1)] == ["system", "human"]

    async def test_roles_by_name(self, history: chatmem.History) -> None:
        """People of any role are people."""
        await history.append(
            lc.ChatMessage(content="q1", role="user"),
            lc.ChatMessage(content="a1", role="assistant"),
            lc.ChatMessage(content="Stay calm.", role="moderator"),
        )
        assert told(await history.window()) == [("human", "q1"), ("ai", "a1"), ("human", "Stay calm.")]

    async def test_an_answer_before_a_call(self, history: chatmem.History) -> None:
        """The two are one message, since Gemini wants calls directly behind the user; nothing said is missing."""
        await history.append("q", ("ai", "Let me see."), ask("a"), result("a"), ("ai", "a1"))
        assert told(await history.window()) == [("human", "q"), ("ai", "Let me see. a"), ("tool", "r"), ("ai", "a1")]

    async def test_who_says_nothing(self, history: chatmem.History) -> None:
        """An empty message does not make every later request fail."""
        await history.append(
            "", ("ai", "Yes?"), "  \n", ("ai", "Yes?"), lc.HumanMessage([{"type": "text", "text": ""}])
        )
        window = await history.window()
        assert [m.text for m in window if m.type == "human"] == ["(empty)"] * 3
        providers.check(window)


class TestTurns:
    async def test_notifications_begin_none(self, history: chatmem.History) -> None:
        """What LangChain marks as not typed by anybody belongs to the turn that it comes in."""
        summary = lc.add_notification_metadata(lc.HumanMessage("SUMMARY"), source="summarization")
        done = lc.add_notification_metadata(lc.HumanMessage("Task 1 is done."), source="async_subagent")
        await history.append(summary, "q1", ("ai", "a1"), "q2", done, lc.HumanMessageChunk(content="x"), ("ai", "a2"))
        assert [m.text for m in await history.window(turns=1)] == ["q2", "Task 1 is done.", "x", "a2"]
        assert (await history.window(turns=2))[0].text == "q1"
        assert len(await history.window(turns=3)) == 7

    async def test_tokens_count_once(self, history: chatmem.History) -> None:
        """A long conversation is counted in one walk: no message of it more than a few times."""
        counted = []

        def counter(message: Any) -> int:
            counted.append(message)
            return 1

        counter.__annotations__["message"] = lc.BaseMessage
        await history.append(*(f"q {i}" for i in range(3000)))
        assert len(await history.window(tokens=2500, token_counter=counter)) == 2500
        assert len(counted) <= 2 * 3000


def test_real_conversations() -> None:
    """As agents held them: they come as they are, but for ids of calls that repeat, as in a quarter of them."""
    for log in conversations().values():
        window = window_of(log[1:], log[:1])
        providers.check(window)
        assert [(m.type, m.content) for m in window] == [(m.type, m.content) for m in log]
        ids = [call["id"] for message in log if isinstance(message, lc.AIMessage) for call in message.tool_calls]
        if len(set(ids)) == len(ids):
            assert window == log


def test_a_counter_of_lists_is_asked_little() -> None:
    """However many slices there are, it counts a few times what there is in all."""
    counted = 0

    def counter(messages: Messages) -> int:
        nonlocal counted
        counted += len(messages)
        return len(messages)

    log = convert_to_messages([f"q {i}" for i in range(20_000)])
    assert len(window_of(log, slices=[500] * 39, tokens=15_000, token_counter=counter)) == 15_000
    assert counted <= 25 * 20_000


@pytest.mark.parametrize("count", [1000, 4000])
def test_a_window_costs_time_by_its_length(count: int) -> None:
    """Results that nobody asked for, in every slice, are looked at once each."""
    log: Messages = [result(f"c{i}") for i in range(count)]
    assert window_of(log, slices=[50] * (count // 50)) == []


_THOUGHT = {"type": "thinking", "thinking": "hm"}


@pytest.mark.parametrize(
    ("content", "ends"),
    [([_THOUGHT], False), ([{"type": "text", "text": "a"}, _THOUGHT], False), ("a", True), (["a"], True)],
)
def test_a_run_of_answers_costs_time_by_its_length(content: Any, ends: bool) -> None:
    """A model that thinks again and again without a word; answers that are joined with a call. It was the square."""
    log: Messages = [lc.HumanMessage("q"), *(lc.AIMessage(content) for _ in range(20_000))]
    log += [ask("c"), result("c")] if ends else []
    started = time.process_time()
    window = window_of(log)
    assert time.process_time() - started < 5
    providers.check(window)
    assert len(window) <= 3


def test_results_in_any_order_cost_time_by_their_number() -> None:
    """Twenty thousand calls at once."""
    names = [f"c{number}" for number in range(20_000)]
    log: Messages = [lc.HumanMessage("q"), ask(*names), *(result(name) for name in reversed(names))]
    started = time.process_time()
    assert len(window_of(log)) == len(log)
    assert time.process_time() - started < 3


def test_a_first_window_imports_nothing() -> None:
    """It is made in an event loop, which importing half of LangChain would stop."""
    program = (
        "import sys, chatmem.core.window as w; from tests.test_sendable_windows import *; before = set(sys.modules);"
        "window_of(convert_to_messages(['a', 'b']), tokens=10); print(sorted(set(sys.modules) - before))"
    )
    made = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"
