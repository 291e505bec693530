"""A record: what one message is in Redis. This file is the stored format, version 1.

An element of a session's list is `position:record`. The append script writes the position in decimal digits. A record
is a header and a body:

    offset  size  what
    0       1     format: 1
    1       1     flags: 1 the body has an Extension, 2 the message has an id, 4 it calls tools
    2       1     kind: a letter, see kinds.py
    3       2     field set: one bit per field of the kind's Struct
    5       8     time of the append in microseconds since 1970, by the writer's clock
    13      2     length of the id in bytes
    15      n     the id, UTF-8 (lone surrogates as three bytes each)
    15 + n        the body: msgpack, see messages.py

With flag 8, id and body are one zstd frame without its magic number; see compression.py. With flag 16, everything
after the header is encrypted; see encryption.py.

Numbers are big-endian. Over text-only transports (REST) the record, but not its position prefix, is base64-encoded; its
first byte is then an `A`. An element that begins with `{` is a JSON message as LangChain's own classes write it.
"""

from __future__ import annotations

import binascii
import hashlib
import json
import struct
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from langchain_core.messages import BaseMessage, RemoveMessage, messages_from_dict
from pydantic import ValidationError

from chatmem.codec import messages
from chatmem.codec.compression import Compression, decompress
from chatmem.codec.encryption import SEALED, Sealer, is_bound, no_key, not_sealed
from chatmem.codec.hostile import check_arguments
from chatmem.codec.kinds import BY_CODE
from chatmem.codec.values import NotStorableError, OnUnstorable
from chatmem.core.keys import field
from chatmem.errors import CorruptRecordError, EncodingError, MessageTooLargeError

FORMAT = 1
EXTENDED, HAS_ID, CALLS_TOOLS, COMPRESSED = 1, 2, 4, 8
_KNOWN = EXTENDED | HAS_ID | CALLS_TOOLS | COMPRESSED | SEALED
MAX_RECORD_BYTES = 512 * 2**20 - 256  # a Redis value has at most 512 MiB; 256 bytes are for position, key name and tag
MAX_ID_BYTES = 2**16 - 1

_header = struct.Struct(">BBBHqH")
_unpack, HEADER_SIZE = _header.unpack_from, _header.size
TIME = slice(5, 13)
"""where in a record the time is"""
_COLON = b":"
UNREADABLE = (
    *(msgspec.DecodeError, ValueError, TypeError, KeyError, OverflowError, RecursionError, struct.error),
    AttributeError,  # from LangChain's validators, on JSON of an unexpected shape
)
_FIRST_TYPES = ("human", "ai", "system")
"""in LangChain JS's first format, messages of all other types are `ChatMessage`s"""
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


class Encoded(NamedTuple):
    """A message that is ready to be appended."""

    id: bytes
    """its id, which makes the append idempotent, as `keys.field` writes it; empty if it has none"""
    record: bytes


class Decoded(NamedTuple):
    """The content of a record."""

    id: str | None
    created_at: datetime | None
    message: BaseMessage
    is_sealed: bool = False


def now() -> int:
    """Return the time in microseconds since 1970."""
    return time.time_ns() // 1000


def to_datetime(microseconds: int) -> datetime:
    """Return a record's time as a datetime in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def from_datetime(time: datetime) -> int:
    """Return a datetime in UTC as a record's time: the inverse of `to_datetime`."""
    return (time - _EPOCH) // _MICROSECOND


def encode(
    message: BaseMessage,
    index: int,
    created: int,
    compression: Compression | None = None,
    most: int = MAX_RECORD_BYTES,
    on_unstorable: OnUnstorable = "error",
) -> Encoded:
    """Return the message's record.

    Args:
        message: any LangChain message.
        index: the message's index among the append's messages, for errors.
        created: the time of the append, in microseconds since 1970.
        compression: how to compress the record; None for not at all.
        most: the most bytes that the record may have.
        on_unstorable: whether a value that cannot be stored is an error, or is replaced by a description of it.

    Raises:
        EncodingError: a value in the message cannot be stored. The error names index and field.
        MessageTooLargeError: the record has more bytes than `most`.
    """
    try:
        given = message.id
        # the id of a RemoveMessage is another message's
        own_id = given if isinstance(given, str) and not isinstance(message, RemoveMessage) else None
        name = b"" if own_id is None else field(own_id)
        id_bytes = name if own_id is None or name[:1] != b"%" else own_id.encode("utf-8", "surrogatepass")
        if len(id_bytes) > MAX_ID_BYTES:
            raise NotStorableError("id", f"it is longer than {MAX_ID_BYTES:,} bytes; use a shorter one")
        body = messages.dump(message, with_id=own_id is None, on_unstorable=on_unstorable)
    except NotStorableError as error:
        what = f"message {index} ({type(message).__name__}), field {error.path!r}: {error.reason}"
        raise EncodingError(what, index=index, field=error.path) from error.__cause__
    calls_tools = bool(message.__dict__.get("tool_calls"))
    flags = EXTENDED * body.extended | HAS_ID * (own_id is not None) | CALLS_TOOLS * calls_tools
    header = _header.pack(FORMAT, flags, body.kind.code, body.mask, created, len(id_bytes))
    record = _compressed(header, id_bytes, body.data, compression)
    if len(record) > most:
        what = f"message {index} ({type(message).__name__}) takes {len(record):,} bytes, but {most:,} are allowed"
        raise MessageTooLargeError(f"{what}: shorten it, or raise max_message_bytes", index=index)
    return Encoded(name, record)


def is_chunk(record: bytes) -> bool:
    """Return whether a record from `encode` holds a message chunk."""
    return BY_CODE[record[2]].is_chunk


def _compressed(header: bytes, id_bytes: bytes, body: bytes, compression: Compression | None) -> bytes:
    packed = None if compression is None else compression.compress(id_bytes + body)
    if packed is None:
        return header + id_bytes + body  # a large body is copied once
    return header[:1] + bytes([header[1] | COMPRESSED]) + header[2:] + packed


def copied(element: bytes, compression: Compression | None, sealer: Sealer | None) -> Encoded:
    """Return an element's record, ready to be appended elsewhere. Parts that this process does not know are kept.

    Args:
        element: the element of the session's list.
        compression: how to compress the copy; None for not at all.
        sealer: decrypts the record if it is encrypted.

    Raises:
        CorruptRecordError: the element holds no record, or the record cannot be decrypted or decompressed.
    """
    plain = plain_record(element, sealer)
    header, rest = plain[:HEADER_SIZE], plain[HEADER_SIZE:]
    _, flags, _, _, _, id_length = _unpack(header)
    message_id = rest[:id_length].decode("utf-8", "surrogatepass")
    copy = _compressed(header, rest[:id_length], rest[id_length:], compression)
    return Encoded(field(message_id) if flags & HAS_ID else b"", copy)


def content_of(record: bytes) -> bytes:
    """Return a record without what may differ for equal messages: its time, and which fields were set to defaults."""
    return record[1:3] + record[TIME.stop :]


def digest(part: Encoded) -> bytes:
    """Return a digest of a message's id and content."""
    return hashlib.blake2b(part.id + b"\0" + content_of(part.record), digest_size=8).hexdigest().encode()


def position_of(element: bytes) -> int | None:
    """Return the position that an element begins with, or None if it begins with none."""
    digits, colon, _ = element[:16].partition(_COLON)  # as the scripts read it
    return int(digits) if colon and digits.isdigit() else None


def needs_script(element: bytes) -> bool:
    """Return whether a list's last element says that the list alone is not enough: ask `read.lua`.

    It says so where there are branches, and where an answer runs or has run; see `scripts/branches.lua`.
    """
    return element[:1] == b"0" and element[1:2] != _COLON


def last_in_order(elements: Sequence[bytes], before: int) -> int:
    """Return the last of the elements' positions. Elements without a position do not count.

    Args:
        elements: elements of a session's list.
        before: the position of an element before these, -1 if there is none.

    Raises:
        CorruptRecordError: the positions do not grow.
    """
    last = before
    for element in elements:
        position = position_of(element)
        if position is not None:
            if position <= last:
                raise CorruptRecordError("the positions do not grow: something else wrote to this session")
            last = position
    return last


def decode(element: bytes, sealer: Sealer | None = None) -> Decoded:
    """Return the content of an element of a session's list.

    Args:
        element: the element.
        sealer: decrypts the record if it is encrypted.

    Raises:
        CorruptRecordError: the record is damaged or of a newer format.
    """
    try:
        return _decode(element, sealer)
    except UNREADABLE as error:
        raise CorruptRecordError(_reason(error)) from error


def record_of(element: bytes) -> bytes:
    """Return an element's record, without position and base64.

    Raises:
        ValueError: the element holds no record.
    """
    _, colon, record = element.partition(_COLON)
    if not colon:
        raise ValueError("it was not written by chatmem")
    return binascii.a2b_base64(record, strict_mode=True) if record[:1] == b"A" else record


def plain_record(element: bytes, sealer: Sealer | None = None) -> bytes:
    """Return an element's record, neither compressed nor encrypted.

    Raises:
        CorruptRecordError: the element holds no record, or the record cannot be decrypted or decompressed.
    """
    try:
        record = element if element[:1] == b"{" else record_of(element)
        if record[:1] == b"{":
            return encode(_decode_json(record, sealer).message, 0, now()).record
        _, data, start = _opened(element, record, sealer)
        return record[:1] + bytes([record[1] & ~(COMPRESSED | SEALED)]) + record[2:HEADER_SIZE] + data[start:]
    except UNREADABLE as error:
        raise CorruptRecordError(_reason(error)) from error


def encoded(record: bytes) -> Encoded:
    """Return a record from `plain_record`, ready to be appended.

    Raises:
        CorruptRecordError: the record cannot be read.
    """
    record = plain_record(b"0:" + record)
    message_id = decode(b"0:" + record).id
    return Encoded(field(message_id) if message_id else b"", record)


def _opened(element: bytes, record: bytes, sealer: Sealer | None) -> tuple[tuple[int, ...], bytes, int]:
    """Return the fields of the header of an element's record, and id and body: bytes, and where in them these begin."""
    header = version, flags, *_ = _unpack(record)
    if version != FORMAT:
        raise ValueError(f"it is of format {version}, but this chatmem reads format {FORMAT}: upgrade chatmem")
    if flags & ~_KNOWN:
        raise ValueError("a newer chatmem wrote it: upgrade chatmem")
    data, start, only_given = record, HEADER_SIZE, False
    if flags & SEALED:
        if sealer is None:
            raise no_key(record)
        position = position_of(element)
        if position is None:
            raise ValueError("it is encrypted, but its position is missing")
        data, start, only_given = sealer.open(record, position), 0, not is_bound(record)
    else:
        _check_plain(sealer)
    if flags & COMPRESSED:
        data, start = decompress(data[start:], only_given=only_given), 0
    return header, data, start


def _check_plain(sealer: Sealer | None) -> None:
    if sealer is not None and not sealer.ring.read_plain:
        raise not_sealed()


def _decode(element: bytes, sealer: Sealer | None) -> Decoded:
    record = element if element[:1] == b"{" else record_of(element)
    if record[:1] == b"{":
        return _decode_json(record, sealer)
    (_, flags, code, mask, created, id_length), data, start = _opened(element, record, sealer)
    end = start + id_length
    if len(data) < end:
        raise ValueError("it is cut short")
    message_id = data[start:end].decode("utf-8", "surrogatepass") if flags & HAS_ID else None
    load = messages.load_extended if flags & EXTENDED else messages.load
    message = load(BY_CODE[code], mask, message_id, messages.body_at(data, end))
    return Decoded(message_id, _time_of(created), message, bool(flags & SEALED))


def _time_of(created: int) -> datetime | None:
    try:
        return to_datetime(created)
    except OverflowError:  # a message with a damaged time is still readable, as on the fast path
        return None


def _decode_json(data: bytes, sealer: Sealer | None) -> Decoded:
    """Read a message that LangChain's own classes stored. chatmem did not write it, so it is validated."""
    _check_plain(sealer)
    written = json.loads(data.decode("utf-8", "surrogatepass"))  # given bytes, it would guess encodings
    _complete(written)
    check_arguments(written)
    (message,) = messages_from_dict([written])
    if message.model_extra and message.model_extra.get("example") is False:  # langchain-core 0.3's default
        del message.model_extra["example"]
        message.model_fields_set.discard("example")
    return Decoded(message.id, None, message)


def _complete(written: dict[str, Any]) -> None:
    """Turn a message of LangChain JS, also in its first format, into one that LangChain for Python reads."""
    if written.get("data") is None:
        if "text" not in written:
            raise ValueError("it has neither data nor text")
        written["data"] = {"content": written["text"]}
        if written.get("role") is not None:
            written["data"]["role"] = written["role"]
            if written["type"] not in _FIRST_TYPES:
                written["type"] = "chat"
    if written["type"] == "generic":
        written["type"] = "chat"
    if written["type"] == "ai" and isinstance(written["data"], dict):  # in JS, messages with tool calls may have none
        written["data"].setdefault("content", "")


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "it is not a LangChain message: " + "; ".join(e["msg"] for e in error.errors(include_input=False))
    if isinstance(error, KeyError):
        return f"it lacks {error}" if isinstance(error.args[0], str) else "it is of an unknown kind"
    return f"the record cannot be read: {str(error) or type(error).__name__}"
