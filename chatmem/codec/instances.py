"""Takes apart and builds objects that are not pydantic models.

They are objects with declared fields, enumeration members, named tuples, and objects of subclasses of Python's own
classes. Exceptions and numpy's arrays have modules of their own.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections import OrderedDict
from collections.abc import Collection
from typing import Any

import msgspec

from chatmem.codec.attributes import others_of, put_others
from chatmem.codec.taking import Rest, Writer, dict_of

_ATTRIBUTES, _NAME = "a", "n"
BASES = (str, int, float, bytes, list, dict, tuple, set, frozenset)
_NONE = dataclasses.MISSING
"""no default"""
_new, _set, _get = object.__new__, object.__setattr__, object.__getattribute__


def take_member(writer: Writer, value: enum.Enum) -> tuple[Any, Rest]:
    """Return an enumeration member's value, or its name if the value cannot be stored; and its name."""
    name = value._name_
    plain = writer.storable({"value": value._value_}).get("value", name)
    return plain, {} if name is None else {_NAME: writer.write(name)}


def build_member(cls: type[enum.Enum], plain: Any, rest: Rest) -> Any:
    """Return the member with that name, or else with that value.

    Raises:
        ValueError: there is none.
    """
    member = cls._member_map_.get(rest.get(_NAME, ""))
    return cls(plain) if member is None else member


def field_names(cls: type[Any]) -> list[str]:
    """Return the names of the fields that a class declares."""
    if dataclasses.is_dataclass(cls):
        return [field.name for field in dataclasses.fields(cls)]
    if issubclass(cls, msgspec.Struct):
        return list(cls.__struct_fields__)
    return [attribute.name for attribute in getattr(cls, "__attrs_attrs__", ())]


def declares_fields(cls: type[Any]) -> bool:
    """Return whether a class is a dataclass, an attrs class, or a msgspec Struct."""
    return dataclasses.is_dataclass(cls) or issubclass(cls, msgspec.Struct) or hasattr(cls, "__attrs_attrs__")


def held_by(value: Any) -> dict[str, Any]:
    """Return the declared fields that an object has. An `UNSET` of msgspec's that is the default is none."""
    cls, held = type(value), {}
    unset = _unset_by_default(cls) if issubclass(cls, msgspec.Struct) else ()
    for name in field_names(cls):
        try:
            item = _get(value, name)
        except AttributeError:  # declared, but never set
            continue
        if item is not msgspec.UNSET or name not in unset:
            held[name] = item
    return held


def _unset_by_default(cls: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(cls) if field.default is msgspec.UNSET}


def take_fields(writer: Writer, value: Any) -> tuple[Any, Rest]:
    """Return the fields, and the other attributes that can be stored."""
    fields = held_by(value)
    plain = writer.fields(fields)
    base = base_of(type(value))
    if base is not None:
        plain = {"fields": plain, "items": writer.write(content_of(value))}
    others = writer.storable(others_of(value, fields))
    return plain, {_ATTRIBUTES: others} if others else {}


def build_fields(cls: type[Any], plain: Any, rest: Rest) -> Any:
    """Return the object. Fields that are new in its class get their defaults; fields that it lost are dropped.

    Raises:
        ValueError: the stored fields do not fit the class.
    """
    base = base_of(cls)
    given = dict_of(plain if base is None else dict_of(plain)["fields"])
    fields = {name: given[name] for name in field_names(cls) if name in given}
    if issubclass(cls, msgspec.Struct):
        made = _struct(cls, fields)
    else:
        made = _new(cls) if base is None else _with_content(cls, base, plain["items"])
        for name, item in fields.items():
            _set(made, name, item)
        _set_defaults(made, fields)
    put_others(made, rest.get(_ATTRIBUTES))
    return made


def _struct(cls: type[msgspec.Struct], fields: dict[str, Any]) -> Any:
    """Return a Struct. msgspec builds none without `__post_init__`, so what that changed is undone."""
    made = cls(**fields)
    for name, item in fields.items():
        msgspec.structs.force_setattr(made, name, item)
    return made


def _set_defaults(made: Any, fields: Collection[str]) -> None:
    """Set the fields that are new in the object's class to their defaults.

    Raises:
        ValueError: a field of the constructor has none.
    """
    cls: Any = type(made)
    for field in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else cls.__attrs_attrs__:
        if field.name in fields:
            continue
        default = _default(field, made)
        if default is not _NONE:
            _set(made, field.name, default)
        elif field.init:
            raise ValueError(f"the class has a required field {field.name!r} that the record lacks")


def _default(field: Any, made: Any) -> Any:
    """Return the default of a field of a dataclass or an attrs class."""
    if isinstance(field, dataclasses.Field):
        return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    default = field.default
    if hasattr(default, "takes_self"):
        return default.factory(made) if default.takes_self else default.factory()
    return _NONE if default is sys.modules["attr"].NOTHING else default


def base_of(cls: type[Any]) -> type[Any] | None:
    """Return which of Python's own classes, such as list or str, a class derives from; None if from none."""
    return next((base for base in cls.__mro__ if base in BASES), None)


def content_of(value: Any) -> Any:
    """Return an object's content as an object of the one of Python's own classes that it derives from."""
    base: Any = base_of(type(value))
    if base is dict:
        return dict(value.items())
    if base is bytes:
        return bytes(memoryview(value))
    if base in (list, tuple, set, frozenset):
        return base(iter(value))
    return {str: str.__str__, int: int.__int__, float: float.__float__}[base](value)


def _with_content(cls: type[Any], base: Any, content: Any) -> Any:
    """Return a new object with this content.

    Raises:
        ValueError: the content is not of the class's base. A set made from a list, for example, would bypass the check
            of its items' hashes.
    """
    if type(content) is not base:
        raise ValueError("the class has another base than it had")
    if base is dict:
        made = dict.__new__(cls)
        (OrderedDict if issubclass(cls, OrderedDict) else dict).update(made, content)
        return made
    if base in (list, set):
        made = base.__new__(cls)
        base.__init__(made, content)
        return made
    return base.__new__(cls, content)


def take_content(writer: Writer, value: Any) -> tuple[Any, Rest]:
    """Return the object's content as one of Python's own classes, and the attributes that can be stored."""
    others = writer.storable(others_of(value))
    return writer.write(content_of(value)), {_ATTRIBUTES: others} if others else {}


def build_content(cls: type[Any], plain: Any, rest: Rest) -> Any:
    """Return the object.

    Raises:
        ValueError: the content does not fit the class.
    """
    made = _with_content(cls, base_of(cls), plain)
    put_others(made, rest.get(_ATTRIBUTES))
    return made


def is_named_tuple(cls: type[Any]) -> bool:
    """Return whether a class is a named tuple."""
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def take_named_tuple(writer: Writer, value: tuple[Any, ...]) -> tuple[Any, Rest]:
    """Return the items, and the attributes that can be stored."""
    others = writer.storable(others_of(value))
    return writer.write(tuple(value)), {_ATTRIBUTES: others} if others else {}


def build_named_tuple(cls: Any, plain: Any, rest: Rest) -> Any:
    """Return the named tuple.

    Raises:
        ValueError: the class has other fields.
    """
    if type(plain) is not tuple or len(plain) != len(cls._fields):
        raise ValueError("the class has other fields")
    made = tuple.__new__(cls, plain)
    put_others(made, rest.get(_ATTRIBUTES))
    return made
