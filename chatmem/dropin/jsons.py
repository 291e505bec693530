"""Messages -> the JSON of LangChain's own history classes, as far as JSON carries them."""

from __future__ import annotations

import json
import math
from typing import Any

from langchain_core.messages import BaseMessage, message_to_dict

from chatmem.codec import registry
from chatmem.codec.kinds import kind_of
from chatmem.errors import EncodingError

_DEEPEST = 128


class _NotJsonError(Exception):
    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path


def encode(message: BaseMessage, position: int) -> bytes:
    """Return the message as LangChain's own classes store it.

    Args:
        message: any LangChain message.
        position: which of the messages it is, for the error.

    Raises:
        EncodingError: JSON cannot carry it; names position and field.
    """
    try:
        _check_class(type(message), message.type)
        for name, value in [*vars(message).items(), *(message.model_extra or {}).items()]:
            _check(value, name, 0)
        return json.dumps(message_to_dict(message), allow_nan=False).encode()
    except _NotJsonError as error:
        what = f"message {position} ({type(message).__name__}), field {error.path!r}: {error}"
        raise EncodingError(what, position=position, field=error.path) from None


def _check_class(cls: type[BaseMessage], name: str) -> None:
    kind = kind_of(cls)
    if name != kind.type:
        raise _NotJsonError("type", f"readers of this layout do not know messages of type {name!r}")
    if registry.is_registered(cls):
        raise _NotJsonError("type", f"{cls.__name__} is registered to come back as itself, which JSON cannot do")


def _check(value: Any, path: str, depth: int) -> None:
    """Raise where JSON would lose or change the value."""
    if depth > _DEEPEST:
        raise _NotJsonError(path, f"it is nested deeper than {_DEEPEST} levels")
    if isinstance(value, float) and not math.isfinite(value):
        raise _NotJsonError(path, "JSON has no NaN and no infinity")
    if value is None or isinstance(value, str | int | float):
        return
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise _NotJsonError(path, f"JSON has no keys of type {type(key).__name__}")
            _check(item, f"{path}.{key}", depth + 1)
    else:
        raise _NotJsonError(path, f"JSON cannot carry a {type(value).__name__}")
