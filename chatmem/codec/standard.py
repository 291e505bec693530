"""Values of Python's and pydantic's own classes that msgpack cannot represent, such as fractions, paths and URLs.

Each kind has a name and a way to take values apart. These values are restored everywhere, without registration. The
names are part of the stored format.
"""

from __future__ import annotations

import ipaddress
import pathlib
import re
import zoneinfo
from collections import deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID

import pydantic_core
from pydantic import SecretBytes, SecretStr, networks

_LONGEST_ZONE = 100  # characters; an overlong file name is an error of the operating system's
_ZONE = re.compile(r"[\w+-]+(/[\w+-]+)*", re.ASCII)
_MAX_FRACTION_BITS = 2**16
"""A longer fraction takes time that grows with the square of its length."""


class Kind(NamedTuple):
    """Takes apart and builds the values of one class."""

    name: str
    take: Callable[[Any], Any]
    build: Callable[[Any], Any]


def _fraction(parts: list[int]) -> Fraction:
    numerator, denominator = parts
    if numerator.bit_length() + denominator.bit_length() > _MAX_FRACTION_BITS:
        raise ValueError("the fraction is too long")
    return Fraction(numerator, denominator)


def _of_text(make: Callable[[Any], Any], kind: type = str) -> Callable[[Any], Any]:
    """Return what builds a value of a text. Of numbers and lists, some classes make values that break later."""

    def build(text: Any) -> Any:
        if type(text) is not kind:
            raise TypeError
        return make(text)

    return build


def _pure(flavour: type[PurePath]) -> Callable[[str], PurePath]:
    """Return what builds a path. A path of the other operating system becomes a pure path, without file access."""

    def build(text: str) -> PurePath:
        return Path(text) if isinstance(Path(), flavour) else flavour(text)

    return build


@lru_cache(maxsize=1024)
def zone(key: str) -> tzinfo | None:
    """Return a time zone by its name, or None if the operating system does not have it.

    Python itself would go on to look in the package tzdata, by importing a module with that name.
    """
    if (
        len(key) > _LONGEST_ZONE
        or not _ZONE.fullmatch(key)
        or not any(Path(folder, key).is_file() for folder in zoneinfo.TZPATH)
    ):
        return None
    return zoneinfo.ZoneInfo(key)


def _zoned(text: type[datetime] | type[time]) -> Callable[[list[Any]], Any]:
    def build(parts: list[Any]) -> Any:
        value: Any
        value, key, fold, *name = text.fromisoformat(parts[0]), *parts[1:]
        named = timezone(value.utcoffset(), *name) if name else None if key is None else zone(key)
        return value.replace(fold=fold) if named is None else value.replace(tzinfo=named, fold=fold)

    return build


def _zone_or_key(key: str) -> tzinfo | str:
    return zone(key) or key


def _take_zoned(value: datetime | time) -> list[Any]:
    return [value.isoformat(), getattr(value.tzinfo, "key", None), value.fold, *_name_of(value.tzinfo)]


def is_named(zone: tzinfo | None) -> bool:
    """Return whether a time zone has a name: of a region, or of an offset, as `datetime.astimezone()` gives it."""
    return type(zone) is zoneinfo.ZoneInfo or bool(_name_of(zone))


def _name_of(zone: tzinfo | None) -> tuple[str, ...]:
    name = zone.__getinitargs__()[1:] if type(zone) is timezone else ()  # type: ignore[attr-defined]
    return name if "".join(name).isprintable() else ()  # lone surrogates are not


ZONED: dict[type, Kind] = {
    datetime: Kind("datetime", _take_zoned, _zoned(datetime)),
    time: Kind("time", _take_zoned, _zoned(time)),
}
"""Datetimes and times in a named time zone, or with `fold`. Others have extensions of their own."""

_ADDRESSES = (
    *(ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network),
    *(ipaddress.IPv4Interface, ipaddress.IPv6Interface),
)
_URLS = (
    *(cls for name, cls in vars(networks).items() if hasattr(cls, "unicode_string") and not name.startswith("_")),
    *(pydantic_core.Url, pydantic_core.MultiHostUrl),
)

KINDS: dict[type, Kind] = {
    complex: Kind("complex", lambda value: [value.real, value.imag], lambda parts: complex(*parts)),
    Fraction: Kind("fraction", lambda value: [value.numerator, value.denominator], _fraction),
    range: Kind("range", lambda value: [value.start, value.stop, value.step], lambda parts: range(*parts)),
    deque: Kind("deque", lambda value: [list(value), value.maxlen], lambda parts: deque(*parts)),
    type(Path()): Kind(type(Path()).__name__, str, _of_text(Path)),
    PurePosixPath: Kind("PurePosixPath", str, _of_text(PurePosixPath)),
    PureWindowsPath: Kind("PureWindowsPath", str, _of_text(PureWindowsPath)),
    timezone: Kind("timezone", lambda value: list(value.__getinitargs__()), lambda parts: timezone(*parts)),
    zoneinfo.ZoneInfo: Kind("zone", lambda value: value.key, _of_text(_zone_or_key)),
    SecretStr: Kind("SecretStr", SecretStr.get_secret_value, _of_text(SecretStr)),
    SecretBytes: Kind("SecretBytes", SecretBytes.get_secret_value, _of_text(SecretBytes, bytes)),
    **{cls: Kind(cls.__name__, str, _of_text(cls)) for cls in _ADDRESSES},
    **{cls: Kind(cls.__name__, str, _of_text(cls)) for cls in _URLS},
}
_BUILDERS: dict[str, Callable[[Any], Any]] = {
    "PosixPath": _of_text(_pure(PurePosixPath)),
    "WindowsPath": _of_text(_pure(PureWindowsPath)),
    **{kind.name: kind.build for kind in ZONED.values()},
    **{kind.name: kind.build for kind in KINDS.values() if kind.name not in ("PosixPath", "WindowsPath")},
}


def build(name: str, parts: Any) -> Any:
    """Return the value of these parts, or the parts if this chatmem does not know the kind or they do not fit it."""
    try:
        return _BUILDERS[name](parts)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError):
        return parts


def base_of(value: Any) -> Any:
    """Return a value of a subclass of a standard class, such as date or Path, as a value of that class.

    None if there is no such class, or the value says more: a pandas Timestamp, for example, has nanoseconds.
    """
    for cls, convert in _BASES.items():
        if isinstance(value, cls):
            plain = convert(value)
            return plain if plain == value else None
    return None


_BASES: dict[type, Callable[[Any], Any]] = {
    datetime: lambda value: datetime.combine(
        date(value.year, value.month, value.day),
        time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold),
    ),
    date: lambda value: date(value.year, value.month, value.day),
    time: lambda value: time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold),
    timedelta: lambda value: timedelta(value.days, value.seconds, value.microseconds),
    UUID: lambda value: UUID(int=value.int),
    Decimal: Decimal,
    Fraction: lambda value: Fraction(value.numerator, value.denominator),
    pathlib.Path: lambda value: Path(str(value)),
    PurePosixPath: lambda value: PurePosixPath(str(value)),
    PureWindowsPath: lambda value: PureWindowsPath(str(value)),
    SecretStr: lambda value: SecretStr(value.get_secret_value()),
    deque: lambda value: deque(value, value.maxlen),
    bytearray: lambda value: bytes(memoryview(value)),
}
