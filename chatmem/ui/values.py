"""Values as JSON can carry them to JavaScript and back."""

from __future__ import annotations

from typing import Any

from chatmem.core.jsonable import DEEPEST, jsonable

_LARGEST = 2**53 - 1
"""the largest whole number that JavaScript keeps"""


def shown_text(value: str) -> str:
    """Return a text as UTF-8 can carry it."""
    return str(jsonable(value))


def shown(value: Any) -> Any:
    """Return a value as a browser can take it: whole numbers that JavaScript cannot represent become texts."""
    return _for_javascript(jsonable(value))


def _for_javascript(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _for_javascript(item) for key, item in value.items() if not _is_forbidden(key, item)}
    if isinstance(value, list):
        return [_for_javascript(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST:
        return str(value)
    return value


def _is_forbidden(key: str, value: Any) -> bool:
    """Return whether the AI SDK would take the key for an attack on JavaScript's prototypes, and refuse the whole."""
    return key == "__proto__" or (key == "constructor" and isinstance(value, dict) and "prototype" in value)


def is_exact(value: Any, depth: int = DEEPEST) -> bool:
    """Return whether a value is the same after JavaScript has read and written it as JSON."""
    if value is None or type(value) is bool:
        return True
    if type(value) is str:
        return shown_text(value) == value
    if type(value) is int:
        return abs(value) <= _LARGEST
    if type(value) is float:
        return value == value and not value.is_integer() and abs(value) != float("inf")
    if depth == 0:
        return False
    if type(value) is list:
        return all(is_exact(item, depth - 1) for item in value)
    # JavaScript puts keys that are numbers first
    return type(value) is dict and all(
        type(key) is str and not key.isdigit() and not _is_forbidden(key, item) and is_exact(item, depth - 1)
        for key, item in value.items()
    )
