"""Whether a map's keys can be looked up soon, whoever wrote them.

Python's hash of texts and bytes is a secret of the process. That of numbers and tuples is not: a record can hold
thousands that share one, and a dict or set of those takes a time that grows with the square of their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable
from typing import Final

FEW: Final = 1000
"""As many keys cost no time worth a look, whatever their hashes."""
_MOST_OF_ONE_HASH: Final = 100
_MAPS = {0xDE: 2, 0xDF: 4}
_LARGE_MAPS = tuple(bytes([first]) for first in _MAPS)
"""What a map of more than 15 keys begins with."""
_LISTS = {0xDC: 2, 0xDD: 4}
_LENGTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_NUMBERS = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_NO_ATOMS = bytes([*range(0x90, 0xA0), *_LISTS, *_EXTENSIONS, *_FIXED_EXTENSIONS])
"""The first bytes of what msgspec takes as a key, and chatmem never writes as one."""


def check_hashes(keys: Collection[Hashable]) -> None:
    """Look at the keys of a set or dict that is to be.

    Raises:
        ValueError: so many share a hash that it would take forever.
        TypeError: one of them cannot be a key.
    """
    if len(keys) > FEW and max(Counter(map(hash, keys)).values()) > _MOST_OF_ONE_HASH:
        raise ValueError("too many of its keys have the same hash")


def check_keys(body: bytes, containers: Collection[int]) -> None:
    """Look at the keys of a msgpack body's maps, which msgspec makes dicts of before anyone can look.

    Args:
        body: whatever the record holds; where it is damaged, that is for the decoder to say.
        containers: the extensions that are msgpack themselves.

    Raises:
        ValueError: a key is a list or an extension, which no map that chatmem writes has.
    """
    is_large = any(first in body for first in _LARGE_MAPS)  # few keys in each of many maps cost no more than others
    if is_large and len(body) - len(body.translate(None, _NO_ATOMS)) > FEW:
        _Walk(body, containers).check()


class _Walk:
    """The way through a body, value after value, without making anything of them."""

    def __init__(self, body: bytes, containers: Collection[int]) -> None:
        self._body = body
        self._containers = containers
        self._at = 0

    def check(self) -> None:
        body, outer = self._body, list[tuple[int, bool]]()
        left, is_map = 1, False
        while left or outer:
            if not left:
                left, is_map = outer.pop()
                continue
            if self._at >= len(body):
                return
            first = body[self._at]
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
        """Go past a list's items where all are numbers of one width, such as a vector's; return whether they are."""
        first = self._body[self._at : self._at + 1]
        width = 1 + _NUMBERS.get(first[0], 0) if first else 1
        if width == 1 or self._body[self._at : self._at + count * width : width] != first * count:
            return False
        self._at += count * width
        return True

    def _enter(self, first: int) -> int:
        """Go past a value, or into it; return how many values are in it."""
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
        return int.from_bytes(self._body[start : self._at])
