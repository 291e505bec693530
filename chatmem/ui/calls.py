"""Tool calls: their ids, and their form in OpenAI's messages, which AG-UI has too."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call

from chatmem.ui import shapes
from chatmem.ui.values import shown, shown_text

Names = dict[str, str]
"""the names of the tools called so far, by the ids of the calls"""


class Ids:
    """The ids of calls as front ends need them, which know a call by its id: none empty, each once.

    Some models give no ids, or number the calls of each message. Pass calls and results in their order.
    """

    def __init__(self) -> None:
        self._given: set[str] = set()
        self._open: dict[str, deque[str]] = {}

    def called(self, call_id: str | None) -> str:
        """Return the id of a call, given the model's."""
        name = first = shown_text(call_id or "call")
        number = 1
        while name in self._given:
            number += 1
            name = f"{first}-{number}"
        self._given.add(name)
        self._open.setdefault(shown_text(call_id or ""), deque()).append(name)
        return name

    def returned(self, call_id: str) -> str | None:
        """Return the id of the first call with this id of the model's that has no result yet; None if there is none."""
        waiting = self._open.get(call_id)
        return waiting.popleft() if waiting else None

    def knows(self, call_id: str) -> bool:
        """Return whether there was a call with this id of the model's."""
        return call_id in self._open


def written(message: AIMessage, names: Names, ids: Ids | None = None) -> list[dict[str, Any]]:
    """Return a message's calls.

    Args:
        message: the message.
        names: the calls' names are added.
        ids: what the calls are called; by default as the model called them.
    """
    calls = []
    for call in (*message.tool_calls, *message.invalid_tool_calls):
        args: Any = call["args"]
        text = args if isinstance(args, str) else json.dumps(shown(args or {}), ensure_ascii=False)
        call_id = shown_text(call["id"] or "") if ids is None else ids.called(call["id"])
        name = shown_text(call["name"] or "")
        names[call_id] = name
        calls.append({"id": call_id, "type": "function", "function": {"name": name, "arguments": shown_text(text)}})
    return calls


def read(given: Any, names: Names, place: str) -> dict[str, Any]:
    """Return the arguments `tool_calls` and `invalid_tool_calls` of a message, as far as there are such calls.

    A call is valid if its arguments are an object in JSON.

    Args:
        given: the list of calls, or None.
        names: the calls' names are added.
        place: where the list is, for errors.

    Raises:
        ValueError: the shape is wrong.
    """
    calls: dict[str, list[Any]] = {}
    for index, call in enumerate(shapes.objects([] if given is None else given, place)):
        call_id = shapes.text(call, "id", f"{place}[{index}]")
        where = f"{place}[{index}].function"
        function = shapes.check(call.get("function"), dict, where)
        name, text = shapes.text(function, "name", where), shapes.text(function, "arguments", where)
        names[call_id] = name
        args = _arguments(text)
        if isinstance(args, dict):
            calls.setdefault("tool_calls", []).append(tool_call(name=name, args=args, id=call_id))
        else:
            broken = invalid_tool_call(name=name, args=text, id=call_id, error=None)
            calls.setdefault("invalid_tool_calls", []).append(broken)
    return calls


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
