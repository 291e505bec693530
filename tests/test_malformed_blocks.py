"""Content blocks that no framework understands: each adapter reads such a message, or says plainly that it cannot."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core import messages as lc

import chatmem
from chatmem.model import Entry

Reader = Callable[[lc.BaseMessage], Any]


def of_openai_agents() -> Reader:
    from chatmem.openai_agents.items import items_of

    return items_of


def of_pydantic_ai() -> Reader:
    from chatmem.pydantic_ai import to_model_messages

    return lambda message: to_model_messages([message])


def of_agent_framework() -> Reader:
    from chatmem.agent_framework.reading import from_messages

    return lambda message: from_messages([message])


def of_chatkit() -> Reader:
    from chatmem.chatkit.items import item_of

    return lambda message: item_of(Entry(0, None, datetime.now(UTC), message), "t")


def of_llama_index() -> Reader:
    from chatmem.llama_index.messages import to_chat_message

    return to_chat_message


def of_google_adk() -> Reader:
    from chatmem.google_adk.events import to_event

    return to_event


def of_front_end(name: str) -> Callable[[], Reader]:
    def make() -> Reader:
        module = importlib.import_module(f"chatmem.ui.{name}")
        return lambda message: module.from_messages([message])

    return make


READERS: dict[str, tuple[str, Callable[[], Reader]]] = {
    "openai_agents": ("agents", of_openai_agents),
    "pydantic_ai": ("pydantic_ai", of_pydantic_ai),
    "agent_framework": ("agent_framework", of_agent_framework),
    "chatkit": ("chatkit", of_chatkit),
    "llama_index": ("llama_index.core", of_llama_index),
    "google_adk": ("google.adk", of_google_adk),
    **{f"ui.{name}": ("chatmem", of_front_end(name)) for name in ("ai_sdk", "ag_ui", "openai")},
}

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_texts = st.sampled_from(["x", "", "AA==", "https://x.org/a", "image/png"])
_kinds = st.sampled_from(
    ["text", "reasoning", "image", "file", "image_url", "input_audio", "document", "tool_use", "non_standard", "media"]
)
_fields = ["text", "reasoning", "base64", "mime_type", "url", "image_url", "value", "id", "name", "input", "source"]
_blocks = st.fixed_dictionaries(
    {"type": st.one_of(_kinds, _kinds, _json)},
    optional={field: st.one_of(_texts, _json, st.fixed_dictionaries({"type": _kinds | _json})) for field in _fields},
)
_contents = st.lists(_blocks | st.just("x"), max_size=2)
_messages = st.one_of(
    st.builds(lc.HumanMessage, _contents),
    st.builds(lc.AIMessage, _contents),
    st.builds(lc.ToolMessage, _contents, tool_call_id=st.just("c"), name=st.just("f")),
    st.builds(lc.SystemMessage, _contents),
)


@pytest.mark.parametrize("name", READERS)
def test_any_block(name: str) -> None:
    """It is read, or it is an UnsupportedError, never an error of Python's."""
    package, make = READERS[name]
    pytest.importorskip(package, reason=f"{package} is not installed")
    read = make()

    @settings(max_examples=300)
    @given(_messages)
    def check(message: lc.BaseMessage) -> None:
        with suppress(chatmem.UnsupportedError):
            read(message)

    check()
