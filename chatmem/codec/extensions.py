"""The msgpack extensions that carry what msgpack itself cannot, and how they are read.

A code is part of the stored format: it is never used for anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from chatmem.codec import names, standard
from chatmem.codec.families import family_of
from chatmem.codec.hostile import check_hashes


class Code:
    """The extensions' codes."""

    BIG_INT: Final = 1
    TEXT: Final = 2
    DATETIME: Final = 3
    DATE: Final = 4
    TIME: Final = 5
    TIMEDELTA: Final = 6
    UUID: Final = 7
    DECIMAL: Final = 8
    SET: Final = 9
    FROZENSET: Final = 10
    MAP: Final = 11
    TUPLE: Final = 12
    STANDARD: Final = 13
    """a value of one of Python's own classes: its kind's name, its parts"""
    OBJECT: Final = 14
    """an object of any other class: the class' name, plain data, and what else makes an equal one"""


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
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"extension {code} is damaged") from error


def _hashable(value: Any) -> Any:
    """Return a list as the tuple it was: what stands in a set or as a key was no list."""
    return tuple(map(_hashable, value)) if type(value) is list else value


def _hashed(make: Callable[[Any], Any], keys: list[Any], items: Iterable[Any]) -> Any:
    """Return a set or dict of items; or the items, where their keys, as plain data, cannot be told apart or hashed."""
    try:
        check_hashes(keys)
        made = make(items)
    except ValueError:
        raise
    except Exception:  # noqa: BLE001 - of a key's own class, which may raise anything; plain data raises a TypeError
        return None
    return made if len(made) == len(keys) else None


def _set_of(make: Callable[[Any], Any], data: Any) -> Any:
    keys = [_hashable(value) for value in _decoder.decode(data)]
    made = _hashed(make, keys, keys)
    return keys if made is None else made


def _map_of(data: Any) -> Any:
    pairs = [(_hashable(key), item) for key, item in _decoder.decode(data)]
    made = _hashed(dict, [key for key, _ in pairs], pairs)
    return pairs if made is None else made


def _standard_of(data: Any) -> Any:
    name, parts = _decoder.decode(data)
    return standard.build(name, parts)


def _object_of(data: Any) -> Any:
    """Return the object where its class is known, and it fits the class; else its plain data."""
    name, plain, *rest = _decoder.decode(data)
    cls = names.find(name)
    family = None if cls is None else family_of(cls)
    if family is None:
        return plain
    try:
        return family.build(cls, plain, rest[0] if rest else {})
    except Exception:  # noqa: BLE001 - of the object's own class, which may have changed and may raise anything
        return plain


_decoder = msgspec.msgpack.Decoder(ext_hook=from_extension)

CONTAINERS = frozenset({Code.TIMEDELTA, Code.SET, Code.FROZENSET, Code.MAP, Code.TUPLE, Code.STANDARD, Code.OBJECT})
"""Those decoded in place: a copy at each level would let a small record, nested deep, take a lot of memory."""
_RESTORERS: dict[int, Callable[[Any], Any]] = {
    Code.BIG_INT: lambda data: int.from_bytes(data, "big", signed=True),
    Code.TEXT: lambda data: data.decode("utf-8", "surrogatepass"),
    Code.DATETIME: lambda data: datetime.fromisoformat(data.decode()),
    Code.DATE: lambda data: date.fromisoformat(data.decode()),
    Code.TIME: lambda data: time.fromisoformat(data.decode()),
    Code.TIMEDELTA: lambda data: timedelta(*_decoder.decode(data)),
    Code.UUID: lambda data: UUID(bytes=data),
    Code.DECIMAL: lambda data: Decimal(data.decode()),
    Code.SET: lambda data: _set_of(set, data),
    Code.FROZENSET: lambda data: _set_of(frozenset, data),
    Code.MAP: _map_of,
    Code.TUPLE: lambda data: tuple(_decoder.decode(data)),
    Code.STANDARD: _standard_of,
    Code.OBJECT: _object_of,
}
