"""Checks of what a client sent. Errors name the place, such as `messages[2].parts[0].text`, and what belongs there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

ROLES = ("user", "assistant", "system", "tool")
"""What `accept` may name. "tool" stands for the results of tools."""
_WORDS = {str: "a string", dict: "an object", list: "a list", bool: "true or false"}


def check(value: Any, kind: type, place: str) -> Any:
    """Return the value if it is of a type.

    Raises:
        ValueError: it is of another one.
    """
    if isinstance(value, kind):
        return value
    raise ValueError(f"{place} must be {_WORDS[kind]}, not {type(value).__name__}")


def text(data: dict[str, Any], key: str, place: str) -> str:
    """Return a text that must be there.

    Raises:
        ValueError: it is absent, or no text.
    """
    value: str = check(data.get(key), str, f"{place}.{key}")
    return value


def optional(data: dict[str, Any], key: str, kind: type, place: str) -> Any:
    """Return a value of a type, or None if it is absent or null.

    Raises:
        ValueError: it is of another type.
    """
    value = data.get(key)
    return None if value is None else check(value, kind, f"{place}.{key}")


def objects(value: Any, place: str) -> list[dict[str, Any]]:
    """Return a list of objects.

    Raises:
        ValueError: it is none.
    """
    return [check(item, dict, f"{place}[{index}]") for index, item in enumerate(check(value, list, place))]


def accepted(accept: Collection[str], trusted: bool) -> Collection[str]:
    """Return the roles that may occur.

    Raises:
        ValueError: `accept` names something else.
    """
    if isinstance(accept, str) or set(accept) - set(ROLES):
        raise ValueError(f"accept must name roles among {', '.join(ROLES)}, not {accept!r}")
    return ROLES if trusted else accept


def refuse(role: str, accept: Collection[str], place: str) -> None:
    """Raise a ValueError unless the role is accepted."""
    if role not in accept:
        what = "the result of a tool" if role == "tool" else f"of role {role!r}"
        raise ValueError(f"{place} is {what}, and accept= names only: {', '.join(accept)}")
