"""The own fields of a registered message class, which pydantic dumps and validates where nothing else carries them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from langchain_core.messages import BaseMessage

from chatmem.codec import registry
from chatmem.codec.values import NotStorableError, Writer, to_storable

_encode = msgspec.msgpack.Encoder().encode


def dump_field(writer: Writer, cls: type[BaseMessage], name: str, value: Any) -> Any:
    """Return the value of a subclass' own field in a form that can be stored.

    Raises:
        NotStorableError: nothing can carry it.
    """
    adapter = registry.adapter_of(cls, name)
    if adapter is not None:
        with suppress(NotStorableError):  # as chatmem's first releases did, which can read it then
            return to_storable(value, name)
        with suppress(Exception):  # of the field's own class, which may raise anything
            dumped = adapter.dump_python(value, mode="json", warnings="error")
            if _is_same(adapter.validate_python(dumped), value):
                return to_storable(dumped, name)
    return writer.below(name, value)


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two values would be stored alike; of those that cannot be stored, whether they are equal."""
    try:
        return bool(_encode(Writer().write(one)) == _encode(Writer().write(other)))
    except NotStorableError:
        return bool(one == other)


def load_field(cls: type[BaseMessage], name: str, value: Any) -> Any:
    """Return the value of a registered subclass' own field, as its annotation wants it.

    Raises:
        ValueError: the class has changed and does not take the value any more.
    """
    adapter = registry.adapter_of(cls, name)
    return value if adapter is None else adapter.validate_python(value)
