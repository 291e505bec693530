"""Checks of arguments. Each error names the argument and says what it has to be."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from langchain_core.messages import BaseMessage, MessageLikeRepresentation, convert_to_messages

from chatmem.core.keys import field
from chatmem.errors import EncodingError

_MAX_TTL = timedelta(days=36_500)


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """Raise a ValueError unless the value is None, or a whole number not below `least`."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= least):
        return
    raise ValueError(f"{name} must be a whole number of at least {least}, or None, not {value!r}")


def check_limit(limit: object, most: int, *, name: str = "limit") -> None:
    """Raise a ValueError unless the limit is a whole number from 1 to `most`."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most:,}, not {limit!r}")


def milliseconds(name: str, time: float | timedelta) -> bytes:
    """Return a time as scripts take it: whole milliseconds, rounded up.

    Args:
        name: the argument, for the error.
        time: seconds, or a `timedelta`.

    Raises:
        ValueError: the time is of another type, not above 0, or longer than 100 years.
    """
    seconds = time.total_seconds() if isinstance(time, timedelta) else time
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _MAX_TTL.total_seconds():
        raise ValueError(f"{name} must be seconds or a timedelta, more than 0 and at most 100 years, not {time!r}")
    return b"%d" % math.ceil(seconds * 1000)


def seconds(name: str, time: float | timedelta | None) -> float | None:
    """Return a time in seconds; None stays None.

    Args:
        name: the argument, for the error.
        time: seconds, or a `timedelta`.

    Raises:
        ValueError: as for `milliseconds`.
    """
    return None if time is None else int(milliseconds(name, time)) / 1000


def target(name: str, value: str | int, *, least: int = 0) -> tuple[bytes, bytes]:
    """Return a message's id or position as scripts take it: which of the two it is, and its value.

    Args:
        name: the argument, for the error.
        value: the id or the position.
        least: the lowest position allowed.

    Raises:
        ValueError: the value is neither.
    """
    if isinstance(value, str) and value:
        return b"id", field(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return b"at", b"%d" % value
    raise ValueError(f"{name} must be a message's id, or its position of at least {least}, not {value!r}")


def as_messages(name: str, values: Sequence[MessageLikeRepresentation]) -> list[BaseMessage]:
    """Return messages for whatever LangChain accepts as messages.

    Args:
        name: the argument, for the error.
        values: messages, strings, pairs, or dicts.

    Raises:
        ValueError: a value is not a message.
    """
    messages = []
    for index, value in enumerate(values):
        if isinstance(value, BaseMessage):
            messages.append(value)
            continue
        if isinstance(value, list) and not (len(value) == 2 and isinstance(value[1], str)):  # ["human", "hi"] is one
            raise ValueError(f"{name}[{index}] is a list: append takes the messages themselves, append(*messages)")
        try:
            messages.extend(convert_to_messages([value]))
        except (ValueError, TypeError, NotImplementedError, KeyError, AttributeError) as error:
            raise ValueError(f"{name}[{index}] is not a message that LangChain knows: {error}") from error
    return messages


def to_json(value: Any, name: str = "metadata") -> bytes:
    """Return a title, metadata or an annotation as JSON.

    Args:
        value: what to store.
        name: the argument, for the error.

    Raises:
        EncodingError: JSON cannot represent the value.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodingError(f"{name} cannot be stored as JSON: {error}", field=name) from error
    if json.loads(text) != value:
        raise EncodingError(f"{name} changes as JSON: keys must be strings, and tuples are lists", field=name)
    return text.encode()


def from_json(text: bytes | str, kind: type | None = None) -> Any:
    """Return the value of a JSON text, whoever wrote it.

    Args:
        text: the text.
        kind: the type that the value must have; None for any.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or holds a value of another type.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if kind is not None and type(value) is not kind:
        raise ValueError(f"it holds no {kind.__name__}")
    return value
