"""What is stored of a value that cannot be stored, where the application wants a text in place of an error."""

from __future__ import annotations

import re
from reprlib import Repr
from typing import Any

_MOST = 200
"""characters of what a value says of itself"""
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s@]*@")


class _Short(Repr):
    """Shows containers only as far as the text can hold, and of an object whose `__repr__` fails nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 3, 60, _MOST

    def repr_instance(self, x: Any, level: int) -> str:
        """Return what an object says of itself."""
        try:
            return repr(x)[:_MOST]
        except Exception:  # noqa: BLE001 - of the object's own class, which may raise anything
            return f"<{type(x).__qualname__}>"


_short = _Short().repr


def describe(value: Any) -> str:
    """Return a text that says what a value was: its type, and at most 200 characters of its repr.

    The same object always gives the same text: no memory addresses. Passwords in URLs are left out.
    """
    cls = type(value)
    said = _PASSWORD.sub(r"\1:***@", _ADDRESS.sub("", _short(value)))
    said = said if len(said) <= _MOST else said[: _MOST - 3] + "..."
    return f"<unstorable {cls.__module__}.{cls.__qualname__:.100}: {said}>"
