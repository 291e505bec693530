"""Shell completion of session ids."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress

import typer

_SECONDS = 0.5
_ENOUGH = 100
_SAFE = re.compile(r"[\w@%+=,./~-]+")
"""Ids that a shell takes as one word. It inserts them unquoted, so they must not end a word or run a command."""


def session_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return ids that begin with what was typed: those that one server names within half a second.

    Return none if anything goes wrong, and for embedded servers (which would have to be started), clusters and REST.
    """
    url = ctx.params.get("url") or os.environ.get("CHATMEM_URL") or ""
    prefix = ctx.params.get("prefix") or os.environ.get("CHATMEM_PREFIX") or "chatmem"
    if not url.startswith(("redis://", "rediss://", "unix://")):
        return []
    from redis.exceptions import RedisError  # noqa: PLC0415 - imported by this completion only, as it costs time

    with suppress(RedisError, ValueError, OSError):
        return sorted(one for one in _scan(url, prefix, incomplete) if _SAFE.fullmatch(one))
    return []


def _scan(url: str, prefix: str, incomplete: str) -> set[str]:
    import redis  # noqa: PLC0415 - as above
    from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
    from redis.retry import Retry  # noqa: PLC0415 - as above

    from chatmem.core.keys import escape, literal, session_glob, session_of  # noqa: PLC0415 - as above

    end = time.monotonic() + _SECONDS
    found, cursor = set[str](), 0
    match = session_glob(prefix, literal(escape(incomplete)) + b"*")
    options = {"protocol": 2, "socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
    with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options) as client:
        while True:
            cursor, keys = client.scan(cursor, match, count=1000)
            found.update(session for key in keys if (session := session_of(prefix, key)) is not None)
            if not cursor or len(found) >= _ENOUGH or time.monotonic() > end:
                return found
