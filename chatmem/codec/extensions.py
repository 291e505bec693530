"""The msgpack extensions for values that msgpack itself cannot represent, and how they are read.

Codes are part of the stored format: a code never gets another meaning.
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
    """a value of one of Python's or pydantic's own classes: its kind's name, and its parts"""
    OBJECT: Final = 14
    """an object of any other class: the class's name, plain data, and whatever else makes an equal object"""


def from_extension(code: int, data: memoryview) -> Any:
    """Return the value of a msgpack extension. msgspec calls this while it decodes.

    Raises:
        ValueError: the code is unknown, or the data are damaged.
    """
    restore = _RESTORERS.get(code)
    if restore is None:
        raise ValueError(f"extension {code} is unknown to this chatmem")
    try:
        return restore(data if code in CONTAINERS else bytes(data))
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"extension {code} is damaged") from error


def _hashable(value: Any) -> Any:
    """Return a list as the tuple that it was: a set's item or a dict's key cannot be a list."""
    return tuple(map(_hashable, value)) if type(value) is list else value


def _hashed(make: Callable[[Any], Any], keys: list[Any], items: Iterable[Any]) -> Any:
    """Return a set or dict of items; None if plain data among their keys are equal or unhashable."""
    try:
        check_hashes(keys)
        made = make(items)
    except ValueError:
        raise
    except Exception:  # noqa: BLE001 - a TypeError from plain data, or anything from a key's own class
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
    """Return the object if its class is known and it fits the class; otherwise its plain data."""
    name, plain, *rest = _decoder.decode(data)
    cls = names.find(name)
    family = None if cls is None else family_of(cls)
    if family is None:
        return plain
    try:
        return family.build(cls, plain, rest[0] if rest else {})
    except Exception:  # noqa: BLE001 - raised by the object's own class, which may have changed
        return plain


_decoder = msgspec.msgpack.Decoder(ext_hook=from_extension)

CONTAINERS = frozenset({Code.TIMEDELTA, Code.SET, Code.FROZENSET, Code.MAP, Code.TUPLE, Code.STANDARD, Code.OBJECT})
"""Extensions whose data are msgpack. They are decoded in place: if each level of nesting were copied, a small record
could take a lot of memory."""
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
