"""Messages -> the JSON of LangChain's own history classes: whatever those took, written as they wrote it."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import BaseMessage

from chatmem.codec.kinds import KINDS, kind_of
from chatmem.errors import EncodingError

_TYPES = frozenset(kind.type for kind in KINDS)
"""What readers of this layout know."""


class _NotJsonError(Exception):
    def __init__(self, path: str, reason: object) -> None:
        super().__init__(reason)
        self.path = path


def encode(message: BaseMessage, index: int) -> bytes:
    """Return the message as LangChain's own classes store it.

    Pydantic models, dataclasses and Documents in it are their fields, as pydantic dumps them.

    Args:
        message: any LangChain message. Of a class with a type of its own, it is written as one of the LangChain class
            that it derives from, at last as a `ChatMessage`: an element of an unknown type makes old code fail to
            read the whole list.
        index: which of the messages it is, for the error.

    Raises:
        EncodingError: JSON cannot carry it; names index and field.
    """
    try:
        try:
            return json.dumps(_written(message)).encode()
        except (TypeError, ValueError, RecursionError) as error:  # pydantic's are ValueErrors
            _find_culprit(message)
            raise _NotJsonError("", error) from error
    except _NotJsonError as error:
        what = f"message {index} ({type(message).__name__}), field {error.path!r}: {error}"
        raise EncodingError(what, index=index, field=error.path) from error.__cause__


def _written(message: BaseMessage) -> dict[str, Any]:
    """Return what `message_to_dict` does, of a type that readers know."""
    data = message.model_dump()
    if message.type not in _TYPES:
        data["type"] = kind_of(type(message)).type or "chat"
        if data["type"] == "chat":
            data.setdefault("role", message.type)
    return {"type": data["type"], "data": data}


def _find_culprit(message: BaseMessage) -> None:
    """Raise for the first value that JSON cannot carry, of what pydantic makes of each field."""
    for name in [*type(message).model_fields, *(message.model_extra or {})]:
        try:
            _check(message.model_dump(include={name}).get(name), name)
        except (ValueError, RecursionError):
            raise _NotJsonError(name, "it is nested too deep, or within itself") from None


def _check(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str | int | float | None):
                raise _NotJsonError(path, f"JSON has no keys of type {type(key).__name__}")
            _check(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]")
    else:
        try:
            json.dumps(value)
        except TypeError:
            raise _NotJsonError(path, f"JSON cannot carry a {type(value).__name__}") from None
        except ValueError as error:  # an integer of too many digits
            raise _NotJsonError(path, error) from None
