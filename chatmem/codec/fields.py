"""The own fields of registered message classes: pydantic dumps and validates them where nothing else can store them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from langchain_core.messages import BaseMessage
from pydantic import TypeAdapter

from chatmem.codec import registry
from chatmem.codec.extensions import from_extension
from chatmem.codec.values import NotStorableError, Writer, to_storable

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ext_hook=from_extension).decode


class Dumped(NamedTuple):
    """The value of a field, ready to be stored."""

    value: Any
    is_exact: bool
    """whether readers must take it as it is: the field's annotation would refuse or change it"""


def dump_field(writer: Writer, cls: type[BaseMessage], name: str, value: Any) -> Dumped:
    """Return the value of a subclass's own field in a form that can be stored.

    Raises:
        NotStorableError: it cannot be stored.
    """
    adapter, stored = registry.adapter_of(cls, name), None
    if adapter is None:
        return Dumped(writer.below(name, value), False)
    with suppress(NotStorableError):
        stored = Dumped(to_storable(value, name), False)
    if not registry.is_registered(cls):
        return Dumped(writer.below(name, value), not _gives(adapter, value if stored is None else _read(stored), value))
    if stored is not None:  # as chatmem's first releases did, so that they can read it
        return stored._replace(is_exact=not _gives(adapter, _read(stored), value))
    with suppress(Exception):  # raised by the field's own class, so it may be anything
        dumped = adapter.dump_python(value, mode="json", warnings="error")
        if _gives(adapter, dumped, value):
            return Dumped(to_storable(dumped, name), False)
    return Dumped(writer.below(name, value), not _gives(adapter, value, value))


def _read(stored: Dumped) -> Any:
    """Return a copy, as validators may change what they are given."""
    return _decode(_encode(stored.value))


def _gives(adapter: TypeAdapter[Any], stored: Any, value: Any) -> bool:
    """Return whether readers that validate what is stored get the value."""
    try:
        return _is_same(adapter.validate_python(stored), value)
    except Exception:  # noqa: BLE001 - raised by the application's validators, so it may be anything
        return False


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two values would be stored alike, or, if they cannot be stored, whether they are equal."""
    try:
        return bool(_encode(Writer().write(one)) == _encode(Writer().write(other)))
    except NotStorableError:
        return bool(one == other)


def load_field(cls: type[BaseMessage], name: str, value: Any) -> Any:
    """Return the value of a registered subclass's own field, validated by its annotation.

    Raises:
        ValueError: the class has changed and no longer accepts the value.
    """
    adapter = registry.adapter_of(cls, name) if registry.is_registered(cls) else None
    try:
        return value if adapter is None else adapter.validate_python(value)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"its class raised {type(error).__name__} for the field {name!r}") from error
