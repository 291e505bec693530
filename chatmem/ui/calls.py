"""Tool calls in OpenAI's shape, which AG-UI has too."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call

from chatmem.ui import shapes
from chatmem.ui.values import shown, shown_text

Names = dict[str, str]
"""the names of the tools called so far, by the ids of the calls"""


def written(message: AIMessage, names: Names) -> list[dict[str, Any]]:
    """Return a message's calls.

    Args:
        message: the message.
        names: the calls' names are added.
    """
    calls = []
    for call in (*message.tool_calls, *message.invalid_tool_calls):
        args: Any = call["args"]
        text = args if isinstance(args, str) else json.dumps(shown(args or {}), ensure_ascii=False)
        call_id, name = shown_text(call["id"] or ""), shown_text(call["name"] or "")
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
