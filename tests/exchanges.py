"""Random conversations with tool exchanges, whole or with parts missing."""

from __future__ import annotations

from hypothesis import strategies as st
from langchain_core import messages as lc

_TEXTS = st.sampled_from(["", "a", "a b", "a b c d e f", "x" * 30])


@st.composite
def _exchange(draw: st.DrawFn, complete: bool, names: list[int]) -> list[lc.BaseMessage]:
    count = draw(st.integers(1, 3))
    names[0] += count
    calls = [{"name": "f", "args": {}, "id": f"call-{names[0] - i}", "type": "tool_call"} for i in range(count)]
    answered = calls if complete else draw(st.lists(st.sampled_from(calls), unique_by=lambda call: str(call["id"])))
    results = [lc.ToolMessage(draw(_TEXTS), tool_call_id=call["id"]) for call in draw(st.permutations(answered))]
    asking = [] if not complete and draw(st.integers(0, 9)) == 0 else [lc.AIMessage(draw(_TEXTS), tool_calls=calls)]
    return [*asking, *results]


@st.composite
def conversations(draw: st.DrawFn, complete: bool) -> list[lc.BaseMessage]:
    """Turns of a human message, exchanges and an answer; where `complete`, all calls have all their results."""
    names = [0]
    messages: list[lc.BaseMessage] = []
    if draw(st.booleans()):
        messages.append(lc.SystemMessage(draw(_TEXTS)))
    for _ in range(draw(st.integers(0, 8))):
        messages.append(lc.HumanMessage(draw(_TEXTS)))
        for _ in range(draw(st.integers(0, 3))):
            messages += draw(_exchange(complete, names))
        if draw(st.booleans()):
            messages.append(lc.AIMessage(draw(_TEXTS)))
        if draw(st.integers(0, 9)) == 0:
            messages.append(lc.SystemMessage("meanwhile"))
    return messages


def numbered(messages: list[lc.BaseMessage]) -> list[lc.BaseMessage]:
    """Return the messages with ids."""
    return [message.model_copy(update={"id": f"m{i}"}) for i, message in enumerate(messages)]


def calls_of(message: lc.BaseMessage) -> list[str | None]:
    return [call["id"] for call in message.tool_calls] if isinstance(message, lc.AIMessage) else []


def halves(messages: list[lc.BaseMessage]) -> list[str | None]:
    """Return the ids of calls without results and results without calls, in the plainest way."""
    called = {call for message in messages for call in calls_of(message)}
    answered = {message.tool_call_id for message in messages if isinstance(message, lc.ToolMessage)}
    return sorted(called ^ answered, key=str)
