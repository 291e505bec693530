"""Any value inside a message <-> what msgpack can carry.

msgpack has None, booleans, numbers of 64 bits, strings, bytes, lists and maps, and msgspec writes those at its own
speed. What else is worth keeping exactly travels as a msgpack extension, one code a kind; anything further is
refused, by its path, before a byte is sent. A code is part of the stored format: it is never used for anything else.

What the format cannot tell apart, and so comes back as its plain form (see docs of `chatmem.codec`):
a tuple or named tuple (a list), a bytearray or memoryview (bytes), a subclass of str, int, float, list or dict (its
base), a named time zone (its offset at that time).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from msgspec.msgpack import Ext

from chatmem.codec.hashes import check_hashes

MAX_DEPTH = 128
"""How deep lists and maps may be nested; deeper ones could be written and then not be read."""

ATOMS: frozenset[type] = frozenset({str, int, float, bool, type(None), bytes})
"""The types that msgspec carries whole, with nothing in them to look at."""
_BIG_INT, _TEXT, _DATETIME, _DATE, _TIME, _TIMEDELTA, _UUID, _DECIMAL, _SET, _FROZENSET, _MAP = range(1, 12)

_encoder = msgspec.msgpack.Encoder()


class NotStorableError(Exception):
    """A value cannot be stored: its path below the message, and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


def is_plain(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Return whether msgspec keeps the value's types as they are; the fast way past `to_storable`.

    Text that UTF-8 cannot carry and integers of more than 64 bits pass here: msgspec itself refuses those.
    """
    kind = type(value)
    if kind in ATOMS:
        return True
    if depth == 0:
        return False
    if kind is dict:
        for key, item in value.items():
            if type(key) not in ATOMS or not (type(item) in ATOMS or is_plain(item, depth - 1)):
                return False
        return True
    if kind is list:
        for item in value:  # a loop costs half of what all() over a generator does
            if not (type(item) in ATOMS or is_plain(item, depth - 1)):
                return False
        return True
    return False


def to_storable(value: Any, path: str, depth: int = MAX_DEPTH) -> Any:
    """Return the value with every special kind turned into a msgpack extension.

    Raises:
        NotStorableError: something in it cannot be stored.
    """
    if value is None or value is True or value is False:
        return value
    if depth == 0:
        raise NotStorableError(path, f"it is nested more than {MAX_DEPTH} levels deep, or contains itself")
    convert = _EXACT.get(type(value))
    if convert is not None:
        return convert(value, path, depth - 1)
    for kind, convert_subclass in _WITH_SUBCLASSES:
        if isinstance(value, kind):
            return convert_subclass(value, path, depth - 1)
    raise NotStorableError(path, f"a value of type {type(value).__qualname__!r} cannot be stored")


def _text(value: str, path: str, depth: int) -> str | Ext:
    plain = str.__str__(value)
    try:
        plain.encode()
    except UnicodeEncodeError:  # lone surrogates
        return Ext(_TEXT, plain.encode("utf-8", "surrogatepass"))
    return plain


def _integer(value: int, path: str, depth: int) -> int | Ext:
    plain = int(value)
    if -(2**63) <= plain < 2**64:
        return plain
    return Ext(_BIG_INT, plain.to_bytes(plain.bit_length() // 8 + 1, "big", signed=True))


def _list(value: list[Any] | tuple[Any, ...], path: str, depth: int) -> list[Any]:
    return [to_storable(item, f"{path}[{index}]", depth) for index, item in enumerate(value)]


def _map(value: dict[Any, Any], path: str, depth: int) -> dict[Any, Any] | Ext:
    pairs = [
        (to_storable(key, f"{path}'s key {index}", depth), to_storable(item, _below(path, key), depth))
        for index, (key, item) in enumerate(value.items())
    ]
    if all(type(key) in ATOMS for key, _ in pairs):
        return dict(pairs)
    return Ext(_MAP, _encoder.encode(pairs))  # a msgpack map's key cannot be an extension


def _below(path: str, key: object) -> str:
    if not isinstance(key, str) or not key.isidentifier():
        return f"{path}[{key!r:.40}]"
    return f"{path}.{key}" if path else key


def _set(value: set[Any] | frozenset[Any], path: str, depth: int) -> Ext:
    items = [to_storable(item, f"{path}'s item", depth) for item in value]
    return Ext(_FROZENSET if isinstance(value, frozenset) else _SET, _encoder.encode(items))


def _timedelta(value: timedelta, path: str, depth: int) -> Ext:
    return Ext(_TIMEDELTA, _encoder.encode((value.days, value.seconds, value.microseconds)))


def _as_text(code: int, text: Callable[[Any], str]) -> Callable[[Any, str, int], Ext]:
    def convert(value: Any, path: str, depth: int) -> Ext:
        return Ext(code, text(value).encode())

    return convert


_Convert = Callable[[Any, str, int], Any]

_WITH_SUBCLASSES: tuple[tuple[type | tuple[type, ...], _Convert], ...] = (
    (str, _text),
    (int, _integer),
    (float, lambda value, path, depth: float(value)),
    (dict, _map),
    ((list, tuple), _list),
)

# Not for their subclasses, which may hold more (a pandas Timestamp is a datetime with nanoseconds).
_EXACT: dict[type, _Convert] = {
    **dict.fromkeys((bytes, bytearray, memoryview), lambda value, path, depth: bytes(value)),
    **dict.fromkeys((set, frozenset), _set),
    datetime: _as_text(_DATETIME, datetime.isoformat),
    date: _as_text(_DATE, date.isoformat),
    time: _as_text(_TIME, time.isoformat),
    timedelta: _timedelta,
    UUID: lambda value, path, depth: Ext(_UUID, value.bytes),
    Decimal: _as_text(_DECIMAL, str),
}


def from_extension(code: int, data: memoryview) -> Any:
    """Return the value of a msgpack extension; msgspec calls this while it decodes.

    Raises:
        ValueError: the code is none of this format's, or its data is damaged.
    """
    restore = _RESTORERS.get(code)
    if restore is None:
        raise ValueError(f"extension {code} is not of this format")
    try:
        return restore(data if code in CONTAINERS else bytes(data))
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"extension {code} is damaged") from error


def _hashable(value: Any) -> Any:
    """Return a list as the tuple it was: what stands in a set or as a key was no list."""
    return tuple(map(_hashable, value)) if type(value) is list else value


def _keys(values: Iterable[Any]) -> list[Any]:
    keys = [_hashable(value) for value in values]
    check_hashes(keys)
    return keys


def _map_of(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    keys = _keys(key for key, _ in pairs)
    return dict(zip(keys, (item for _, item in pairs), strict=True))


_decoder = msgspec.msgpack.Decoder(ext_hook=from_extension)

CONTAINERS = frozenset({_TIMEDELTA, _SET, _FROZENSET, _MAP})
"""Those decoded in place: a copy at each level would let a small record, nested deep, take a lot of memory."""
_RESTORERS: dict[int, Callable[[Any], Any]] = {
    _BIG_INT: lambda data: int.from_bytes(data, "big", signed=True),
    _TEXT: lambda data: data.decode("utf-8", "surrogatepass"),
    _DATETIME: lambda data: datetime.fromisoformat(data.decode()),
    _DATE: lambda data: date.fromisoformat(data.decode()),
    _TIME: lambda data: time.fromisoformat(data.decode()),
    _TIMEDELTA: lambda data: timedelta(*_decoder.decode(data)),
    _UUID: lambda data: UUID(bytes=data),
    _DECIMAL: lambda data: Decimal(data.decode()),
    _SET: lambda data: set(_keys(_decoder.decode(data))),
    _FROZENSET: lambda data: frozenset(_keys(_decoder.decode(data))),
    _MAP: lambda data: _map_of(_decoder.decode(data)),
}
