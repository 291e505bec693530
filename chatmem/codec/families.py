"""The families of classes whose objects can be stored. Each takes its objects apart and builds them again.

An object's plain data is what a process reads that does not know the class. Where possible, neither way calls the
class's own code, and nothing is validated again: it was an object of the class when it was stored.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from chatmem.codec import arrays, exceptions, instances, models
from chatmem.codec.taking import Rest, Writer


class Family(NamedTuple):
    """Classes whose objects are taken apart and built in the same way."""

    has: Callable[[type[Any]], bool]
    take: Callable[[Writer, Any], tuple[Any, Rest]]
    build: Callable[[Any, Any, Rest], Any]
    is_named: bool = True
    """whether an unregistered class is named in records; otherwise its objects are stored as objects of their base"""


_NUMPY = Family(arrays.is_numpy, arrays.take_numpy, arrays.build_numpy)
_FAMILIES = (
    Family(lambda cls: enum.Enum in cls.__mro__, instances.take_member, instances.build_member),
    Family(models.is_model, models.take_model, models.build_model),
    Family(models.is_first_model, models.take_first_model, models.build_first_model),
    Family(lambda cls: BaseException in cls.__mro__, exceptions.take_exception, exceptions.build_exception),
    Family(instances.declares_fields, instances.take_fields, instances.build_fields),
    Family(instances.is_named_tuple, instances.take_named_tuple, instances.build_named_tuple),
    _NUMPY,
    Family(
        lambda cls: cls not in instances.BASES and instances.base_of(cls) is not None,
        instances.take_content,
        instances.build_content,
        is_named=False,
    ),
)
_NUMPY_NUMBER = _NUMPY._replace(is_named=False)


def family_of(cls: type[Any]) -> Family | None:
    """Return the family of a class, or None if its objects cannot be stored."""
    family = next((family for family in _FAMILIES if family.has(cls)), None)
    return _NUMPY_NUMBER if family is _NUMPY and cls.__name__ != "ndarray" else family


def named_in(cls: type[Any]) -> Iterator[type[Any]]:
    """Yield the classes in the annotations of a class's fields."""
    if models.is_model(cls):
        hints: Iterable[Any] = [field.annotation for field in cls.model_fields.values()]
    elif models.is_first_model(cls):
        hints = [field.outer_type_ for field in cls.__fields__.values()]
    else:
        try:
            hints = typing.get_type_hints(cls).values()
        except (NameError, TypeError, AttributeError):  # annotations with names that only type checkers import
            return
    for hint in hints:
        yield from _classes_in(hint)


def _classes_in(hint: Any) -> Iterator[type[Any]]:
    if isinstance(hint, type):
        yield hint
    for part in typing.get_args(hint):
        yield from _classes_in(part)
    yield from _classes_in(hint.__value__) if hasattr(hint, "__value__") else ()  # `type Name = ...`
