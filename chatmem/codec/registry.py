"""Subclasses of messages that callers made known, by the name their records carry.

A record of a subclass names its class. The name is only ever looked up here: data never says what to import. An
unknown name is read as the LangChain message it derives from, every field kept.
"""

from __future__ import annotations

from typing import Any, TypeVar

from langchain_core.messages import BaseMessage
from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError

from chatmem.codec.values import NotStorableError, to_storable

MessageType = TypeVar("MessageType", bound=BaseMessage)

_classes: dict[str, type[BaseMessage]] = {}
_adapters: dict[type[BaseMessage], dict[str, TypeAdapter[Any]]] = {}


def register(cls: type[MessageType], *, name: str | None = None) -> type[MessageType]:
    """Make a subclass of a LangChain message known, so that its messages come back as themselves.

    Usable as a decorator. Its own fields may be of any type that pydantic can validate; those which msgpack
    cannot carry (an Enum, a nested model) are stored in pydantic's JSON form and validated when read.

    Args:
        cls: the class. Processes that read its messages must register it too.
        name: what records call it; its own name by default. It must stay the same as long as records live.

    Returns:
        The class.

    Raises:
        ValueError: it is no message class, or another class has that name.
    """
    if not (isinstance(cls, type) and issubclass(cls, BaseMessage)):
        raise ValueError(f"cls must be a subclass of a LangChain message, not {cls!r}")
    name = cls.__name__ if name is None else name
    other = _classes.setdefault(name, cls)
    if other is not cls and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"another message class is registered as {name!r}: pass name= to tell them apart")
    _classes[name] = cls  # a module that is loaded again brings the same class anew
    _adapters[cls] = {key: TypeAdapter[Any](field.annotation or Any) for key, field in cls.model_fields.items()}
    return cls


def name_of(cls: type[BaseMessage]) -> str:
    """Return the name that records of this class carry."""
    for name, known in _classes.items():
        if known is cls:
            return name
    return cls.__name__


def is_registered(cls: type[BaseMessage]) -> bool:
    """Return whether the class was made known."""
    return cls in _classes.values()


def find(name: str, base: type[BaseMessage]) -> type[BaseMessage]:
    """Return the class registered under the name if it derives from the base, else the base."""
    cls = _classes.get(name, base)
    return cls if issubclass(cls, base) else base


def dump_field(cls: type[BaseMessage], name: str, value: Any) -> Any:
    """Return the value of a subclass' own field in a form that can be stored.

    Raises:
        NotStorableError: neither msgpack nor, for a registered class, pydantic can carry it.
    """
    try:
        return to_storable(value, name)
    except NotStorableError:
        adapter = _adapters.get(cls, {}).get(name)
        if adapter is None:
            raise
        try:
            dumped = adapter.dump_python(value, mode="json", warnings="error")
            if adapter.validate_python(dumped) == value:
                return to_storable(dumped, name)
        except (PydanticSerializationError, ValueError):
            pass  # the first reason stands
        raise


def load_field(cls: type[BaseMessage], name: str, value: Any) -> Any:
    """Return the value of a registered subclass' own field, as its annotation wants it.

    Raises:
        ValueError: the class has changed and does not take the value any more.
    """
    adapter = _adapters.get(cls, {}).get(name)
    return value if adapter is None else adapter.validate_python(value)
