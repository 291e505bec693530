"""Messages to store: the 22 kinds, real conversations, and random ones."""

from __future__ import annotations

import gzip
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from langchain_core import messages as lc

DATA = Path(__file__).parent / "data" / "tau_airline_150.jsonl.gz"


class Custom(lc.HumanMessage):
    """A message of the user's own."""

    mood: str = "calm"


def kinds() -> dict[str, lc.BaseMessage]:
    """The 22 kinds that the peers were tried with."""
    call = {"name": "book", "args": {"flight": "HAT001", "bags": 2}, "id": "call_1", "type": "tool_call"}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    v1: Any = [
        {"type": "text", "text": "Look:", "annotations": [{"type": "citation", "url": "https://example.com"}]},
        {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"},
    ]
    usage: Any = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12, "input_token_details": {"cache_read": 3}}
    return {
        "id and name": lc.HumanMessage("hi", id="msg-1", name="alice"),
        "multimodal": lc.HumanMessage([{"type": "text", "text": "what is this?"}, image]),
        "v1 blocks": lc.HumanMessage(content_blocks=v1),
        "tool calls": lc.AIMessage("", tool_calls=[call]),
        "invalid tool calls": lc.AIMessage(
            "",
            invalid_tool_calls=[
                {"name": "book", "args": "{", "id": "call_2", "error": "no JSON", "type": "invalid_tool_call"}
            ],
        ),
        "usage": lc.AIMessage("hi", usage_metadata=usage),
        "response metadata": lc.AIMessage(
            "hi", response_metadata={"model_name": "gpt-4o", "logprobs": None, "n": [1.5]}
        ),
        "reasoning blocks": lc.AIMessage(
            [{"type": "reasoning", "reasoning": "hm", "extras": {"signature": "Eu8="}}, "so"]
        ),
        "tool status": lc.ToolMessage("boom", tool_call_id="call_1", status="error"),
        "artifact": lc.ToolMessage("42", tool_call_id="call_1", artifact={"rows": [1, 2], "nested": {"a": None}}),
        "bytes artifact": lc.ToolMessage("png", tool_call_id="call_1", artifact=b"\x89PNG\x00\xff"),
        "system": lc.SystemMessage("be kind"),
        "chat role": lc.ChatMessage(content="hello", role="moderator"),
        "function": lc.FunctionMessage(content="42", name="add"),
        "remove": lc.RemoveMessage(id="msg-0"),
        "AI chunk": lc.AIMessageChunk(
            content="par",
            id="run-1",
            tool_call_chunks=[{"name": "b", "args": '{"a', "id": "c", "index": 0, "type": "tool_call_chunk"}],
        ),
        "custom subclass": Custom(content="hi", mood="great"),
        "extra field": lc.HumanMessage("hi", ticket=42, tags=["a"]),
        "lone surrogate": lc.HumanMessage("bro\ud800ken"),
        "NUL and emoji": lc.HumanMessage("a\x00b \U0001f600 é"),
        "NaN": lc.ToolMessage("x", tool_call_id="1", artifact=[math.nan, math.inf, -math.inf, -0.0]),
        "2**70": lc.ToolMessage("x", tool_call_id="1", artifact={"big": 2**70, "small": -(2**70)}),
    }


@cache
def conversations() -> dict[str, list[lc.BaseMessage]]:
    """The 150 real conversations, by their ids."""
    with gzip.open(DATA, "rt") as lines:
        parsed = [json.loads(line) for line in lines]
    return {one["id"]: lc.convert_to_messages(one["messages"]) for one in parsed}


def same(left: Any, right: Any) -> bool:
    """Equality of values and types, with NaN equal to itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, lc.BaseMessage):
        return all(
            same(getattr(left, part), getattr(right, part))
            for part in ("__dict__", "__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__")
        )
    if isinstance(left, dict):
        # keys that are equal may differ in type: 1 and 1.0
        return len(left) == len(right) and all(
            same(k, other) and same(v, w) for (k, v), (other, w) in zip(left.items(), right.items(), strict=True)
        )
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return (left == right and math.copysign(1, left) == math.copysign(1, right)) or (
            left != left and right != right
        )
    return bool(left == right)


text = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)  # lone surrogates included
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**63, max_value=2**80),
    st.floats(),
    text,
    st.binary(max_size=30),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.decimals(allow_nan=False),
    st.frozensets(st.one_of(st.integers(), text), max_size=3),
)
hashables = st.one_of(st.none(), st.booleans(), st.integers(), text, st.binary(max_size=8), st.uuids(), st.dates())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(hashables, inner, max_size=4), st.sets(st.integers(), max_size=3)
    ),
    max_leaves=12,
)
maps = st.dictionaries(text, values, max_size=3)
content = st.one_of(text, st.lists(st.one_of(text, maps), max_size=3))
common = {
    "content": content,
    "additional_kwargs": maps,
    "response_metadata": maps,
    "name": st.none() | text,
    "id": st.none() | text,
}
# attributes of a model that pydantic or LangChain reserve cannot be extra fields
extra = st.dictionaries(st.from_regex(r"x_[a-z]{1,6}", fullmatch=True), values, max_size=2)


def _some(cls: type[lc.BaseMessage], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[lc.BaseMessage]:
    needed = {name: strategy for name, strategy in {**common, **fields}.items() if cls.model_fields[name].is_required()}
    optional = {name: strategy for name, strategy in {**common, **fields}.items() if name not in needed}
    arguments = st.fixed_dictionaries(needed, optional=optional)
    return st.builds(lambda given, more: cls(**given, **more), arguments, extra)


calls = st.lists(
    st.fixed_dictionaries({"name": text, "args": maps, "id": st.none() | text, "type": st.just("tool_call")}),
    max_size=2,
)
chunks = st.lists(
    st.fixed_dictionaries(
        {"name": text, "args": text, "id": text, "index": st.integers(0, 3), "type": st.just("tool_call_chunk")}
    ),
    max_size=2,
)
ai = {
    "tool_calls": calls,
    "usage_metadata": st.none()
    | st.fixed_dictionaries(
        {name: st.integers(0, 10**6) for name in ("input_tokens", "output_tokens", "total_tokens")}
    ),
}
tool = {"tool_call_id": text, "artifact": values, "status": st.sampled_from(["success", "error"])}
messages = st.one_of(
    *(_some(cls) for cls in (lc.HumanMessage, lc.HumanMessageChunk, lc.SystemMessage, lc.SystemMessageChunk)),
    _some(lc.AIMessage, **ai),
    _some(lc.AIMessageChunk, tool_call_chunks=chunks, chunk_position=st.sampled_from([None, "last"])),
    *(_some(cls, **tool) for cls in (lc.ToolMessage, lc.ToolMessageChunk)),
    *(_some(cls, role=text) for cls in (lc.ChatMessage, lc.ChatMessageChunk)),
    *(_some(cls, name=text) for cls in (lc.FunctionMessage, lc.FunctionMessageChunk)),
)
