"""Keys of a server: their types, which a glob means, and which are chatmem's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from chatmem.backends.admin import Server
from chatmem.core.keys import literal

T = TypeVar("T")

AT_ONCE = 200
"""How many keys are asked for in one round trip."""
_OWN = {
    b"list": rb".+:\{[^{}]*\}:m(:[^:]+)?",
    b"hash": rb".+:\{[^{}]*\}:(s|i(:[^:]+)?)",
    b"zset": rb".+:user:\{[^{}]*\}(:until)?",
    b"string": rb".+:dictionary:\d+|chatmem:recent:.+",
}
_GLOB = re.compile(rb"\\(?P<plain>.)|\[(?P<not>\^?)(?P<set>(?:\\.|[^\]])+)\]|(?P<many>\*+)|(?P<one>\?)", re.DOTALL)
_RANGE = re.compile(rb"\\?(.)(?:-\\?(.))?", re.DOTALL)


def typed(server: Server, prefix: bytes, pattern: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each key behind the prefix that the glob matches, and its type; none of those that chatmem keeps."""
    for part in batches(server.scan(literal(prefix) + pattern)):
        for key, kind in zip(part, server.run(*(("TYPE", key) for key in part)), strict=True):
            if kind != b"none" and not _is_own(server, key, kind):
                yield key, kind


def _is_own(server: Server, key: bytes, kind: bytes) -> bool:
    if kind not in _OWN or not re.fullmatch(_OWN[kind], key, re.DOTALL):
        return False
    return kind != b"list" or re.match(rb"\d+:", b"".join(*server.run(("LRANGE", key, b"0", b"0")))) is not None


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield the items in lists of at most `AT_ONCE`."""
    rest = iter(items)
    while part := list(islice(rest, AT_ONCE)):
        yield part


def matcher(glob: bytes) -> re.Pattern[bytes]:
    """Return a pattern that matches fully what Redis' glob does."""
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
