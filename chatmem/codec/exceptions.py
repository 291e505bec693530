"""Takes apart and builds exceptions, without calling the code of the application's classes."""

from __future__ import annotations

from typing import Any

from chatmem.codec.attributes import others_of, put_others, slots_of
from chatmem.codec.instances import field_names, held_by
from chatmem.codec.names import full_name
from chatmem.codec.taking import Rest, Writer, dict_of

_OMITTED = {"obj"}
"""attributes that pickle omits, too: the object that lacked an attribute may be anything"""
_set, _get = object.__setattr__, object.__getattribute__


def take_exception(writer: Writer, value: BaseException) -> tuple[Any, Rest]:
    """Return an exception's class, message, arguments and attributes; not its cause or traceback."""
    arguments: Any = value.args
    if isinstance(value, OSError) and value.filename is not None:
        arguments = OSError.__reduce__(value)[1]
    plain: dict[str, Any] = {"error": full_name(type(value)), "message": str(value), "args": tuple(arguments)}
    if attributes := held_by(value) | _others(value, arguments):
        plain["attributes"] = attributes
    return writer.fields(plain), {}


def _others(value: BaseException, arguments: Any) -> dict[str, Any]:
    """Return the attributes that an exception with these arguments does not have by itself."""
    others = others_of(value, _OMITTED)
    try:
        twin = _made(type(value), arguments)
    except Exception:  # noqa: BLE001 - the arguments were changed, so it may be anything
        return others
    return {
        name: item for name, item in others.items() if name not in slots_of(type(value)) or _differs(twin, name, item)
    }


def _differs(twin: BaseException, name: str, item: Any) -> bool:
    """Return whether a twin has another value in a slot, and can be given this one."""
    try:
        own = _get(twin, name)
        if own is item or (type(own) is type(item) is int and own == item):
            return False
    except AttributeError:  # its slot is empty
        pass
    try:
        _set(twin, name, item)
    except (AttributeError, TypeError):  # it cannot be set, as the exceptions of a group
        return False
    return True


def _made(cls: type[BaseException], arguments: Any) -> BaseException:
    native: Any = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    made: BaseException = native.__new__(cls, *arguments)
    native.__init__(made, *arguments)
    return made


def build_exception(cls: type[BaseException], plain: Any, rest: Rest) -> BaseException:
    """Return the exception, without calling its class's own code.

    Raises:
        ValueError: the stored parts do not fit the class.
    """
    made, attributes = _made(cls, dict_of(plain)["args"]), dict(dict_of(plain.get("attributes", {})))
    for name in field_names(cls):
        if name in attributes:
            _set(made, name, attributes.pop(name))
    put_others(made, attributes)
    return made
