"""The validators of providers' rules see what they are there for, so that a test which asks them can fail."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core import messages as lc

from tests import providers
from tests.samples import conversations

ASK = lc.AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "a"}])
RESULT = lc.ToolMessage("r", tool_call_id="a")
BROKEN = lc.AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "a", "error": None}])
THOUGHT: Any = {"type": "thinking", "thinking": "hm", "signature": "s"}
Q, A = lc.HumanMessage("q"), lc.AIMessage("a")

REFUSED: dict[str, list[lc.BaseMessage]] = {
    "a result without a call": [Q, RESULT],
    "a call without a result": [Q, ASK, Q],
    "a call at the end": [Q, ASK],
    "a call that cannot be read": [Q, BROKEN, Q],
    "a message between": [Q, ASK, Q, RESULT],
    "two results": [Q, ASK, RESULT, RESULT],
    "ids that repeat": [Q, ASK, RESULT, A, Q, ASK, RESULT],
    "no id": [Q, lc.AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": None}]), Q],
    "no name": [Q, lc.AIMessage("", tool_calls=[{"name": "", "args": {}, "id": "a"}]), RESULT],
    "a call in the content alone": [Q, lc.AIMessage([{"type": "tool_use", "id": "a", "name": "f", "input": {}}]), Q],
    "a call beside": [Q, lc.AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}), Q],
    "a role by name": [lc.ChatMessage(content="q", role="user")],
    "a function": [Q, lc.FunctionMessage(content="r", name="f")],
}
BY_SOME: dict[str, tuple[list[lc.BaseMessage], set[str]]] = {
    "an answer first": ([A, Q], {"anthropic", "gemini"}),
    "a late instruction": ([Q, A, lc.SystemMessage("s"), Q], {"anthropic", "gemini"}),
    "nothing from the user": ([lc.HumanMessage("")], {"anthropic", "gemini"}),
    "nothing but space": ([Q, lc.AIMessage(" ")], {"anthropic"}),
    "a thought last": ([Q, lc.AIMessage([THOUGHT])], {"anthropic"}),
    "reasoning last": ([Q, lc.AIMessage([{"type": "reasoning", "id": "rs"}])], {"openai", "anthropic"}),
    "a call behind an answer": ([Q, A, ASK, RESULT], {"gemini"}),
}
CHECKS = {"openai": providers.check_openai, "anthropic": providers.check_anthropic, "gemini": providers.check_gemini}


def refusing(messages: list[lc.BaseMessage]) -> set[str]:
    """Return who refuses the messages."""
    found = set()
    for name, check in CHECKS.items():
        try:
            check(messages)
        except AssertionError:
            found.add(name)
    return found


@pytest.mark.parametrize("name", REFUSED)
def test_all_refuse(name: str) -> None:
    assert refusing(REFUSED[name]) == set(CHECKS)


@pytest.mark.parametrize("name", BY_SOME)
def test_some_refuse(name: str) -> None:
    messages, who = BY_SOME[name]
    assert refusing(messages) == who


def test_all_take_real_conversations() -> None:
    """As agents held them, where ids do not repeat, which they do in a quarter of them; and nothing at all."""
    assert refusing([]) == set()
    refused = [messages for messages in conversations().values() if refusing(messages)]
    assert len(refused) == 38
    for messages in refused:
        ids = [call["id"] for message in messages if isinstance(message, lc.AIMessage) for call in message.tool_calls]
        assert len(set(ids)) < len(ids)
