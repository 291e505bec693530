"""Whether LangChain completes a chunk's arguments soon.

It makes a tool call of a chunk by closing what is open in its JSON, and leaves out one character after another at the
end until that can be read: a time that grows with the square of the length where it never can.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_SHORT = 4096
"""As many characters cost at most some hundredths of a second, whatever they are."""
_TRIES = 32
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+(?P<end>")?|[\[\]{}]', re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}


def check_arguments(written: dict[str, Any]) -> None:
    """Look at the arguments in a message's JSON.

    Args:
        written: the message as LangChain's own classes store it; where it is of another shape, LangChain says so.

    Raises:
        ValueError: arguments are long, cut off, and nothing that could be completed soon.
    """
    if written["type"] != "AIMessageChunk":
        return
    for arguments in _arguments(written["data"]):
        if len(arguments) > _SHORT and not any(_is_whole(arguments[: len(arguments) - cut]) for cut in range(_TRIES)):
            raise ValueError("a tool call's arguments are no JSON, and too long to be completed")


def _arguments(data: dict[str, Any]) -> Iterator[str]:
    yield from _texts(data.get("tool_call_chunks"), "args")
    further = data.get("additional_kwargs")
    calls = further.get("tool_calls") if isinstance(further, dict) else None
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else None
    yield from _texts(functions, "arguments")


def _texts(items: Any, name: str) -> Iterator[str]:
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and isinstance(item.get(name), str):
            yield item[name]


def _is_whole(arguments: str) -> bool:
    """Return whether LangChain is done with these at once: they can be read, or closed and read, or never closed."""
    closing: list[str] = []
    for found in _TOKENS.finditer(arguments):
        token = found[0]
        if token in _CLOSING:
            closing.append(_CLOSING[token])
        elif token in ("}", "]"):
            if not closing or closing.pop() != token:
                return True
        elif found["end"] is None:
            arguments = arguments[: found.end()] + '"'  # without a backslash that escapes nothing
    try:
        json.loads(arguments + "".join(reversed(closing)), strict=False)
    except ValueError:
        return False
    except RecursionError:  # at which LangChain gives up
        return True
    return True
