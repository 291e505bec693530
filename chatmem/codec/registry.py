"""The classes that applications registered, by their names in records.

The record of a message of a subclass names the class, and so does a value of a class. Names are only looked up: a
record can never cause an import. A message with an unknown name is read as the LangChain message that it derives from,
with all fields; a value is read as plain data.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from langchain_core.messages import BaseMessage
from pydantic import ConfigDict, PydanticUserError, TypeAdapter

from chatmem.codec import names
from chatmem.codec.families import family_of, named_in

Type = TypeVar("Type", bound=type[Any])

_classes = names.classes
_adapters: WeakKeyDictionary[type[BaseMessage], dict[str, TypeAdapter[Any] | None]] = WeakKeyDictionary()


def register(cls: Type, *, name: str | None = None) -> Type:
    """Register a class, so that its messages, or its values inside messages, are read as objects of the class.

    The class may be a subclass of a LangChain message; a pydantic model, dataclass, attrs class or msgspec Struct; an
    enumeration, named tuple or exception; a subclass of str, int, float, bytes, list, dict, tuple, set or frozenset;
    numpy's array or one of its number types. Classes in the annotations of its fields are registered with it.

    A message's own fields may have any type that pydantic can validate. Fields that cannot be stored otherwise are
    stored as pydantic's JSON and validated when they are read. Nothing else is validated, and no constructor is called.

    Args:
        cls: the class. Register it in every process that reads its messages or values.
        name: the name in records. The default is a message class's own name, or another class's module and name. Never
            change it while records exist.

    Returns:
        The class, so that `register` can be a decorator.

    Raises:
        ValueError: values of the class cannot be stored, or another class has that name.

    Example:
        >>> @chatmem.register
        ... class Answer(AIMessage):
        ...     score: float = 0.0
    """
    if not isinstance(cls, type) or family_of(cls) is None:
        what = "a subclass of a LangChain message, a pydantic model, a dataclass, an Enum, a named tuple, an exception"
        raise ValueError(f"cls must be {what}, or a class that derives from one of Python's own, not {cls!r}")
    if name is not None and names.is_own(name):
        raise ValueError(f"name must not begin with {names.LANGCHAIN!r} or {names.PYTHON!r}")
    _add(cls, name)
    return cls


def _add(cls: type[Any], name: str | None) -> None:
    """Register a class under its name and its full name, and the classes in its fields' annotations."""
    full = names.full_name(cls)
    for key in (name or (cls.__name__ if issubclass(cls, BaseMessage) else full), full):
        other = _classes.setdefault(key, cls)
        if other is not cls and names.full_name(other) != full:
            raise ValueError(f"another class is registered as {key!r}: pass name= to tell them apart")
        _classes[key] = cls  # a reloaded module defines its classes anew
    for named in named_in(cls):
        if named not in _classes.values() and family_of(named) and not names.is_own(names.name_of(named)):
            _add(named, None)


def name_of(cls: type[BaseMessage]) -> str:
    """Return the name of a message class in records."""
    return next((name for name, known in tuple(_classes.items()) if known is cls), cls.__name__)


def is_registered(cls: type[Any]) -> bool:
    """Return whether the class is registered."""
    return cls in _classes.values()


def find(name: str, base: type[BaseMessage]) -> type[BaseMessage]:
    """Return the class registered under the name if it derives from the base, and otherwise the base."""
    cls = names.find(name)
    return cls if cls is not None and issubclass(cls, base) else base


def adapter_of(cls: type[BaseMessage], field: str) -> TypeAdapter[Any] | None:
    """Return what dumps and validates a field of a message class; None if pydantic cannot do that alone."""
    adapters = _adapters.setdefault(cls, {})
    if field not in adapters:
        adapters[field] = _adapter(cls.model_fields[field].annotation)
    return adapters[field]


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    for config in (None, ConfigDict(arbitrary_types_allowed=True)):  # not every type takes a configuration
        with suppress(PydanticUserError, NameError):
            return TypeAdapter(annotation, config=config)
    return None
