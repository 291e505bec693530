"""The fields of the lines of `jsonl`."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chatmem.codec import record
from chatmem.codec.record import Encoded

_MOST = 2**49


class LineError(Exception):
    """A line cannot be read; the message says why."""


def field(row: Mapping[str, Any], name: str, kind: Any) -> Any:
    """Return a field's value, or None if the line lacks it.

    Raises:
        LineError: the value has another type.
    """
    value = row.get(name)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise LineError(f'"{name}" has the wrong type')


def position(row: Mapping[str, Any], name: str) -> int | None:
    """Return the value of a field that holds a position or a number of branches, or None if the line lacks it.

    Raises:
        LineError: the value is none.
    """
    value: int | None = field(row, name, int)
    if value is not None and not 0 <= value < _MOST:
        raise LineError(f'"{name}" is out of range')
    return value


def time_of(text: str | None) -> int | None:
    """Return a time in microseconds since 1970.

    Raises:
        LineError: the text is not a time.
    """
    try:
        return None if text is None else record.from_datetime(datetime.fromisoformat(text))
    except (ValueError, TypeError) as error:  # not a time, or one without a time zone
        raise LineError(f"{text!r} is not a time: {error}") from None


def written_record(plain: bytes) -> str:
    """Return a plain record as a line holds it."""
    return binascii.b2a_base64(plain, newline=False).decode()


def read_record(text: Any) -> Encoded:
    """Return the message of a record.

    Raises:
        CorruptRecordError, LineError: it cannot be read.
    """
    try:
        return record.encoded(binascii.a2b_base64(text, strict_mode=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise LineError(f'"record" is not base64: {error}') from None
