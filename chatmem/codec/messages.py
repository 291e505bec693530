"""A LangChain message <-> the body of its record.

The common path hands a message's `__dict__` to its kind's Struct, and msgspec does the rest. Messages are rebuilt
without pydantic's validation, since they were messages when they were stored. What does not fit the Struct is stored
beside it, in an Extension: fields of subclasses or of other releases of langchain-core, and values that msgpack cannot
represent.
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
from chatmem.codec.kinds import BY_CLASS, Extension, Kind, Message, Tool, has_typed_parts, is_typed, kind_of
from chatmem.codec.models import default_of, private_of
from chatmem.codec.values import ATOMS, NotStorableError, OnUnstorable, Writer

_encode = msgspec.msgpack.Encoder().encode
_new = object.__new__
# setting slots by their descriptors takes half the time of `object.__setattr__`
_set_dict, _set_fields_set, _set_extra, _set_private = (
    BaseModel.__dict__[name].__set__
    for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)
SMALL = 16 * 1024
"""bytes; smaller bodies cannot hold enough keys to make reading them slow"""
Bytes = bytes | memoryview
_NOT_UTF8_OR_64_BIT = (UnicodeEncodeError, OverflowError)


class Body(NamedTuple):
    """The body of a message's record, and what the header says of it."""

    kind: Kind
    mask: int
    """which of the Struct's fields are in the message's field set"""
    extended: bool
    """whether an Extension follows the Struct"""
    data: bytes


def dump(message: BaseMessage, *, with_id: bool, on_unstorable: OnUnstorable = "error") -> Body:
    """Return the body of a message's record.

    Args:
        message: any LangChain message.
        with_id: whether the body holds the message's id. Otherwise the id is stored before the body.
        on_unstorable: whether a value that cannot be stored is an error, or is replaced by a description of it.

    Raises:
        NotStorableError: a value in the message cannot be stored.
    """
    kind = BY_CLASS.get(type(message))
    if kind is not None and kind.matches_class and not message.__pydantic_extra__:
        values = message.__dict__
        for name, types in kind.types:
            value = values.get(name)
            if type(value) not in types or (value and type(value) not in ATOMS and not has_typed_parts(name, value)):
                break
        else:
            try:
                data = _pack(kind, kind.struct(**values), with_id)
                return Body(kind, kind.mask(message.__pydantic_fields_set__), False, data)
            except (TypeError, *_NOT_UTF8_OR_64_BIT):  # TypeError: `__dict__` holds something cached besides the fields
                pass
    return _dump_extended(message, with_id, Writer(on_unstorable=on_unstorable))


def _pack(kind: Kind, struct: Message, with_id: bool, extension: Extension | None = None) -> bytes:
    # msgspec omits a default only if it is the same object: equal messages must have equal bodies
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
        elif name in kind.names or (cls is kind.cls and _has_own(message, name, value)):
            extension.fields[name] = writer.below(name, value)
        elif _has_own(message, name, value):
            extension.fields[name], is_exact = dump_field(writer, cls, name, value)
            extension.exact += [name] if is_exact else []
    for name in {"tool_call_id", "role", "type"} & set(kind.names) - set(typed):
        typed[name] = ""  # the Struct requires it; the extension has the real value
    given = message.__pydantic_extra__ or {}
    extension.extra = {name: writer.below(name, value) for name, value in given.items()}
    if message.__pydantic_private__:
        extension.private = writer.storable(message.__pydantic_private__)
    untyped = {*given, *extension.fields} - set(kind.names)
    extension.unset = sorted(untyped - message.__pydantic_fields_set__)
    data = _pack(kind, kind.struct(**typed), with_id, extension)
    return Body(kind, kind.mask(message.__pydantic_fields_set__), True, data)


def is_equal(one: BaseMessage | None, other: BaseMessage | None) -> bool:
    """Return whether two messages that were read are equal, or would be stored alike.

    Equality alone is not enough: exceptions and NaN equal only themselves, and numpy's arrays compare item by item.
    """
    with suppress(Exception):  # raised by a class of the application, so it may be anything
        if one == other:
            return True
    if one is None or other is None or type(one) is not type(other):
        return False
    with suppress(NotStorableError):
        return dump(one, with_id=True)[1:] == dump(other, with_id=True)[1:]
    return False


def _has_own(message: BaseMessage, name: str, value: Any) -> bool:
    """Return whether a field that the Struct lacks must be stored: it was set, or is not the default."""
    field = type(message).model_fields.get(name)
    return field is not None and (name in message.__pydantic_fields_set__ or value is not field.default)


def _is_encodable(value: Any) -> bool:
    try:
        _encode(value)
    except _NOT_UTF8_OR_64_BIT:
        return False
    return True


def body_at(data: bytes, start: int) -> Bytes:
    """Return the body that begins there. A large one is checked, and not copied.

    Raises:
        ValueError: the body was made to take long.
    """
    if len(data) - start <= SMALL:
        return data[start:]
    check_keys(data, start, CONTAINERS)
    return memoryview(data)[start:]


def load(kind: Kind, mask: int, message_id: str | None, body: Bytes) -> BaseMessage:
    """Return the message of a body without an Extension.

    Raises:
        DecodeError, ValueError: the body is damaged.
        RecursionError: the body is nested too deeply.
    """
    values = asdict(kind.decode(body))
    if message_id is not None:
        values["id"] = message_id
    fields_set = set(kind.field_set(mask))
    if kind.matches_class:
        return _build(kind.cls, values, fields_set, {}, None)
    return _build_adapted(kind.cls, values, fields_set, {})


def load_extended(kind: Kind, mask: int, message_id: str | None, body: Bytes) -> BaseMessage:
    """Return the message of a body with an Extension.

    Raises:
        DecodeError, ValueError: as `load`, or a registered class has changed so that the record no longer fits it.
        RecursionError: as `load`.
    """
    struct, extension = kind.decode_extended(body)
    values = asdict(struct)
    if message_id is not None:
        values["id"] = message_id
    cls = kind.cls if extension.cls is None else registry.find(extension.cls, kind.cls)
    extra = extension.extra
    for name, value in extension.fields.items():
        if name in kind.names:
            values[name] = value
        elif name in cls.model_fields:
            values[name] = value if name in extension.exact else load_field(cls, name, value)
        else:
            extra[name] = value
    if extension.cls is not None and cls is kind.cls and kind.type is not None:
        values["type"] = kind.type  # the base class is not valid with a subclass's type
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
    """Build a message whose class has other fields than the Struct."""
    fields = cls.model_fields
    for name in set(values) - set(fields):  # an older langchain-core lacks the field
        value = values.pop(name)
        if name in fields_set or value:
            extra[name] = value
    for name in fields:
        if name not in values:
            values[name] = default_of(cls, name, values)
    private = private_of(cls, private, values)
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
