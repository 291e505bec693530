"""redis-py's exceptions -> chatmem's."""

from __future__ import annotations

from redis import exceptions as redis_errors

from chatmem.errors import ChatMemError, CorruptRecordError, UnavailableError, UnsupportedError

REDIS_ERRORS = (redis_errors.RedisError, OSError)
"""What a redis-py client raises; its time-outs and lost connections among them."""

_REFUSED = ("NOAUTH", "WRONGPASS", "NOPERM")
_NOT_NOW = ("OOM", "LOADING", "BUSY", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS")


def translate(error: Exception) -> ChatMemError:
    """Return chatmem's error for one of redis-py's; raise it `from` the original."""
    text = str(error)
    if isinstance(error, redis_errors.AuthenticationError | redis_errors.AuthorizationError | redis_errors.NoPermissionError):
        return UnavailableError(f"the server refused this user or password: {text}")
    if isinstance(error, redis_errors.ConnectionError | redis_errors.TimeoutError | OSError):
        return UnavailableError(f"the server could not be reached: {text or type(error).__name__}")
    if "WRONGTYPE" in text:
        return CorruptRecordError("a key of this session holds something that chatmem did not write")
    if isinstance(error, redis_errors.OutOfMemoryError) or "OOM" in text:
        return UnavailableError("the server is out of memory (maxmemory); nothing was stored")
    if text.startswith(_REFUSED) or "NOPERM" in text or "NOAUTH" in text:
        return UnavailableError(f"the server refused the command: {text}")
    if isinstance(error, redis_errors.ReadOnlyError | redis_errors.BusyLoadingError) or text.startswith(_NOT_NOW):
        return UnavailableError(f"the server cannot serve this now: {text}")
    if "unknown command" in text:
        return UnsupportedError(f"the server lacks a command that chatmem needs: {text}")
    return ChatMemError(f"the server answered with an error: {text}")
