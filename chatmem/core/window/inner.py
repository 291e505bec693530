"""Removes halves of exchanges that content blocks hold: approvals of MCP, a provider's own tools, shell calls.

Other tool calls are in a message's fields and are answered by a `ToolMessage`; see exchanges.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from chatmem.core.steps import STEP_MESSAGES, Steps
from chatmem.core.window.calls import calls_of, says, without_last_thoughts

_ASKING = {
    "mcp_approval_request": ("approval", ("id",)),
    "server_tool_use": ("server", ("id",)),
    "server_tool_call": ("server", ("id",)),
    "mcp_tool_use": ("server", ("id",)),
    "shell_call": ("shell", ("call_id",)),
    "local_shell_call": ("local shell", ("call_id", "id")),
    "apply_patch_call": ("patch", ("call_id",)),
}
"""for each type of block that asks, its family and the keys by which an answer may name it"""
_ANSWERING = {
    "mcp_approval_response": ("approval", "approval_request_id"),
    "server_tool_result": ("server", "tool_call_id"),
    "shell_call_output": ("shell", "call_id"),
    "local_shell_call_output": ("local shell", "id"),
    "apply_patch_call_output": ("patch", "call_id"),
}
"""for each type of block that answers, its family and the key that names what it answers"""
_OTHER_RESULT = ("server", "tool_use_id")
"""the same for all types that end in `_tool_result`, as `web_search_tool_result` does"""
_Place = tuple[int, int]  # the index of a message, and of a block in it


def without_inner_halves(messages: list[BaseMessage]) -> Steps[list[BaseMessage]]:
    """Return the messages without blocks that ask and are not answered, or that answer what is not there.

    What the last message asks stays, since its answer may come next. If nothing is to remove, returns the list itself.
    """
    halves = yield from _halves(messages)
    if not halves:
        return messages
    made: list[BaseMessage] = []
    for index, message in enumerate(messages):
        left = _without(message, halves[index]) if index in halves else message
        if left is not None:
            made.append(left)
    return made


def _halves(messages: Sequence[BaseMessage]) -> Steps[dict[int, set[int]]]:
    """Return the indexes of messages with halves, each with the indexes of the halves in its content."""
    waiting: dict[tuple[str, str], list[_Place]] = {}
    opened: set[_Place] = set()
    bare: set[_Place] = set()
    for index, message in enumerate(messages):
        if index and not index % STEP_MESSAGES:
            yield
        if isinstance(message.content, str) or not isinstance(message, AIMessage | HumanMessage):
            continue
        for number, block in enumerate(message.content):
            asks, answers = _exchange(block)
            for key in asks:
                waiting.setdefault(key, []).append((index, number))
                opened.add((index, number))
            if answers is not None:
                places = waiting.get(answers)
                if places:
                    opened.discard(places.pop())
                else:
                    bare.add((index, number))
    halves: dict[int, set[int]] = {}
    for index, number in bare | {place for place in opened if place[0] < len(messages) - 1}:
        halves.setdefault(index, set()).add(number)
    return halves


def _exchange(block: Any) -> tuple[list[tuple[str, str]], tuple[str, str] | None]:
    """Return the keys that a block waits for, and the one that it answers; each with the family of the exchange."""
    if not isinstance(block, dict):
        return [], None
    if block.get("type") == "non_standard" and isinstance(value := block.get("value"), dict):
        block = value
    kind = str(block.get("type"))
    if kind in _ASKING:
        family, keys = _ASKING[kind]
        return [(family, str(block[key])) for key in keys if block.get(key)], None
    found = _ANSWERING.get(kind, _OTHER_RESULT if kind.endswith("_tool_result") else None)
    if found is None:
        return [], None
    family, key = found
    name = block.get(key) or block.get("call_id")
    return [], (family, str(name)) if name else None


def _without(message: BaseMessage, halves: set[int]) -> BaseMessage | None:
    """Return the message without these blocks and the reasoning before them; None if it says nothing without them.

    A human message stays, empty, as it may be the one that the window begins with.
    """
    left: list[Any] = []
    for number, block in enumerate(message.content):
        if number not in halves:
            left.append(block)
        elif isinstance(message, AIMessage):
            left = without_last_thoughts(left)
    made = message.model_copy(update={"content": left})
    return None if isinstance(made, AIMessage) and not calls_of(made) and not says(left) else made
