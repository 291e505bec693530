"""Annotations as scripts keep them: pairs of a key and a value, which are merged without being understood.

A key is written as JSON, and so is a value. With encryption, a keyed hash stands for the key, and key and value are
sealed together, bound to the message's position.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from chatmem.codec.encryption import is_sealed_text, not_sealed
from chatmem.core.checks import from_json, to_json
from chatmem.core.session import Session
from chatmem.model import Entry
from chatmem.scripts.calls import Part

_logger = logging.getLogger("chatmem")


def encoded(values: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return keys and values as JSON; the value is empty where the key is to be removed.

    Raises:
        EncodingError: JSON cannot represent a value.
        ValueError: a key is not a non-empty string.
    """
    pairs = []
    for key, value in values.items():
        if not isinstance(key, str) or not key:
            raise ValueError(f"annotations must have non-empty strings as keys, not {key!r}")
        pairs.append((json.dumps(key).encode(), b"" if value is None else to_json(value, "annotations")))
    return pairs


def sealed(session: Session, pairs: Iterable[tuple[bytes, bytes]], position: int) -> Iterable[Part]:
    """Yield the pairs as scripts take them; with encryption, encrypted for the message at a position."""
    for key, value in pairs:
        if session.sealer is None:
            yield Part(key, b"", value)
            continue
        ring = session.sealer.ring
        text = b"[%b,%b]" % (key, value) if value else b""
        yield Part(ring.digest(key), b"", session.sealer.seal_text(_name(position), text))
        for old in (key, *ring.old_digests(key)):  # what was stored in plain text, or with an older key
            yield Part(old, b"", b"")


def resealed(session: Session, text: bytes, position: int) -> list[Part]:
    """Return what encrypts stored annotations with the newest key, if they are still the stored ones then."""
    parts = list[Part]()
    for line in text.splitlines():
        stored, _, value = line.partition(b"\t")
        try:
            key, found = _opened(session, stored, value, position)
        except ValueError:  # it stays as it is
            continue
        new, *_others = sealed(session, encoded({key: found}), position)
        if stored == new.id:
            parts.append(Part(stored, value, new.record))
        else:
            parts += [new, Part(stored, value, b"")]
    return parts


def packed(session: Session, values: Mapping[str, Any], position: int) -> bytes:
    """Return annotations as scripts keep them; with encryption, encrypted for the message at a position."""
    return b"".join(
        b"%b\t%b\n" % (part.id, part.record) for part in sealed(session, encoded(values), position) if part.record
    )


def annotated(session: Session, entry: Entry, text: bytes) -> Entry:
    """Return an entry with its annotations; those that cannot be read are left out, with a warning."""
    values = {}
    for line in text.splitlines():
        key, _, value = line.partition(b"\t")
        try:
            name, found = _opened(session, key, value, entry.seq)
        except ValueError as error:
            what = "left out an unreadable annotation of the message at position %d: key %s: %s"
            _logger.warning(what, entry.seq, session.key, error)
        else:
            values[name] = found
    return replace(entry, annotations=values)


def _opened(session: Session, key: bytes, value: bytes, position: int) -> tuple[str, Any]:
    if is_sealed_text(value):
        if session.sealer is None:
            raise ValueError("it is encrypted: connect with encryption=chatmem.KeyRing(...)")
        name, found = from_json(session.sealer.open_text(_name(position), value), list)
        return name, found
    if session.sealer is not None and not session.sealer.ring.read_plain:
        raise not_sealed()
    return from_json(key, str), from_json(value)


def _name(position: int) -> str:
    return f"annotation {position}"
