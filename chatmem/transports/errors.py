"""redis-py's exceptions -> chatmem's."""

from __future__ import annotations

from typing import Any

from redis import exceptions as redis_errors
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.sentinel import MasterNotFoundError

from chatmem.errors import ChatMemError, CorruptRecordError, UnavailableError, UnsupportedError

REDIS_ERRORS = (redis_errors.RedisError, redis_errors.RedisClusterException, OSError)
"""What a redis-py client raises; its time-outs and lost connections among them."""

_UNREACHABLE = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.InvalidResponse,
    redis_errors.RedisClusterException,
    redis_errors.ClusterError,
    OSError,
)
_LOCKED = (redis_errors.AuthenticationError, redis_errors.AuthorizationError, redis_errors.NoPermissionError)
_LOCKED_TEXTS = ("NOAUTH", "WRONGPASS", "NOPERM", "Protocol error: unauthenticated")
_NOT_NOW = (
    redis_errors.ReadOnlyError,
    redis_errors.BusyLoadingError,
    redis_errors.MasterDownError,
    redis_errors.ClusterDownError,
    redis_errors.TryAgainError,
)
_NOT_NOW_TEXTS = (
    *("LOADING", "BUSY", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS"),
    "WAIT cannot be used with replica",  # the master of a moment ago
)


def translate(error: Exception) -> ChatMemError:
    """Return chatmem's error for one of redis-py's; raise it `from` the original.

    redis-py cuts the code off the texts of errors it has a class for, and scripts put words before them.
    """
    _forget_clients(error)
    text = str(error) or type(error).__name__
    if isinstance(error, _LOCKED) or any(part in text for part in _LOCKED_TEXTS):
        return UnavailableError(f"the server refused this user or password: {text}")
    if "WRONGTYPE" in text:
        return CorruptRecordError("a key of this session holds something that chatmem did not write")
    if isinstance(error, redis_errors.OutOfMemoryError) or "OOM " in text:
        return UnavailableError("the server is out of memory (maxmemory); nothing was stored")
    if isinstance(error, _NOT_NOW) or any(part in text for part in _NOT_NOW_TEXTS):
        return UnavailableError(f"the server cannot serve this now: {text}")
    if isinstance(error, _UNREACHABLE):
        return UnavailableError(f"the server could not be reached: {text}")
    if "unknown command" in text:
        return UnsupportedError(f"the server lacks a command that chatmem needs: {text}")
    return ChatMemError(f"the server answered with an error: {text}")


def _forget_clients(error: BaseException | None) -> None:
    """Cut off the sentinels' clients that redis-py 6 shows with their passwords where no sentinel knows the master."""
    while isinstance(error, MasterNotFoundError | AsyncMasterNotFoundError):
        error.args = (str(error).partition(" : ")[0],)
        error = error.__cause__


def checked(replies: list[Any]) -> list[Any]:
    """Return the replies, or raise for the first that is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise translate(reply) from reply
    return replies
