"""What takes a value apart and puts it together again has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Rest = dict[str, Any]
"""What makes an equal object, beside its plain data; its short keys are part of the stored format."""


class Writer(Protocol):
    """What makes values storable; see values.py."""

    def write(self, value: Any) -> Any:
        """Return the value in a form that msgpack carries."""

    def fields(self, items: Mapping[str, Any]) -> Any:
        """Return an object's fields as a dict in a form that msgpack carries."""

    def storable(self, items: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the items that can be stored."""


def dict_of(plain: Any) -> dict[str, Any]:
    """Return plain data that should be a dict of fields.

    Raises:
        ValueError: it is none.
    """
    if type(plain) is not dict or not all(isinstance(name, str) for name in plain):
        raise ValueError("the record holds no fields")
    return plain


def names_in(names: Any) -> frozenset[str]:
    """Return the names in a list, whatever else a record has there: a text's hash is nothing that others can choose."""
    return frozenset(name for name in names or () if isinstance(name, str))
