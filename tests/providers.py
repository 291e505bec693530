"""What OpenAI, Anthropic and Gemini refuse with status 400: their rules, as they document and enforce them.

`check_openai(messages)`, `check_anthropic(messages)` and `check_gemini(messages)` take messages of LangChain and raise
an AssertionError that says why a request with them would be refused, by what LangChain's integrations make of them;
`check` does all three. A window is what goes before the next question, so it may be empty, or end with an answer.

- OpenAI, chat completions: each assistant message with `tool_calls` is followed by one tool message for each of them,
  and tool messages are nowhere else. Responses: each `call_id` is there once, and has one output behind it; a reasoning
  item is followed by what it was for.
- Anthropic: the system prompt is one, at the head; the first turn is the user's; no text is empty; `tool_use` ids are
  unique in the request, and the next turn begins with one `tool_result` for each of them; none ends with thinking.
- Gemini: the system instruction is at the head; the first turn is the user's; a turn with function calls comes directly
  behind one of the user's or one with responses; as many responses as calls follow it.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from langchain_core import messages as lc

_CALLS = {"tool_use", "tool_call", "invalid_tool_call", "function_call", "custom_tool_call", "computer_call"}
_THOUGHTS = {"reasoning", "thinking", "redacted_thinking"}


class Call(NamedTuple):
    """A call as it is sent."""

    id: str | None
    name: str | None


def check(messages: list[lc.BaseMessage]) -> None:
    """Check the rules of all of them."""
    check_openai(messages)
    check_anthropic(messages)
    check_gemini(messages)


def check_openai(messages: list[lc.BaseMessage]) -> None:
    """Check the rules of OpenAI's chat completions and of its Responses API."""
    _check_kinds(messages)
    _check_exchanges(messages)
    _check_unique(messages)
    for index, message in enumerate(messages):
        if isinstance(message, lc.AIMessage) and _blocks(message):
            in_content = {_id_of(block) for block in _blocks(message) if _is_call(block)}
            others = any(call.id not in in_content for call in calls_of(message))  # they are sent behind the content
            assert others or _kind(_blocks(message)[-1]) != "reasoning", f"{index}: nothing follows the reasoning"


def check_anthropic(messages: list[lc.BaseMessage]) -> None:
    """Check the rules of Anthropic's Messages API."""
    _check_kinds(messages)
    said = _without_system(messages)
    _check_exchanges(said)
    _check_unique(said)
    texts = [one.content for one in said if isinstance(one, lc.AIMessage) and isinstance(one.content, str)]
    assert not any(text.isspace() for text in texts), "an assistant's text is nothing but space"
    said = [one for one in said if not (isinstance(one, lc.AIMessage) and _is_blank(one) and not calls_of(one))]
    if said:
        assert isinstance(said[0], lc.HumanMessage), f"the first turn is a {type(said[0]).__name__}, not the user's"
    for index, message in enumerate(said):
        if isinstance(message, lc.HumanMessage):
            assert not _is_blank(message), f"{index}: a user's text is empty"
            assert not any(_is_call(block) for block in _blocks(message)), f"{index}: tool_use in a user's turn"
            assert not any(_kind(block) == "tool_result" for block in _blocks(message)), f"{index}: a bare tool_result"
        if isinstance(message, lc.AIMessage) and _blocks(message) and not calls_of(message):
            assert _kind(_blocks(message)[-1]) not in _THOUGHTS, f"{index}: the last block is thinking"


def check_gemini(messages: list[lc.BaseMessage]) -> None:
    """Check the rules of Gemini's API."""
    _check_kinds(messages)
    said = _without_system(messages)
    _check_exchanges(said)
    _check_unique(said)  # by their ids LangChain's integration finds the responses
    roles = [_role(message) for message in said]
    if roles:
        assert roles[0] == "user", f"the first turn is the {roles[0]}'s, not the user's"
    for before, role in pairwise(roles):
        assert role != "call" or before in ("user", "response"), "a call does not follow the user or a response"
    for index, message in enumerate(said):
        assert not (isinstance(message, lc.HumanMessage) and _is_blank(message)), f"{index}: a user's text is empty"


def calls_of(message: lc.AIMessage) -> list[Call]:
    """Return the calls that a message is sent with: those of its fields, and those that its content alone holds."""
    found = [Call(call["id"], call["name"]) for call in (*message.tool_calls, *message.invalid_tool_calls)]
    if not found:
        raw = message.additional_kwargs.get("tool_calls") or []
        found = [Call(call.get("id"), call["function"].get("name")) for call in raw]
    known = {call.id for call in found}
    blocks = [block for block in _blocks(message) if _is_call(block) and _id_of(block) not in known]
    return [*found, *(Call(_id_of(block), block.get("name", block["type"])) for block in blocks)]


def _check_kinds(messages: list[lc.BaseMessage]) -> None:
    for index, message in enumerate(messages):
        known = isinstance(message, lc.HumanMessage | lc.AIMessage | lc.SystemMessage | lc.ToolMessage)
        assert known, f"{index}: a {type(message).__name__} has no role"
        if isinstance(message, lc.AIMessage):
            old = message.additional_kwargs.get("function_call")
            assert not old or message.tool_calls, f"{index}: a function_call of before there were tools"


def _check_exchanges(messages: list[lc.BaseMessage]) -> None:
    """Check that each call is answered once, directly behind it, and nothing else is."""
    waiting: list[str | None] = []
    for index, message in enumerate(messages):
        if isinstance(message, lc.ToolMessage):
            assert message.tool_call_id in waiting, f"{index}: no call waits for {message.tool_call_id!r}"
            waiting.remove(message.tool_call_id)
            continue
        assert not waiting, f"{index}: the calls {waiting} are not answered directly behind them"
        if isinstance(message, lc.AIMessage):
            calls = calls_of(message)
            assert all(call.id and call.name for call in calls), f"{index}: a call without an id or a name"
            waiting = [call.id for call in calls]
            in_content = Counter(_id_of(block) for block in _blocks(message) if _is_call(block))
            assert in_content <= Counter(waiting), f"{index}: the content holds calls that the fields do not"
    assert not waiting, f"the calls {waiting} at the end are not answered"


def _check_unique(messages: list[lc.BaseMessage]) -> None:
    ids = Counter(call.id for message in messages if isinstance(message, lc.AIMessage) for call in calls_of(message))
    repeated = [one for one, times in ids.items() if times > 1]
    assert not repeated, f"ids of calls that are not unique: {repeated}"


def _without_system(messages: list[lc.BaseMessage]) -> list[lc.BaseMessage]:
    parts = [list(part) for _, part in groupby(messages, lambda one: isinstance(one, lc.SystemMessage))]
    if parts and isinstance(parts[0][0], lc.SystemMessage):
        del parts[0]
    said = [message for part in parts for message in part]
    assert not any(isinstance(one, lc.SystemMessage) for one in said), "a system message behind the head"
    return said


def _role(message: lc.BaseMessage) -> str:
    if isinstance(message, lc.ToolMessage):
        return "response"
    if isinstance(message, lc.AIMessage):
        return "call" if calls_of(message) else "model"
    return "user"


def _is_blank(message: lc.BaseMessage) -> bool:
    if isinstance(message.content, str):
        return not message.content.strip()
    return all(not _text(block).strip() if _kind(block) == "text" else False for block in message.content)


def _blocks(message: lc.BaseMessage) -> list[Any]:
    return [] if isinstance(message.content, str) else message.content


def _text(block: Any) -> str:
    return block if isinstance(block, str) else str(block.get("text") or "")


def _kind(block: Any) -> str:
    return "text" if isinstance(block, str) else str(block.get("type"))


def _is_call(block: Any) -> bool:
    return _kind(block) in _CALLS


def _id_of(block: Any) -> str | None:
    found = block.get("call_id") or block.get("id")
    return found if isinstance(found, str) else None
