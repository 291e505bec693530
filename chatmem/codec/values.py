"""Turns any value inside a message into what msgpack can represent. `extensions` turns it back.

msgpack has None, booleans, 64-bit numbers, strings, bytes, lists and maps, which msgspec writes fast. Every other value
that is stored becomes a msgpack extension, whose code says its type. A value that cannot be stored is an error, which
names its path, before anything is sent.

An object of an application's class is stored as the class's name and plain data (see families.py). A process that does
not know the name gets the plain data. Some types are not kept: a bytearray or memoryview becomes bytes, an object of an
unregistered class that derives from one of Python's becomes one of that base, and docs/values.md lists the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec.msgpack import Ext

from chatmem.codec import names, standard
from chatmem.codec.extensions import Code
from chatmem.codec.families import family_of
from chatmem.codec.unstorable import describe

MAX_DEPTH = 128
"""How deep lists and maps may be nested. Deeper ones could be written, but not be read."""

ATOMS: frozenset[type] = frozenset({str, int, float, bool, type(None), bytes})
"""The types without parts that msgpack represents."""
OnUnstorable = Literal["error", "repr"]
"""Whether a value that cannot be stored is an error, or is replaced by a text that describes it."""

_encoder = msgspec.msgpack.Encoder()


class NotStorableError(Exception):
    """A value cannot be stored. Has its path in the message, and the reason."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


def is_plain(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Return whether msgspec can write the value as it is, so that no `Writer` is needed.

    Strings that are not valid UTF-8 and integers of more than 64 bits pass: msgspec itself refuses them.
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
        for item in value:  # a loop takes half the time of all() over a generator
            if not (type(item) in ATOMS or is_plain(item, depth - 1)):
                return False
        return True
    return False


def _text(value: str) -> str | Ext:
    try:
        value.encode()
    except UnicodeEncodeError:  # lone surrogates
        return Ext(Code.TEXT, value.encode("utf-8", "surrogatepass"))
    return value


def _integer(value: int) -> int | Ext:
    if -(2**63) <= value < 2**64:
        return value
    return Ext(Code.BIG_INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _zoned(code: int) -> Callable[[Any], Ext]:
    def convert(value: Any) -> Ext:
        if value.fold or standard.is_named(value.tzinfo):
            kind = standard.ZONED[type(value)]
            return Ext(Code.STANDARD, _encoder.encode((kind.name, kind.take(value))))
        return Ext(code, value.isoformat().encode())

    return convert


def _same(value: Any) -> Any:
    return value


_LEAVES: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys((type(None), bool, float, bytes), _same),
    str: _text,
    int: _integer,
    date: lambda value: Ext(Code.DATE, value.isoformat().encode()),
    timedelta: lambda value: Ext(Code.TIMEDELTA, _encoder.encode((value.days, value.seconds, value.microseconds))),
    UUID: lambda value: Ext(Code.UUID, value.bytes),
    Decimal: lambda value: Ext(Code.DECIMAL, str(value).encode()),
}
"""Types without parts whose values can always be stored. Values of subclasses may hold more, so they do not count."""
_RAISING: dict[type, Callable[[Any], Any]] = {
    datetime: _zoned(Code.DATETIME),
    time: _zoned(Code.TIME),  # the application's own time zone may raise
    **dict.fromkeys((bytearray, memoryview), bytes),  # raises for a released one
}
"""Types without parts for which reading a value may raise."""


class _Words(str):
    """A part of a path that is appended without a dot or brackets."""

    __slots__ = ()


_ITEM = _Words("'s item")


def _unhashable(value: Any) -> Any:
    """Return a tuple in a set or key as a list. No list can be there, so reading makes it a tuple again."""
    return list(map(_unhashable, value)) if type(value) is tuple else value


class Writer:
    """Turns values into what msgpack can represent.

    Args:
        root: the first part of paths in errors; empty if paths begin with a field of the message.
        on_unstorable: whether a value that cannot be stored is an error, or is replaced by a description of it.
        objects: whether to store objects, and tuples as tuples. chatmem's first releases could not read them.
    """

    def __init__(self, root: str = "", *, on_unstorable: OnUnstorable = "error", objects: bool = True) -> None:
        self._path: list[Any] = [root]
        self._open: set[int] = set()
        self._on_unstorable = on_unstorable
        self._objects = objects

    def write(self, value: Any) -> Any:
        """Return the value as msgpack can represent it.

        Raises:
            NotStorableError: something in it cannot be stored.
        """
        leaf = _LEAVES.get(type(value))
        if leaf is not None:
            return leaf(value)
        if id(value) in self._open or len(self._open) >= MAX_DEPTH:
            return self._refuse(value, f"it is nested more than {MAX_DEPTH} levels deep, or contains itself")
        kind, length = type(value), len(self._path)
        self._open.add(id(value))
        try:
            if kind is list:
                return self._items(value)
            if kind is dict:
                return self.fields(value)
            return self._special(value)
        except NotStorableError:
            raise
        except Exception as error:  # noqa: BLE001 - raised by the value's own class, so it may be anything
            del self._path[length:]
            return self._refuse(value, f"reading it raised {type(error).__name__}", error)
        finally:
            self._open.discard(id(value))

    def fields(self, items: Mapping[Any, Any]) -> dict[Any, Any] | Ext:
        """Return a dict as msgpack can represent it. Unlike `write`, it does not count as a level of nesting."""
        pairs: list[tuple[Any, Any]] = []
        for key, item in items.items():
            leaf = _LEAVES.get(type(key))
            pairs.append((self._key(key, len(pairs)) if leaf is None else leaf(key), self.below(key, item)))
        if all(type(key) in ATOMS for key, _ in pairs):
            made = dict(pairs)
            if len(made) == len(pairs):
                return made
        return Ext(Code.MAP, _encoder.encode(pairs))  # chatmem writes no msgpack map with an extension as a key

    def storable(self, items: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items that can be stored, as msgpack can represent them, and leave out the others."""
        how, length, made = self._on_unstorable, len(self._path), {}
        self._on_unstorable = "error"
        try:
            for name, item in items.items():
                try:
                    made[name] = self.below(name, item)
                except NotStorableError:
                    del self._path[length:]
        finally:
            self._on_unstorable = how
        return made

    def below(self, part: object, value: Any) -> Any:
        """Do what `write` does, for a part of the value at hand.

        Args:
            part: the part's name or index, for its path.
            value: the part.
        """
        leaf = _LEAVES.get(type(value))
        if leaf is not None:
            return leaf(value)
        self._path.append(part)
        made = self.write(value)
        self._path.pop()
        return made

    def _key(self, key: Any, index: int) -> Any:
        return self.below(_Words(f"'s key {index}"), _unhashable(key))

    def _items(self, value: Iterable[Any]) -> list[Any]:
        return [self.below(index, item) for index, item in enumerate(value)]

    def _special(self, value: Any) -> Any:
        kind = type(value)
        if kind in (set, frozenset):
            items = [self.below(_ITEM, _unhashable(item)) for item in value]
            if any(type(item) is Ext and item.code == Code.OBJECT for item in items):
                items.sort(key=_encoder.encode)  # read without their classes, they are a list: give it a fixed order
            return Ext(Code.FROZENSET if kind is frozenset else Code.SET, _encoder.encode(items))
        if kind in _RAISING:
            return _RAISING[kind](value)
        if kind is tuple and self._objects:
            return Ext(Code.TUPLE, _encoder.encode(self._items(value)))
        if self._objects and (known := standard.KINDS.get(kind)) is not None:
            return Ext(Code.STANDARD, _encoder.encode((known.name, self.write(known.take(value)))))
        return self._object(value)

    def _object(self, value: Any) -> Any:
        cls = type(value)
        family = family_of(cls)
        if family is None:
            plain = standard.base_of(value)
            if plain is None:
                return self._refuse(value, f"a value of type {cls.__qualname__!r} cannot be stored")
            return self.write(plain)
        if not self._objects:
            return self._refuse(value, f"a value of type {cls.__qualname__!r} cannot be stored here")
        name = names.name_of(cls)
        if not family.is_named and name not in names.classes:
            return family.take(self, value)[0]
        plain, rest = family.take(self, value)
        return Ext(Code.OBJECT, _encoder.encode((name, plain, rest) if rest else (name, plain)))

    def _refuse(self, value: Any, reason: str, cause: Exception | None = None) -> Any:
        if self._on_unstorable == "repr":
            return _text(describe(value))
        raise NotStorableError(_joined(self._path), reason) from cause


def _joined(path: list[Any]) -> str:
    root, *parts = path
    text = str(root)
    for part in parts:
        if isinstance(part, _Words):
            text += part
        elif type(part) is str and part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r:.40}]" if type(part) in ATOMS else f"[{type(part).__qualname__}]"
    return text


def to_storable(value: Any, path: str) -> Any:
    """Return the value as chatmem's first releases stored it.

    Raises:
        NotStorableError: something in it was not restored as an equal value by those releases.
    """
    return Writer(path, objects=False).write(value)
