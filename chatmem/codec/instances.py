"""Takes apart and builds objects that are not pydantic models.

They are objects with declared fields, enumeration members, exceptions, named tuples, objects of subclasses of Python's
own classes, and numpy's arrays and numbers.
"""

from __future__ import annotations

import dataclasses
import enum
import re
import sys
from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import msgspec

from chatmem.codec.names import full_name
from chatmem.codec.taking import Rest, Writer, dict_of

_ATTRIBUTES, _NAME, _DTYPE, _SHAPE = "a", "n", "d", "s"
BASES = (str, int, float, bytes, list, dict, tuple, set, frozenset)
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


def _held(value: Any) -> dict[str, Any]:
    held = {}
    for name in field_names(type(value)):
        try:
            held[name] = _get(value, name)
        except AttributeError:  # declared, but never set
            continue
    return held


def _others(value: Any, names: Iterable[str] = ()) -> dict[str, Any]:
    """Return an object's attributes beside its fields, without dunder names and cached properties."""
    cls = type(value)
    return {
        name: item
        for name, item in getattr(value, "__dict__", {}).items()
        if name not in names and _is_attribute(name) and not isinstance(getattr(cls, name, None), cached_property)
    }


def _is_attribute(name: str) -> bool:
    return name == "__notes__" or not name.startswith("__")


def _put_others(made: Any, others: Any) -> None:
    for name, item in dict_of(others or {}).items():
        if _is_attribute(name):
            made.__dict__[name] = item


def take_fields(writer: Writer, value: Any) -> tuple[Any, Rest]:
    """Return the fields, and the other attributes that can be stored."""
    fields = _held(value)
    plain = writer.fields(fields)
    base = base_of(type(value))
    if base is not None:
        plain = {"fields": plain, "items": writer.write(content_of(value))}
    others = writer.storable(_others(value, fields))
    return plain, {_ATTRIBUTES: others} if others else {}


def build_fields(cls: type[Any], plain: Any, rest: Rest) -> Any:
    """Return the object. Fields that are new in its class get their defaults; fields that it lost are dropped.

    Raises:
        ValueError: the stored fields do not fit the class.
    """
    base = base_of(cls)
    fields = dict_of(plain if base is None else dict_of(plain)["fields"])
    if issubclass(cls, msgspec.Struct):
        return cls(**fields)
    made = _new(cls) if base is None else _with_content(cls, base, plain["items"])
    for field in dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ():
        if field.name not in fields and field.init:
            fields = {**fields, field.name: _default(field)}
    for name in field_names(cls):
        if name in fields:
            _set(made, name, fields[name])
    _put_others(made, rest.get(_ATTRIBUTES))
    return made


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    if field.default is dataclasses.MISSING:
        raise ValueError(f"the class has a required field {field.name!r} that the record lacks")
    return field.default


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
    others = writer.storable(_others(value))
    return writer.write(content_of(value)), {_ATTRIBUTES: others} if others else {}


def build_content(cls: type[Any], plain: Any, rest: Rest) -> Any:
    """Return the object.

    Raises:
        ValueError: the content does not fit the class.
    """
    made = _with_content(cls, base_of(cls), plain)
    _put_others(made, rest.get(_ATTRIBUTES))
    return made


def take_exception(writer: Writer, value: BaseException) -> tuple[Any, Rest]:
    """Return an exception's class, message, arguments and attributes; not its cause or traceback."""
    arguments: Any = value.args
    if isinstance(value, OSError) and value.filename is not None:
        arguments = OSError.__reduce__(value)[1]
    plain: dict[str, Any] = {"error": full_name(type(value)), "message": str(value), "args": tuple(arguments)}
    if attributes := _held(value) | _others(value):
        plain["attributes"] = attributes
    return writer.fields(plain), {}


def build_exception(cls: type[BaseException], plain: Any, rest: Rest) -> BaseException:
    """Return the exception, without calling its class's own code.

    Raises:
        ValueError: the stored parts do not fit the class.
    """
    native: Any = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    arguments, attributes = dict_of(plain)["args"], dict(dict_of(plain.get("attributes", {})))
    made: BaseException = native.__new__(cls, *arguments)
    native.__init__(made, *arguments)
    for name in field_names(cls):
        if name in attributes:
            _set(made, name, attributes.pop(name))
    _put_others(made, attributes)
    return made


def is_named_tuple(cls: type[Any]) -> bool:
    """Return whether a class is a named tuple."""
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def take_named_tuple(writer: Writer, value: tuple[Any, ...]) -> tuple[Any, Rest]:
    """Return the items."""
    return writer.write(tuple(value)), {}


def build_named_tuple(cls: Any, plain: Any, rest: Rest) -> Any:
    """Return the named tuple.

    Raises:
        ValueError: the class has other fields.
    """
    if type(plain) is not tuple or len(plain) != len(cls._fields):
        raise ValueError("the class has other fields")
    return tuple.__new__(cls, plain)


_DTYPES = re.compile(r"[<>|=][biufcMm]\d{1,2}(\[\w+\])?", re.ASCII)


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
        ValueError: the record's type, shape and numbers do not fit each other.
    """
    numpy: Any = sys.modules["numpy"]
    dtype = rest[_DTYPE] if _DTYPES.fullmatch(rest[_DTYPE]) else None  # others could name a size that fills the memory
    made = numpy.array(plain, dtype=dtype).reshape(rest[_SHAPE])
    return made if cls is numpy.ndarray else cls(made[()])
