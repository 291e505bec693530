"""Removes halves of exchanges that content blocks hold: approvals of MCP, a provider's own tools, shell calls.

Other tool calls are in a message's fields and are answered by a `ToolMessage`; see exchanges.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from chatmem.core.window.calls import calls_of, says, without_last_thoughts

_ASKING = {
    "mcp_approval_request": ("id",),
    "server_tool_use": ("id",),
    "server_tool_call": ("id",),
    "mcp_tool_use": ("id",),
    "shell_call": ("call_id",),
    "local_shell_call": ("call_id", "id"),
    "apply_patch_call": ("call_id",),
}
"""the types of blocks that ask, and the keys by which an answer may name them"""
_ANSWERING = {
    "mcp_approval_response": "approval_request_id",
    "server_tool_result": "tool_call_id",
    "shell_call_output": "call_id",
    "local_shell_call_output": "id",
    "apply_patch_call_output": "call_id",
}
_Place = tuple[int, int]  # the index of a message, and of a block in it


def without_inner_halves(messages: list[BaseMessage]) -> list[BaseMessage]:
    """Return the messages without blocks that ask and are not answered, or that answer what is not there.

    What the last message asks stays, since its answer may come next. If nothing is to remove, returns the list itself.
    """
    halves = _halves(messages)
    if not halves:
        return messages
    made: list[BaseMessage] = []
    for index, message in enumerate(messages):
        left = _without(message, halves[index]) if index in halves else message
        if left is not None:
            made.append(left)
    return made


def _halves(messages: Sequence[BaseMessage]) -> dict[int, set[int]]:
    """Return the indexes of messages with halves, each with the indexes of the halves in its content."""
    waiting: dict[tuple[str, str], list[_Place]] = {}
    opened: set[_Place] = set()
    bare: set[_Place] = set()
    for index, message in enumerate(messages):
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
        return [(_family(kind), str(block[key])) for key in _ASKING[kind] if block.get(key)], None
    key = _ANSWERING.get(kind) or ("tool_use_id" if kind.endswith("_tool_result") else None)
    name = key and (block.get(key) or block.get("call_id"))
    return [], (_family(kind), str(name)) if name else None


def _family(kind: str) -> str:
    if kind.startswith("mcp_approval"):
        return "approval"
    return kind.removesuffix("_output") if kind.endswith(("_call", "_output")) and "server" not in kind else "server"


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
