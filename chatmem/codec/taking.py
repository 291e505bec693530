"""What the modules that take objects apart and build them share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Rest = dict[str, Any]
"""What makes an equal object, beside its plain data. The short keys are part of the stored format."""


class Writer(Protocol):
    """Turns values into what msgpack can represent; see `values.Writer`."""

    def write(self, value: Any) -> Any:
        """Return the value as msgpack can represent it."""

    def fields(self, items: Mapping[str, Any]) -> Any:
        """Return an object's fields, a dict, as msgpack can represent it."""

    def storable(self, items: Mapping[str, Any]) -> dict[str, Any]:
        """Return the items that can be stored, and leave out the others."""


def dict_of(plain: Any) -> dict[str, Any]:
    """Return plain data, checked to be a dict of fields.

    Raises:
        ValueError: it is something else.
    """
    if type(plain) is not dict or not all(isinstance(name, str) for name in plain):
        raise ValueError("the record holds no fields")
    return plain


def names_in(names: Any) -> frozenset[str]:
    """Return the strings in a list from a record. Other items could be chosen so that their hashes collide."""
    return frozenset(name for name in names or () if isinstance(name, str))
