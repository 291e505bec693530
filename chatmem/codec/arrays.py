"""Takes apart and builds numpy's arrays and numbers, where the application has imported numpy."""

from __future__ import annotations

import math
import re
import sys
from typing import Any

from chatmem.codec.taking import Rest, Writer

_DTYPE, _SHAPE = "d", "s"
_NUMBERS = re.compile(r"[<>|=][biufcMm]\d{1,2}(\[\w+\])?", re.ASCII)
_TEXTS = re.compile(r"[<>|=][SU](\d{1,9})", re.ASCII)
_SPARE_BYTES, _TIMES = 4 * 2**20, 64
"""what an array of texts may take: this, and so many times their length; each takes as much as the longest"""


def is_numpy(cls: type[Any]) -> bool:
    """Return whether a class is numpy's array, or one of its number types."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and (cls is numpy.ndarray or numpy.generic in cls.__mro__)


def take_numpy(writer: Writer, value: Any) -> tuple[Any, Rest]:
    """Return a number or nested lists of numbers, and their type and shape."""
    plain = value.tolist()
    if type(plain) is type(value):
        raise TypeError("Python has no such number type")
    return writer.write(plain), {_DTYPE: value.dtype.str, _SHAPE: list(value.shape)}


def build_numpy(cls: type[Any], plain: Any, rest: Rest) -> Any:
    """Return the array or number.

    Raises:
        ValueError: the record's type, shape and numbers do not fit each other, or an array has another type.
    """
    numpy: Any = sys.modules["numpy"]
    dtype, shape = rest[_DTYPE], rest[_SHAPE]
    if cls is not numpy.ndarray:
        return cls(numpy.array(plain, dtype=dtype if _NUMBERS.fullmatch(dtype) else None).reshape(shape)[()])
    if dtype == "|O":
        return _objects(numpy, _items(plain, shape), shape)
    if not _NUMBERS.fullmatch(dtype):
        _check_texts(dtype, _items(plain, shape))
    return numpy.array(plain, dtype=dtype).reshape(shape)


def _items(plain: Any, shape: list[int]) -> list[Any]:
    """Return the items in nested lists."""
    items = [plain]
    for _ in shape:
        items = [item for part in items for item in part]
    return items


def _objects(numpy: Any, items: list[Any], shape: list[int]) -> Any:
    if math.prod(shape) != len(items):
        raise ValueError("the shape does not fit the items")
    made = numpy.empty(len(items), dtype=object)
    for index, item in enumerate(items):  # assigned at once, lists among them would be taken for rows
        made[index] = item
    return made.reshape(shape)


def _check_texts(dtype: str, items: list[Any]) -> None:
    """Check that an array of texts takes no more memory than its record allows."""
    texts = _TEXTS.fullmatch(dtype)
    if texts is None:
        raise ValueError("arrays of this type are not built from a record")
    width = int(texts[1]) * (4 if "U" in dtype else 1)
    if width * len(items) > _SPARE_BYTES + _TIMES * sum(map(len, items)):
        raise ValueError("the record claims longer texts than it holds")
