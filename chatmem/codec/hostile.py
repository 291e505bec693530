"""Rejects records that were written to make reading them slow.

- Hash flooding: Python's hash of strings and bytes is a secret of the process, but that of numbers and tuples is not. A
  record can hold thousands of keys with one hash, and a dict or set of them takes time that grows with the square of
  their number. `check_hashes` and `check_keys` reject these.
- Unfinished JSON: to make a tool call of a chunk, LangChain closes what is open in its arguments, and drops one
  character after another from their end until that can be read. If it never can, that takes time that grows with the
  square of their length. `check_arguments` rejects these.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Hashable, Iterator
from typing import Any, Final

FEW_KEYS: Final = 1000
"""So few keys cost no noticeable time, whatever their hashes."""
_MOST_OF_ONE_HASH: Final = 100
_MAPS = {0xDE: 2, 0xDF: 4}
_LARGE_MAPS = tuple(bytes([first]) for first in _MAPS)
"""The first bytes of maps with more than 15 keys."""
_LISTS = {0xDC: 2, 0xDD: 4}
_LENGTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_NUMBERS = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_NO_ATOMS = bytes([*range(0x90, 0xA0), *_LISTS, *_EXTENSIONS, *_FIXED_EXTENSIONS])
"""The first bytes of what msgspec accepts as a key, and chatmem never writes as one."""
_SHORT_ARGUMENTS = 4096
"""So many characters cost at most some hundredths of a second, whatever they are."""
_MOST_CUTS = 32
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+(?P<end>")?|[\[\]{}]', re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}


def check_hashes(keys: Collection[Hashable]) -> None:
    """Check the keys of a set or dict before it is made.

    Raises:
        ValueError: too many of them share a hash.
        TypeError: one of them is not hashable.
    """
    if len(keys) > FEW_KEYS and max(Counter(map(hash, keys)).values()) > _MOST_OF_ONE_HASH:
        raise ValueError("too many of its keys have the same hash")


def check_keys(data: bytes, start: int, containers: Collection[int]) -> None:
    """Check the keys of the maps in a msgpack body before msgspec makes dicts of them.

    Args:
        data: ends with a record's body. If it is damaged, the decoder says so.
        start: where the body begins.
        containers: the codes of extensions whose data are msgpack themselves.

    Raises:
        ValueError: a key is a list or an extension. No map that chatmem writes has such a key.
    """
    is_large = any(data.find(first, start) >= 0 for first in _LARGE_MAPS)  # many small maps are no problem
    if is_large and len(data) - len(data.translate(None, _NO_ATOMS)) > FEW_KEYS:
        _Walk(data, start, containers).check()


class _Walk:
    """Walks through the values of a body without decoding them."""

    def __init__(self, data: bytes, start: int, containers: Collection[int]) -> None:
        self._data = data
        self._at = start
        self._containers = containers

    def check(self) -> None:
        data, outer = self._data, list[tuple[int, bool]]()
        left, is_map = 1, False
        while left or outer:
            if not left:
                left, is_map = outer.pop()
                continue
            if self._at >= len(data):
                return
            first = data[self._at]
            if is_map and left % 2 == 0 and first in _NO_ATOMS:
                raise ValueError("a key of a map is a list or an extension")
            left -= 1
            inside = self._enter(first)
            if inside:
                outer.append((left, is_map))
                left, is_map = inside, 0x80 <= first < 0x90 or first in _MAPS
                if not is_map and self._pass_numbers(left):
                    left = 0

    def _pass_numbers(self, count: int) -> bool:
        """Skip a list's items if all are numbers of one width, as in an embedding; return whether they are."""
        first = self._data[self._at : self._at + 1]
        width = 1 + _NUMBERS.get(first[0], 0) if first else 1
        if width == 1 or self._data[self._at : self._at + count * width : width] != first * count:
            return False
        self._at += count * width
        return True

    def _enter(self, first: int) -> int:
        """Skip a value that has no others in it, or step into one that has; return how many it has."""
        self._at += 1
        if first < 0x80 or first >= 0xE0:
            return 0
        if first < 0xA0:
            return (first & 15) * (2 if first < 0x90 else 1)
        if first < 0xC0:
            self._at += first & 31
        elif first in _NUMBERS:
            self._at += _NUMBERS[first]
        elif first in _LENGTHS:
            size = self._number(_LENGTHS[first])
            self._at += size
        elif first in _MAPS:
            return 2 * self._number(_MAPS[first])
        elif first in _LISTS:
            return self._number(_LISTS[first])
        elif first in _EXTENSIONS:
            return self._enter_extension(self._number(_EXTENSIONS[first]))
        elif first in _FIXED_EXTENSIONS:
            return self._enter_extension(_FIXED_EXTENSIONS[first])
        return 0

    def _enter_extension(self, size: int) -> int:
        if self._number(1) in self._containers:
            return 1
        self._at += size
        return 0

    def _number(self, size: int) -> int:
        start, self._at = self._at, self._at + size
        return int.from_bytes(self._data[start : self._at])


def check_arguments(written: dict[str, Any]) -> None:
    """Check the tool calls' arguments in a message's JSON before LangChain completes them.

    Args:
        written: the message as LangChain's own classes store it. If it has another shape, LangChain says so.

    Raises:
        ValueError: arguments are long, unfinished JSON that cannot be completed in a reasonable time.
    """
    if written["type"] != "AIMessageChunk":
        return
    for arguments in _arguments(written["data"]):
        if len(arguments) > _SHORT_ARGUMENTS and not any(
            _is_whole(arguments[: len(arguments) - cut]) for cut in range(_MOST_CUTS)
        ):
            raise ValueError("a tool call's arguments are not JSON, and too long to be completed")


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
    """Return whether LangChain needs no further attempt: they are JSON, or become JSON when closed, or never can."""
    closing: list[str] = []
    for found in _TOKENS.finditer(arguments):
        token = found[0]
        if token in _CLOSING:
            closing.append(_CLOSING[token])
        elif token in ("}", "]"):
            if not closing or closing.pop() != token:
                return True
        elif found["end"] is None:
            arguments = arguments[: found.end()] + '"'  # drops a trailing backslash, which escapes nothing
    try:
        json.loads(arguments + "".join(reversed(closing)), strict=False)
    except ValueError:
        return False
    except RecursionError:  # LangChain gives up here
        return True
    return True
