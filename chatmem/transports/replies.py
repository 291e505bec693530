"""Reading replies with hiredis, for the connections that chatmem reads itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import hiredis
from redis import exceptions as redis_errors

MORE = object()
"""What a reader gives where a reply is not complete."""
_CLASSES: dict[str, type[redis_errors.ResponseError]] = {
    "NOSCRIPT": redis_errors.NoScriptError,
    "READONLY": redis_errors.ReadOnlyError,
    "MOVED": redis_errors.MovedError,
    "ASK": redis_errors.AskError,
    "TRYAGAIN": redis_errors.TryAgainError,
    "CLUSTERDOWN": redis_errors.ClusterDownError,
}


def new_reader() -> hiredis.Reader:
    """Return a reader whose error replies are redis-py's exceptions, and whose other replies are bytes."""
    return hiredis.Reader(protocolError=redis_errors.InvalidResponse, replyError=error_of, notEnoughData=MORE)


def error_of(text: str) -> redis_errors.ResponseError:
    """Return the exception for an error reply."""
    code, _, rest = text.partition(" ")
    return _CLASSES[code](rest) if code in _CLASSES else redis_errors.ResponseError(text)


def refusal(replies: Iterable[Any]) -> Exception | None:
    """Return the error reply that says why the server hung up, if one does. That a script is missing is no reason."""
    errors = (reply for reply in replies if isinstance(reply, Exception))
    return next((error for error in errors if not isinstance(error, redis_errors.NoScriptError)), None)
