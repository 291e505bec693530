"""Writes messages as the JSON that LangChain's own history classes write and read."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import BaseMessage

from chatmem.codec.kinds import KINDS, kind_of
from chatmem.errors import EncodingError

_TYPES = frozenset(kind.type for kind in KINDS)
"""The types of messages that readers of this layout know."""


class _NotJsonError(Exception):
    def __init__(self, path: str, reason: object) -> None:
        super().__init__(reason)
        self.path = path


def encode(message: BaseMessage, index: int) -> bytes:
    """Return a message as LangChain's own classes store it.

    Pydantic models, dataclasses and Documents in the message become dicts of their fields, as pydantic dumps them.

    Args:
        message: any LangChain message. If its class has a type of its own, it is written as the LangChain class that
            it derives from, or else as a `ChatMessage`: old code cannot read a list with an element of an unknown type.
        index: the message's index in the call, for the error.

    Raises:
        EncodingError: a value of the message cannot be written as JSON; the error names its index and field.
    """
    try:
        try:
            return json.dumps(_written(message)).encode()
        except (TypeError, ValueError, RecursionError) as error:  # pydantic's errors are ValueErrors
            _find_culprit(message)
            raise _NotJsonError("", error) from error
    except _NotJsonError as error:
        what = f"message {index} ({type(message).__name__}), field {error.path!r}: {error}"
        raise EncodingError(what, index=index, field=error.path) from error.__cause__


def _written(message: BaseMessage) -> dict[str, Any]:
    """Return what `message_to_dict` returns, but with a type that readers know."""
    data = message.model_dump()
    if message.type not in _TYPES:
        data["type"] = kind_of(type(message)).type or "chat"
        if data["type"] == "chat":
            data.setdefault("role", message.type)
    return {"type": data["type"], "data": data}


def _find_culprit(message: BaseMessage) -> None:
    """Raise for the first value that pydantic dumps and JSON cannot represent."""
    for name in [*type(message).model_fields, *(message.model_extra or {})]:
        try:
            _check(message.model_dump(include={name}).get(name), name)
        except (ValueError, RecursionError):
            raise _NotJsonError(name, "it is nested too deeply, or contains itself") from None


def _check(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str | int | float | None):
                raise _NotJsonError(path, f"a key of type {type(key).__name__} cannot be written as JSON")
            _check(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]")
    else:
        try:
            json.dumps(value)
        except TypeError:
            raise _NotJsonError(path, f"a value of type {type(value).__name__} cannot be written as JSON") from None
        except ValueError as error:  # an integer with too many digits
            raise _NotJsonError(path, error) from None
