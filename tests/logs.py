"""Random conversations as the world leaves them: second tabs, crashes, approvals that never came, other programs."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from langchain_core import messages as lc
from langchain_core.messages.tool import invalid_tool_call, tool_call

from tests.samples import Custom

_TEXTS = st.sampled_from(["", " ", "a", "b c", "d\n", "x" * 40])
_IDS = st.sampled_from(["call_0", "call_0", "call_1", "a", "b", "c", "d", "", None])
_NAMES = st.sampled_from(["f", "f", "f", "g", ""])
_FEW = st.sampled_from([0, 0, 0, 0, 1])
_ANSWERED = {"type": "tool_result", "content": "r"}


@st.composite
def _people(draw: st.DrawFn) -> lc.BaseMessage:
    text = draw(_TEXTS)
    image = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
    blocks: Any = [{"type": "text", "text": text}, image]
    odd: Any = [{"type": draw(st.sampled_from([["text"], {}, None])), "text": text}]
    calls: Any = [{"type": "tool_use", "id": draw(_IDS), "name": "f", "input": {}}, *blocks[:1]]
    answers: Any = [{**_ANSWERED, "tool_use_id": draw(_IDS) or ""}, *draw(st.sampled_from([[], blocks[:1]]))]
    return draw(
        st.sampled_from(
            [
                *[lc.HumanMessage(text)] * 6,
                lc.HumanMessage(blocks[: draw(st.integers(0, 2))]),
                lc.HumanMessage(answers),
                lc.HumanMessage(odd),
                lc.HumanMessage(calls),
                lc.ChatMessage(content=answers, role="critic"),
                lc.HumanMessage(text, additional_kwargs={"lc_source": "summarization"}),
                lc.HumanMessageChunk(content=text),
                lc.ChatMessage(content=text, role=draw(st.sampled_from(["user", "critic", "assistant", "system"]))),
                Custom(content=text),
            ]
        )
    )


@st.composite
def _answers(draw: st.DrawFn) -> lc.BaseMessage:
    """What a model says: calls, in its fields and in its content, or none."""
    text, count = draw(_TEXTS), draw(st.sampled_from([0, 1, 1, 1, 2, 3]))
    calls = [tool_call(name=draw(_NAMES), args={}, id=draw(_IDS)) for _ in range(count)]
    broken = [invalid_tool_call(name=draw(_NAMES), args="{", id=draw(_IDS), error=None)] * draw(_FEW)
    form = draw(st.sampled_from(["", "", "", "anthropic", "v1", "responses", "computer", "old", "raw", "chunk", "odd"]))
    content: Any = text
    kwargs: dict[str, Any] = {}
    if form in ("anthropic", "v1", "responses"):
        content = [*_thoughts(draw), {"type": "text", "text": text}] if text else _thoughts(draw)
        content += [_block(form, call) for call in calls]
    elif form == "odd":
        content = [{"type": draw(st.sampled_from([["text"], {}, None])), "text": text}]
    elif form == "computer":
        content, calls = [{"type": "reasoning", "id": "rs"}, {"type": "computer_call", "call_id": draw(_IDS)}], []
    elif form == "old":
        calls, broken = [], []
        kwargs = {"function_call": {"name": "f", "arguments": draw(st.sampled_from(["{}", "{", "[]", ""]))}}
    elif form == "raw":
        kwargs = {"tool_calls": [{"id": call["id"], "type": "function", "function": {"name": "f"}} for call in calls]}
        calls = draw(st.sampled_from([calls, []]))
    kind = lc.AIMessageChunk if form == "chunk" else lc.AIMessage
    message = kind(content=content, tool_calls=calls, invalid_tool_calls=broken)
    message.additional_kwargs = kwargs
    return message


def _thoughts(draw: st.DrawFn) -> list[Any]:
    return draw(st.sampled_from([[], [{"type": "thinking", "thinking": "hm", "signature": "s"}]]))


def _block(form: str, call: Any) -> dict[str, Any]:
    if form == "anthropic":
        return {"type": "tool_use", "id": call["id"], "name": call["name"], "input": {}}
    if form == "v1":
        return {"type": "tool_call", "id": call["id"], "name": call["name"], "args": {}}
    return {"type": "function_call", "id": "fc_1", "call_id": call["id"], "name": call["name"], "arguments": "{}"}


@st.composite
def _results(draw: st.DrawFn) -> lc.BaseMessage:
    if draw(st.integers(0, 9)) == 0:
        return lc.FunctionMessage(content="r", name="f")
    return lc.ToolMessage(draw(_TEXTS), tool_call_id=draw(_IDS) or "")


_OTHERS = st.sampled_from(
    [
        lc.SystemMessage("meanwhile"),
        lc.SystemMessage(""),
        lc.SystemMessage([{"type": "text", "text": "now"}]),
        lc.RemoveMessage(id="gone"),
    ]
)

logs = st.lists(
    st.one_of(_people(), _answers(), _answers(), _results(), _results(), _results(), _OTHERS), max_size=25
).map(lambda messages: [message.model_copy(update={"id": f"m{i}"}) for i, message in enumerate(messages)])
"""any messages in any order, with ids of their own"""

heads = st.sampled_from(
    [
        [],
        [],
        [lc.SystemMessage("be kind", id="s")],
        [lc.SystemMessage("be kind", id="s"), lc.AIMessage("SUMMARY", id="sum")],
        [lc.SystemMessage("be kind", id="s"), lc.SystemMessage("SUMMARY", id="sum")],
        [lc.AIMessage("SUMMARY", id="sum")],
        [lc.SystemMessage("be kind", id="s"), lc.HumanMessage("SUMMARY", id="sum")],
        [lc.AIMessage([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "SUMMARY"}], id="sum")],
        [lc.AIMessage("SUMMARY", id="sum"), lc.SystemMessage("be kind", id="s")],
    ]
)
"""what is pinned at the head: a system message, and what a model or a person made of the conversation before"""


def is_a_persons(message: lc.BaseMessage) -> bool:
    """Return whether a message says something that a person said, or may have said."""
    roles = ("user", "critic")
    return isinstance(message, lc.HumanMessage) or (isinstance(message, lc.ChatMessage) and message.role in roles)
