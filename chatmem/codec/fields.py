"""The own fields of registered message classes: pydantic dumps and validates them where nothing else can store them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from langchain_core.messages import BaseMessage

from chatmem.codec import registry
from chatmem.codec.values import NotStorableError, Writer, to_storable

_encode = msgspec.msgpack.Encoder().encode


def dump_field(writer: Writer, cls: type[BaseMessage], name: str, value: Any) -> Any:
    """Return the value of a subclass's own field in a form that can be stored.

    Raises:
        NotStorableError: it cannot be stored.
    """
    adapter = registry.adapter_of(cls, name)
    if adapter is not None:
        with suppress(NotStorableError):  # as chatmem's first releases did, so that they can read it
            return to_storable(value, name)
        with suppress(Exception):  # raised by the field's own class, so it may be anything
            dumped = adapter.dump_python(value, mode="json", warnings="error")
            if _is_same(adapter.validate_python(dumped), value):
                return to_storable(dumped, name)
    return writer.below(name, value)


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
    adapter = registry.adapter_of(cls, name)
    return value if adapter is None else adapter.validate_python(value)
