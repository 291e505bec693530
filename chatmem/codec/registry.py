"""Classes that callers made known, by the names that records carry.

A record of a subclass of a message, and a value of a class, names its class. The name is only ever looked up: data
never says what to import. An unknown name is read as the LangChain message it derives from, every field kept, or as
plain data.
"""

from __future__ import annotations

from typing import Any, TypeVar

from langchain_core.messages import BaseMessage
from pydantic import TypeAdapter

from chatmem.codec import names
from chatmem.codec.families import family_of, named_in

Type = TypeVar("Type", bound=type[Any])

_classes = names.classes
_adapters: dict[type[BaseMessage], dict[str, TypeAdapter[Any]]] = {}


def register(cls: Type, *, name: str | None = None) -> Type:
    """Make a class known, so that its messages, or values of it inside messages, come back as themselves.

    It may be a subclass of a LangChain message; a pydantic model, dataclass, class of attrs or Struct of msgspec; an
    enumeration, a named tuple, an exception; a subclass of str, int, float, bytes, list, dict, tuple, set or frozenset;
    numpy's array or one of its numbers. What the types of its fields name is known with it. Usable as a decorator.

    A message's own fields may be of any type that pydantic can validate; those which cannot be stored otherwise are
    stored in pydantic's JSON form and validated when read. Nothing else is validated, and no constructor is called.

    Args:
        cls: the class. Processes that read its messages or values must register it too.
        name: what records call it; by default a message's own name, and module and name of another class. It must
            stay the same as long as records live.

    Returns:
        The class.

    Raises:
        ValueError: its values cannot be stored, or another class has that name.
    """
    if not isinstance(cls, type) or family_of(cls) is None:
        what = "a subclass of a LangChain message, a pydantic model, a dataclass, an Enum, a named tuple, an exception"
        raise ValueError(f"cls must be {what}, or a class that derives from one of Python's own, not {cls!r}")
    if name is not None and names.is_own(name):
        raise ValueError(f"name must not begin with {names.LANGCHAIN!r} or {names.PYTHON!r}")
    _add(cls, name)
    if issubclass(cls, BaseMessage):
        _adapt(cls)
    return cls


def _adapt(cls: type[BaseMessage]) -> None:
    _adapters[cls] = {key: TypeAdapter[Any](field.annotation or Any) for key, field in cls.model_fields.items()}


def _add(cls: type[Any], name: str | None) -> None:
    """Make a class known by its name and its full name, and those that its fields' types name."""
    full = names.full_name(cls)
    for key in (name or (cls.__name__ if issubclass(cls, BaseMessage) else full), full):
        other = _classes.setdefault(key, cls)
        if other is not cls and names.full_name(other) != full:
            raise ValueError(f"another class is registered as {key!r}: pass name= to tell them apart")
        _classes[key] = cls  # a module that is loaded again brings the same class anew
    for named in named_in(cls):
        if named not in _classes.values() and family_of(named) and not names.is_own(names.name_of(named)):
            _add(named, None)


def name_of(cls: type[BaseMessage]) -> str:
    """Return the name that records of messages of this class carry."""
    return next((name for name, known in tuple(_classes.items()) if known is cls), cls.__name__)


def is_registered(cls: type[Any]) -> bool:
    """Return whether the class was made known."""
    return cls in _classes.values()


def find(name: str, base: type[BaseMessage]) -> type[BaseMessage]:
    """Return the class registered under the name if it derives from the base, else the base."""
    cls = names.find(name)
    return cls if cls is not None and issubclass(cls, base) else base


def adapter_of(cls: type[BaseMessage], field: str) -> TypeAdapter[Any] | None:
    """Return what dumps and validates a field of a registered message class; None where there is none."""
    return _adapters.get(cls, {}).get(field)
