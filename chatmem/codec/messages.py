"""A LangChain message <-> the body of its record.

The common path hands a message's `__dict__` to its kind's Struct and msgspec does the rest; the message is rebuilt
without pydantic's validation, since what was stored was a message. Whatever does not fit the Struct (fields of
subclasses or of other releases of langchain-core, values that msgpack cannot carry by itself) travels beside it, in
an Extension.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from langchain_core.messages import BaseMessage
from msgspec.structs import asdict
from pydantic import BaseModel

from chatmem.codec import registry
from chatmem.codec.extensions import CONTAINERS
from chatmem.codec.fields import dump_field, load_field
from chatmem.codec.hostile import check_keys
from chatmem.codec.kinds import BY_CLASS, Extension, Kind, Message, Tool, is_typed, kind_of
from chatmem.codec.models import default_of, private_of
from chatmem.codec.values import NotStorableError, OnUnstorable, Writer

_encode = msgspec.msgpack.Encoder().encode
_new = object.__new__
# the slots' own descriptors: half the time of `object.__setattr__`, which looks them up
_set_dict, _set_fields_set, _set_extra, _set_private = (
    BaseModel.__dict__[name].__set__
    for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)
_SMALL = 16 * 1024
"""bytes; what is smaller cannot hold so many keys that it would matter which"""
_NOT_UTF8_OR_64_BIT = (UnicodeEncodeError, OverflowError)


class Body(NamedTuple):
    """A message, ready to be put behind a record's header."""

    kind: Kind
    mask: int
    """which of the Struct's fields the message's field set names"""
    extended: bool
    """whether an Extension stands beside the Struct"""
    data: bytes


def dump(message: BaseMessage, *, with_id: bool, on_unstorable: OnUnstorable = "error") -> Body:
    """Return the body of a message's record.

    Args:
        message: any LangChain message.
        with_id: whether the body holds the message's id; else the header does.
        on_unstorable: what becomes of a value that cannot be stored: an error, or a text that says what it was.

    Raises:
        NotStorableError: a value in it cannot be stored.
    """
    kind = BY_CLASS.get(type(message))
    if kind is not None and kind.matches_class and not message.__pydantic_extra__:
        values = message.__dict__
        for name in kind.names:
            if not is_typed(name, values.get(name)):
                break
        else:
            try:
                data = _pack(kind, kind.struct(**values), with_id)
                return Body(kind, kind.mask(message.__pydantic_fields_set__), False, data)
            except (TypeError, *_NOT_UTF8_OR_64_BIT):  # TypeError: something cached in `__dict__` that is no field
                pass
    return _dump_extended(message, with_id, Writer(on_unstorable=on_unstorable))


def _pack(kind: Kind, struct: Message, with_id: bool, extension: Extension | None = None) -> bytes:
    # msgspec omits a default that is the same object; an equal one would make two bodies of one message
    if struct.type == kind.type:
        struct.type = kind.type
    if isinstance(struct, Tool) and struct.status == "success":
        struct.status = "success"
    if not with_id:
        struct.id = None
    return _encode(struct if extension is None else (struct, extension))


def _dump_extended(message: BaseMessage, with_id: bool, writer: Writer) -> Body:
    cls = type(message)
    kind = kind_of(cls)
    typed: dict[str, Any] = {}
    extension = Extension(cls=None if cls is kind.cls else registry.name_of(cls))
    for name, value in message.__dict__.items():
        if name in kind.names and is_typed(name, value) and _is_encodable(value):
            typed[name] = value
        elif name in kind.names:
            extension.fields[name] = writer.below(name, value)
        elif _has_own(message, name, value):
            extension.fields[name] = dump_field(writer, cls, name, value)
    for name in {"tool_call_id", "role", "type"} & set(kind.names) - set(typed):
        typed[name] = ""  # required there; the extension holds the real one
    given = message.__pydantic_extra__ or {}
    extension.extra = {name: writer.below(name, value) for name, value in given.items()}
    if message.__pydantic_private__:
        extension.private = writer.storable(message.__pydantic_private__)
    untyped = {*given, *extension.fields} - set(kind.names)
    extension.unset = sorted(untyped - message.__pydantic_fields_set__)
    data = _pack(kind, kind.struct(**typed), with_id, extension)
    return Body(kind, kind.mask(message.__pydantic_fields_set__), True, data)


def is_equal(one: BaseMessage | None, other: BaseMessage | None) -> bool:
    """Return whether two messages that were read say the same.

    That they are stored alike is enough: exceptions and NaN equal only themselves, numpy's arrays have no one answer.
    """
    with suppress(Exception):  # of the class of something in them, which may raise anything
        if one == other:
            return True
    if one is None or other is None or type(one) is not type(other):
        return False
    with suppress(NotStorableError):
        return dump(one, with_id=True)[1:] == dump(other, with_id=True)[1:]
    return False


def _has_own(message: BaseMessage, name: str, value: Any) -> bool:
    """Return whether a field that the Struct lacks must be stored: it is a field, and not merely its default."""
    field = type(message).model_fields.get(name)
    return field is not None and (name in message.__pydantic_fields_set__ or value is not field.default)


def _is_encodable(value: Any) -> bool:
    try:
        _encode(value)
    except _NOT_UTF8_OR_64_BIT:
        return False
    return True


def load(kind: Kind, mask: int, message_id: str | None, data: bytes) -> BaseMessage:
    """Return the message of a plain body.

    Raises:
        DecodeError, ValueError: the body is damaged.
        RecursionError: the body is nested absurdly.
    """
    if len(data) > _SMALL:
        check_keys(data, CONTAINERS)
    values = asdict(kind.decode(data))
    if message_id is not None:
        values["id"] = message_id
    if not kind.matches_class:
        return _build_adapted(kind.cls, values, set(kind.field_set(mask)), {})
    # `_build`, without the call: most of what is ever read comes by here
    message = _new(kind.cls)
    _set_dict(message, values)
    _set_fields_set(message, set(kind.field_set(mask)))
    _set_extra(message, {})
    _set_private(message, None)
    return message


def load_extended(kind: Kind, mask: int, message_id: str | None, data: bytes) -> BaseMessage:
    """Return the message of a body with an Extension.

    Raises:
        DecodeError, ValueError: as `load`; or a registered class has changed and does not fit the record any more.
        RecursionError: as `load`.
    """
    if len(data) > _SMALL:
        check_keys(data, CONTAINERS)
    struct, extension = kind.decode_extended(data)
    values = asdict(struct)
    if message_id is not None:
        values["id"] = message_id
    cls = kind.cls if extension.cls is None else registry.find(extension.cls, kind.cls)
    extra = extension.extra
    for name, value in extension.fields.items():
        if name in kind.names:
            values[name] = value
        elif name in cls.model_fields:
            values[name] = load_field(cls, name, value)
        else:
            extra[name] = value
    if extension.cls is not None and cls is kind.cls and kind.type is not None:
        values["type"] = kind.type  # the subclass' own type would make an invalid message of the base
    names = (kind.field_set(mask) | set(extra) | set(extension.fields)) - set(extension.unset)
    names -= {name for name in extension.fields if name in kind.names and name not in kind.field_set(mask)}
    return _build_adapted(cls, values, set(names), extra, extension.private)


def _build_adapted(
    cls: type[BaseMessage],
    values: dict[str, Any],
    fields_set: set[str],
    extra: dict[str, Any],
    private: dict[str, Any] | None = None,
) -> BaseMessage:
    """Build a message whose class' fields are not the Struct's."""
    fields = cls.model_fields
    for name in set(values) - set(fields):  # an older langchain-core lacks it
        value = values.pop(name)
        if name in fields_set or value:
            extra[name] = value
    for name in set(fields) - set(values):
        values[name] = default_of(cls, name)
    private = private_of(cls, private)
    ordered = {name: values[name] for name in fields}
    return _build(cls, ordered, fields_set, extra, private)


def _build(
    cls: type[BaseMessage],
    values: dict[str, Any],
    fields_set: set[str],
    extra: dict[str, Any],
    private: dict[str, Any] | None,
) -> BaseMessage:
    message = _new(cls)
    _set_dict(message, values)
    _set_fields_set(message, fields_set)
    _set_extra(message, extra)
    _set_private(message, private)
    return message
