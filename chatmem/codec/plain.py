"""The fast path of reads: a session's elements to messages, where the records are plain.

A record is plain if it is neither encrypted nor extended, and its kind has the fields of the installed langchain-core.
Almost every record is. Its first five bytes (format, flags, kind and field set) say all that is needed to decode it, so
one look-up with these bytes replaces the checks of each. `record.decode` reads every other record.

The loop calls as few functions as possible, because each call costs several percent of the time that a message takes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from langchain_core.messages import BaseMessage
from msgspec.structs import asdict
from pydantic import BaseModel

from chatmem.codec import record
from chatmem.codec.compression import decompress
from chatmem.codec.encryption import Sealer
from chatmem.codec.kinds import BY_CODE, Message
from chatmem.codec.messages import SMALL, Bytes, body_at
from chatmem.codec.record import CALLS_TOOLS, COMPRESSED, FORMAT, HAS_ID, HEADER_SIZE, UNREADABLE

_Shape = tuple[Callable[[Bytes], Message] | None, type[BaseMessage], frozenset[str], bool, bool]
"""Decodes the body (None: the record is not plain), class and field set of the message, whether it has an id, whether
the record is compressed."""
_OTHER: _Shape = (None, BaseMessage, frozenset(), False, False)

_PLAIN = HAS_ID | CALLS_TOOLS | COMPRESSED
_MOST_SHAPES = 4096
"""An application's messages have a few dozen. The limit is for records that were made to fill the memory."""
_COLON = b":"
_new = object.__new__
_unpack = struct.Struct(">5s8xH").unpack_from
"""Returns the first five bytes of a header, and the length of the id."""


class _Blank(BaseModel):
    """A message before its class is set. Its attributes are set without pydantic's checks.

    With `object`'s methods, Python sets the slots by specialized instructions: building a message takes 0.6 times as
    long as by calls of the slots' descriptors. All message classes have the layout of this one, which Python checks.
    """

    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__  # both, or Python calls `__setattr__` as any other method


class _Shapes(dict[bytes, _Shape]):
    """The shapes of records, by the first five bytes of the header."""

    def __missing__(self, first: bytes) -> _Shape:
        version, flags, code, *mask = first
        kind = BY_CODE.get(code)
        if version != FORMAT or flags & ~_PLAIN or kind is None or not kind.matches_class:
            shape = _OTHER
        else:
            names = kind.field_set(int.from_bytes(mask))
            shape = kind.decode, kind.cls, names, bool(flags & HAS_ID), bool(flags & COMPRESSED)
        if len(self) < _MOST_SHAPES:
            self[first] = shape
        return shape


_shapes = _Shapes()


def decode_messages(elements: Sequence[bytes], sealer: Sealer | None = None) -> list[BaseMessage]:
    """Return only the messages of a session's elements. Most reads need no more, and this is the fastest way.

    Args:
        elements: elements of the session's list.
        sealer: decrypts encrypted records.

    Raises:
        CorruptRecordError: a record is damaged or of a newer format.
    """
    if sealer is not None:  # then hardly any record is plain
        return [record.decode(element, sealer).message for element in elements]
    read: list[BaseMessage] = []
    for element in elements:
        try:
            start = element.index(_COLON) + 1
            first, id_length = _unpack(element, start)
            decode, cls, names, has_id, is_compressed = _shapes[first]
            if decode is not None:
                start += HEADER_SIZE
                data = element
                if is_compressed:
                    data, start = decompress(element[start:]), 0
                end = start + id_length
                values = asdict(decode(data[end:] if len(data) - end <= SMALL else body_at(data, end)))
                if has_id:
                    values["id"] = data[start:end].decode()
                message = _new(_Blank)
                message.__dict__ = values
                message.__pydantic_fields_set__ = set(names)
                message.__pydantic_extra__ = {}
                message.__pydantic_private__ = None
                message.__class__ = cls  # type: ignore[assignment]  # it is a message from here on
                read.append(message)  # type: ignore[arg-type]
                continue
        except UNREADABLE:  # it is JSON or base64, or damaged, or its id has lone surrogates
            pass
        read.append(record.decode(element).message)
    return read
