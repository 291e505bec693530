"""Messages that bypassed LangChain's validation: they are stored as they are, and stop nothing that reads them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core import messages as lc

import chatmem
from chatmem.cli.terminal import content_of
from chatmem.codec import record
from chatmem.core.typed import is_typed, typed
from chatmem.search import text_of
from tests import providers
from tests.samples import same
from tests.test_malformed_blocks import READERS
from tests.test_sendable_windows import limits, window_of

_TEXTS = ("a", "", "call_1")
_odd = st.recursive(
    st.sampled_from([None, True, 5, 1.5, b"x", *_TEXTS]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=2).map(tuple),
        st.dictionaries(st.sampled_from(["type", "text", "id", "name", "args"]), inner, max_size=3),
    ),
    max_leaves=5,
)
_blocks = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "text", "tool_use", "thinking"]) | _odd, "text": _odd}
)
_calls: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"name": st.just("f") | _odd, "args": st.just({}), "id": st.just("call_1") | _odd}
)
_parts: dict[str, st.SearchStrategy[Any]] = {
    "content": st.one_of(_odd, st.lists(_blocks | _odd, max_size=3)),
    "additional_kwargs": _odd,
    "response_metadata": _odd,
    "type": _odd,
    "name": _odd,
    "id": _odd,
    "tool_calls": st.one_of(_odd, st.lists(_calls | _odd, max_size=2)),
    "invalid_tool_calls": st.one_of(_odd, st.lists(_calls | _odd, max_size=2)),
    "usage_metadata": _odd,
    "tool_call_id": st.just("call_1") | _odd,
    "artifact": _odd,
    "status": _odd,
    "role": _odd,
}
_WHOLE: tuple[lc.BaseMessage, ...] = (
    lc.HumanMessage("q"),
    lc.AIMessage("a"),
    lc.AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "call_1"}]),
    lc.ToolMessage("r", tool_call_id="call_1"),
    lc.SystemMessage("s"),
    lc.ChatMessage(content="c", role="critic"),
    lc.FunctionMessage(content="r", name="f"),
)


@st.composite
def _some(draw: st.DrawFn) -> lc.BaseMessage:
    message = draw(st.sampled_from(_WHOLE)).model_copy()
    for name in draw(st.lists(st.sampled_from(sorted(type(message).model_fields)), max_size=2)):
        setattr(message, name, draw(_parts[name]))
    return message


@settings(max_examples=300)
@given(_some())
def test_they_are_stored_as_they_are(message: lc.BaseMessage) -> None:
    assert same(record.decode(b"0:" + record.encode(message, 0, 0).record).message, message)


@settings(max_examples=500)
@given(st.lists(_some(), max_size=6), st.lists(_some(), max_size=1), limits)
def test_windows(log: list[lc.BaseMessage], head: list[lc.BaseMessage], limits: dict[str, Any]) -> None:
    """They are what every provider takes, and well typed."""
    window = window_of(log, head, **limits)
    providers.check(window)
    assert all(map(is_typed, window))


@settings(max_examples=300)
@given(_some())
def test_texts(message: lc.BaseMessage) -> None:
    """What is searched and what a terminal shows of them is text."""
    assert isinstance(text_of(message), str)
    assert isinstance(content_of(message), str)


@settings(max_examples=300)
@given(_some())
def test_what_has_the_right_types_stays(message: lc.BaseMessage) -> None:
    """Only wrong parts change, once."""
    made = typed(message)
    assert typed(made) is made
    assert (made is message) == is_typed(message)


@pytest.mark.parametrize(
    ("content", "is_read_as"),
    [
        (None, ""),
        (5, "5"),
        (b"x", ""),
        ({"type": "text", "text": "kept"}, [{"type": "text", "text": "kept"}]),
        (("a", {"type": ["text"], "text": "b"}, {"type": "text", "text": 7}, None), ["a", "b", "7"]),
    ],
)
def test_texts_are_kept(content: Any, is_read_as: Any) -> None:
    """Whatever is a text, or a number in the place of one, is left."""
    assert typed(lc.HumanMessage.model_construct(content=content)).content == is_read_as


@pytest.mark.parametrize("name", READERS)
def test_readers(name: str) -> None:
    """Front ends and other frameworks get them, or an UnsupportedError."""
    package, make = READERS[name]
    pytest.importorskip(package, reason=f"{package} is not installed")
    read = make()

    @settings(max_examples=200)
    @given(_some())
    def check(message: lc.BaseMessage) -> None:
        with suppress(chatmem.UnsupportedError):
            read(message)

    check()


async def test_a_session_with_one(memory: chatmem.ChatMemory) -> None:
    """The other messages of its session and its user are sent, and found."""
    history = memory.history("s", user="alice")
    broken = lc.AIMessage("x")
    broken.content = None  # type: ignore[assignment]
    await history.append(
        "Where is my refund?", broken, lc.HumanMessage([{"type": "text", "text": 5}]), "Still no refund"
    )
    assert [one.content for one in await history.window(tokens=1000)] == [
        "Where is my refund?",
        "",
        ["5"],
        "Still no refund",
    ]
    assert len(await history.search("refund")) == len(await memory.search("alice", "refund")) == 2
    assert (await history.messages())[1].content is None
