"""Describes values that cannot be stored: with `on_unstorable="repr"` the description is stored in their place."""

from __future__ import annotations

import re
from reprlib import Repr
from typing import Any

_MOST = 200
"""characters of a value's repr"""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s@]*@")


class _Short(Repr):
    """A bounded repr. For an object whose `__repr__` raises, it shows only the type."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, 60, _MOST

    def repr_instance(self, x: Any, level: int) -> str:
        """Return the object's repr, cut off at 200 characters."""
        try:
            return repr(x)[:_MOST]
        except Exception:  # noqa: BLE001 - raised by the object's own class, so it may be anything
            return f"<{type(x).__qualname__}>"


_short = _Short().repr


def describe(value: Any) -> str:
    """Return the value's type and at most 200 characters of its repr, as a text.

    Memory addresses are removed, so that the same object always gives the same text; so are passwords in URLs.
    """
    cls = type(value)
    said = _PASSWORD.sub(r"\1:***@", _ADDRESS.sub("", _short(value)))
    said = said if len(said) <= _MOST else said[: _MOST - 3] + "..."
    return f"<unstorable {cls.__module__}.{cls.__qualname__:.100}: {said}>"
