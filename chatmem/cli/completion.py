"""What the shell offers at TAB where a session's id is wanted."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress

import typer

_SECONDS = 0.5
_MOST = 100
_SAFE = re.compile(r"[\w@%+=,./~-]+")
"""The shell takes what it is offered as it is: nothing in an id may be a command to it, or end a word."""


def session_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return ids that begin so: what one server says in half a second, and nothing where there is any trouble.

    A server that must be started first, a cluster, and REST are not asked.
    """
    url = ctx.params.get("url") or os.environ.get("CHATMEM_URL") or ""
    prefix = ctx.params.get("prefix") or os.environ.get("CHATMEM_PREFIX") or "chatmem"
    if not url.startswith(("redis://", "rediss://", "unix://")):
        return []
    from redis.exceptions import RedisError  # noqa: PLC0415 - the shell calls this for every TAB

    with suppress(RedisError, ValueError, OSError):
        return sorted(one for one in _ask(url, prefix, incomplete) if _SAFE.fullmatch(one))
    return []


def _ask(url: str, prefix: str, incomplete: str) -> set[str]:
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
            if not cursor or len(found) >= _MOST or time.monotonic() > end:
                return found
