"""A server's keys: their types, and matching them with Redis' globs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from chatmem.backends.admin import Server
from chatmem.core.keys import looks_own

T = TypeVar("T")

AT_ONCE = 200
"""The number of keys whose types are read in one round trip."""
_GLOB = re.compile(rb"\\(?P<plain>.)|\[(?P<not>\^?)(?P<set>(?:\\.|[^\]])+)\]|(?P<many>\*+)|(?P<one>\?)", re.DOTALL)
_RANGE = re.compile(rb"\\?(.)(?:-\\?(.))?", re.DOTALL)


def typed(server: Server, prefix: bytes, pattern: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys that match a prefix and a glob after it, with their types, but not chatmem's own keys."""
    for part in batches(server.scan(prefix, pattern, b"")):
        for key, kind in zip(part, server.run(*(("TYPE", key) for key in part)), strict=True):
            if kind != b"none" and not _is_own(server, key, kind):
                yield key, kind


def _is_own(server: Server, key: bytes, kind: bytes) -> bool:
    if not looks_own(key, kind):
        return False
    return kind != b"list" or re.match(rb"\d+:", b"".join(*server.run(("LRANGE", key, b"0", b"0")))) is not None


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items in lists of at most `AT_ONCE`."""
    rest = iter(items)
    while part := list(islice(rest, AT_ONCE)):
        yield part


def matcher(glob: bytes) -> re.Pattern[bytes]:
    """Return a pattern whose full matches are what Redis matches with a glob."""
    parts, at = [], 0
    for found in _GLOB.finditer(glob):
        parts += [re.escape(glob[at : found.start()]), _part(found)]
        at = found.end()
    return re.compile(b"".join([*parts, re.escape(glob[at:])]), re.DOTALL)


def _part(found: re.Match[bytes]) -> bytes:
    if found["many"]:
        return b".*"
    if found["one"]:
        return b"."
    if found["plain"]:
        return re.escape(found["plain"])
    ranges = (sorted((low, high or low)) for low, high in _RANGE.findall(found["set"]))
    return b"[%b%b]" % (found["not"], b"".join(re.escape(low) + b"-" + re.escape(high) for low, high in ranges))
