"""What a memory does with every session in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, get_args

from chatmem.keys import check_prefix

Refresh = Literal["write", "read", "never"]

_MAX_TTL = timedelta(days=36_500)


@dataclass(frozen=True)
class Policy:
    """The rules of a memory, checked.

    Args:
        prefix: what the memory's keys begin with.
        ttl: seconds or a `timedelta` after which a session expires; None for never.
        refresh: what restarts the time: "write" an append, "read" an append or a read, "never" nothing.

    Raises:
        ValueError: an argument is wrong.
    """

    prefix: str = "chatmem"
    ttl: float | timedelta | None = None
    refresh: Refresh = "write"
    ttl_argument: bytes = field(init=False)
    """the TTL as scripts take it: milliseconds, or empty"""

    def __post_init__(self) -> None:
        check_prefix(self.prefix)
        if self.refresh not in get_args(Refresh):
            raise ValueError(f'ttl_refresh must be "write", "read" or "never", not {self.refresh!r}')
        object.__setattr__(self, "ttl_argument", _milliseconds(self.ttl))


def _milliseconds(ttl: float | timedelta | None) -> bytes:
    if ttl is None:
        return b""
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _MAX_TTL.total_seconds():
        raise ValueError(f"ttl must be seconds or a timedelta, more than 0 and at most 100 years, not {ttl!r}")
    return b"%d" % math.ceil(seconds * 1000)
