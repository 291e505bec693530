"""Any value as JSON's own types, for layouts and readers that have nothing else."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
from pydantic_core import to_jsonable_python

from chatmem.codec import names
from chatmem.codec.extensions import from_extension
from chatmem.codec.values import OnUnstorable, Writer

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ext_hook=from_extension).decode


def plain(value: Any, path: str = "", *, on_unstorable: OnUnstorable = "error") -> Any:
    """Return a value as None, bool, int, float, str, list and dict.

    An object (a model, LangChain's own too, a dataclass, ...) becomes a dict of its fields, an Enum its value, a tuple
    or set a list, bytes a text in base64, a SecretStr asterisks; dates, times, UUIDs, paths and the like the texts that
    pydantic makes of them. Keys become texts. NaN and infinities stay, which strict JSON does not have.

    Args:
        value: anything that can be stored.
        path: what errors call it.
        on_unstorable: what becomes of what cannot be stored: an error, or a text that says what it was.

    Raises:
        NotStorableError: something in it cannot be stored; says where.
    """
    with names.knowing_nothing():
        known_to_all = _decode(_encode(Writer(path, on_unstorable=on_unstorable).write(value)))
    return to_jsonable_python(known_to_all, bytes_mode="base64", inf_nan_mode="constants", fallback=_further)


def _further(value: Any) -> Any:
    return list(value) if isinstance(value, range | deque) else str(value)
