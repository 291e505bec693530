"""chatmem's errors that are redis-py's too, so that code around the replaced classes still catches them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions as redis_errors

from chatmem.errors import ChatMemError, CorruptRecordError, UnavailableError, UnsupportedError


class _Shown:
    """Shows the message in `repr`, which redis-py's errors leave out."""

    __repr__ = Exception.__repr__


class ServerConnectionError(_Shown, UnavailableError, redis_errors.ConnectionError):
    """The server could not be reached, or the connection was lost."""


class ServerLoginError(_Shown, UnavailableError, redis_errors.AuthenticationError):
    """The server refused the user or the password."""


class ServerTimeoutError(_Shown, UnavailableError, redis_errors.TimeoutError):
    """The server did not answer in time."""


class ServerRefusedError(_Shown, UnavailableError, redis_errors.ResponseError):
    """The server refused the command, and may take it later."""


class ServerUnsupportedError(_Shown, UnsupportedError, redis_errors.ResponseError):
    """The server lacks what the call needs."""


class ServerDataError(_Shown, CorruptRecordError, redis_errors.ResponseError):
    """A key holds data of another type."""


_BOTH: tuple[tuple[type[ChatMemError], type[Exception]], ...] = (
    (ServerLoginError, redis_errors.AuthenticationError),
    (ServerTimeoutError, redis_errors.TimeoutError),
    (ServerConnectionError, redis_errors.ConnectionError),
    (ServerRefusedError, redis_errors.ResponseError),
    (ServerUnsupportedError, redis_errors.ResponseError),
    (ServerDataError, redis_errors.ResponseError),
)
"""Classes, and the redis-py error that each also is."""


@contextmanager
def redis_errors_too(key: bytes | None = None) -> Iterator[None]:
    """Raise errors that came from redis-py as errors of both packages, with the key that they are about."""
    try:
        yield
    except ChatMemError as error:
        if key is not None:
            error.key = key.decode("utf-8", "replace")
        both = _as_both(error)
        if both is None:
            raise
        raise both from error.__cause__


def _as_both(error: ChatMemError) -> ChatMemError | None:
    """Return the error as one of both packages; None if redis-py's error is none of those above, or there is none."""
    cause = error.__cause__
    while isinstance(cause, ChatMemError):
        cause = cause.__cause__
    for both, theirs in _BOTH:
        if isinstance(cause, theirs) and type(error) in both.__bases__:
            made = both(error.args[0])
            made.__dict__.update(error.__dict__)
            return made
    return None
