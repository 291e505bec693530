"""The writes that make a memory hold what a state holds, over random states; a list stands for the memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from langchain_core.version import VERSION

if tuple(map(int, VERSION.split(".")[:2])) < (1, 2):
    pytest.skip("langgraph needs a later langchain-core than the oldest that chatmem takes", allow_module_level=True)

from langchain_core import messages as lc
from langchain_core.documents import Document

from chatmem.codec import record
from chatmem.langgraph.difference import difference, digests, is_summary, with_dropped
from tests import samples

SUMMARY = {"lc_source": "summarization"}


def said(name: str, text: str = "") -> lc.BaseMessage:
    return lc.HumanMessage(text or name, id=name)


def result(name: str) -> lc.BaseMessage:
    return lc.ToolMessage(name, tool_call_id="c", id=name)


def summary() -> lc.BaseMessage:
    return lc.HumanMessage("what was said", id="summary", additional_kwargs=SUMMARY)


def names(messages: Any) -> list[str]:
    return [str(message.id) for message in messages]


def written(stored: list[lc.BaseMessage], messages: list[lc.BaseMessage], found: Any) -> list[lc.BaseMessage]:
    """Return what a memory holds after a write: removed messages are gone, known ones replaced, others appended."""
    after = [one for one in stored if one.id not in found.removed]
    for message in found.written:
        at = next((index for index, one in enumerate(after) if one.id == message.id), None)
        after[at if at is not None else len(after) :] = [message, *(after[at + 1 :] if at is not None else [])]
    return after


@st.composite
def _states(draw: st.DrawFn) -> tuple[list[lc.BaseMessage], list[lc.BaseMessage], list[str]]:
    """Draw the stored messages, a state's messages, and what others stored meanwhile."""
    stored = [draw(st.sampled_from([said, result]))(f"s{i}") for i in range(draw(st.integers(0, 6)))]
    messages = [one for one in stored if draw(st.booleans())]
    messages = [said(str(one.id), "changed") if draw(st.integers(0, 4)) == 0 else one for one in messages]
    if draw(st.integers(0, 4)) == 0:
        messages = draw(st.permutations(messages))
    for i in range(draw(st.integers(0, 4))):
        new = summary() if draw(st.integers(0, 5)) == 0 and i == 0 else draw(st.sampled_from([said, result]))(f"n{i}")
        messages.insert(draw(st.integers(0, len(messages))), new)
    return stored, messages, [f"o{i}" for i in range(draw(st.integers(0, 2)))]


@given(_states(), st.integers(0, 6), st.booleans())
def test_what_is_stored_is_what_the_state_holds(
    case: tuple[list[lc.BaseMessage], list[lc.BaseMessage], list[str]], old: int, acted: bool
) -> None:
    stored, messages, others = case
    known, old = digests(stored), min(old, len(stored))
    found = difference(messages, known, old, acted=acted)
    before = [*stored, *map(said, others)]
    after = written(before, messages, found)

    wanted = [one for one in messages if not is_summary(one)]
    assert sorted(names(after)) == sorted({*names(before), *names(wanted)})
    assert {one.id: one for one in after if one in wanted} == {one.id: one for one in wanted}
    gone = [one for one in before if one.id not in names(messages)]
    assert [one for one in after if one in gone] == gone

    assert found.known == {name: digest for name, digest in digests(after).items() if name not in others}
    order = [name for name in names(after) if name not in others]
    assert list(found.known) == order
    assert difference(messages, found.known, found.old).is_empty
    if old == 0:
        assert [one for one in after if one in wanted] == wanted
    if not any(isinstance(one, lc.ToolMessage) for one in wanted):
        kept = names(stored[:old])
        assert [name for name in names(after) if name in kept] == kept


@pytest.mark.parametrize(
    ("stored", "old", "state", "after"),
    [
        ("ab", 0, "abcd", "abcd"),
        ("ab", 2, "abcd", "abcd"),
        ("abc", 0, "axbc", "axbc"),
        ("abc", 3, "axbc", "abcx"),
        ("abc", 2, "xabc", "abxc"),
        ("abc", 3, "aTbc", "aTbc"),
        ("abc", 3, "aTbcd", "aTbcd"),
        ("abc", 0, "cab", "cab"),
        ("abc", 3, "cab", "abc"),
        ("abcd", 0, "bd", "abcd"),
        ("abcd", 4, "bxd", "abcdx"),
        ("abcd", 2, "cxd", "abcxd"),
    ],
)
def test_the_order(stored: str, old: int, state: str, after: str) -> None:
    """New messages in front of those of earlier runs are stored behind them, except a tool's result, which is `T`."""
    make = {"T": result("T")}
    before = [said(name) for name in stored]
    messages = [make.get(name, said(name)) for name in state]
    found = difference(messages, digests(before), old)
    assert "".join(names(written(before, messages, found))) == after
    assert difference(messages, found.known, found.old).is_empty


def test_a_call_that_its_tool_stored() -> None:
    """A tool call that may be stored is appended again behind a message that was inserted in front of it."""
    call = lc.AIMessage("", id="b", tool_calls=[{"name": "f", "args": {}, "id": "c"}])
    messages = [said("a"), said("x"), call, result("d")]
    found = difference(messages, digests([said("a")]), acted=True)
    assert names(written([said("a"), call], messages, found)) == ["a", "x", "b", "d"]


def test_what_was_dropped_comes_before_what_is_new() -> None:
    stored, new = said("a"), said("b")
    known = digests([stored])
    assert names(with_dropped([summary(), stored, new], [said("g")], known)) == ["summary", "a", "g", "b"]
    assert names(with_dropped([summary(), stored], [said("g")], known)) == ["summary", "a", "g"]
    assert with_dropped([stored], [], known) == [stored]


@given(samples.messages)
def test_a_message_that_was_stored_has_the_digest_of_the_original(message: lc.BaseMessage) -> None:
    """The digest depends on neither the order of fields nor which were set explicitly."""
    again = record.decode(b"0:" + record.encode(message, 0, 0).record).message
    assume(record.encode(again, 0, 0) == record.encode(message, 0, 0))  # a set may come in another order
    assert digests([again]) == digests([message])


@given(samples.messages, samples.messages)
def test_other_messages_have_other_digests(one: lc.BaseMessage, other: lc.BaseMessage) -> None:
    fields = [(type(made), sorted(made.__dict__.items()), made.__pydantic_extra__) for made in (one, other)]
    assert samples.same(*fields) or digests([one]) != digests([other])


def test_a_value_that_only_the_codec_knows() -> None:
    """A change in such a value changes the digest."""
    one, other = (lc.ToolMessage("", tool_call_id="c", id="1", artifact=Document(text)) for text in "ab")
    assert digests([one]) == digests([one.model_copy()]) != digests([other])
