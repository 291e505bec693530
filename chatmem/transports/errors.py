"""Translates redis-py's errors and servers' error replies into chatmem's errors, and says which ones to retry."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, NamedTuple

from redis import exceptions as redis_errors
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.sentinel import MasterNotFoundError

from chatmem.errors import ChatMemError, CorruptRecordError, UnavailableError, UnsupportedError

REDIS_ERRORS = (redis_errors.RedisError, redis_errors.RedisClusterException, OSError)
"""What a redis-py client raises, including time-outs and lost connections."""


class Retry(Enum):
    """Whether to retry the same commands. That is always safe: all that chatmem sends may be sent twice."""

    NO = "a person has to do something first"
    SOON = "the connection was lost or could not be opened: another one may work"
    LATER = "the server said that it cannot serve this now"
    UNSURE = "what answers may not be Redis"


class _Kind(NamedTuple):
    """A kind of failure."""

    pattern: str
    """matches its text"""
    error: type[ChatMemError]
    says: str
    """the message: what is wrong, and the fix"""
    retry: Retry = Retry.NO


_NO_RIGHTS = "the server refused: this user lacks a right that chatmem needs; grant those that docs/deployment.md lists"
_KINDS = (
    _Kind(
        r"NOAUTH|WRONGPASS|unauthenticated|invalid (?:username-)?password|AUTH\b.*(?:no password|without any password)"
        r"|arguments for '(?i:auth)'|Authentication required",
        UnavailableError,
        "the server refused this user or password: correct the login in the url or client",
    ),
    _Kind(
        r"NOPERM|ACL failure|no permissions|not allowed to (?:run|access)|user executing the script can't",
        UnavailableError,
        _NO_RIGHTS,
    ),
    _Kind(
        r"DENIED|protected mode",
        UnavailableError,
        "the server refused this connection: it takes only local ones until it has a password; set requirepass",
    ),
    _Kind(
        r"WRONGTYPE",
        CorruptRecordError,
        "a key of this session holds data that chatmem did not write: remove it, or connect with another prefix",
    ),
    _Kind(
        r"OOM",
        UnavailableError,
        "the server is out of memory and refused the command: raise its maxmemory, or remove data",
    ),
    _Kind(
        r"MISCONF",
        UnavailableError,
        "the server cannot serve this now: it cannot save to its disk, and takes no writes until it can; free its disk",
    ),
    _Kind(r"LOADING", UnavailableError, "the server cannot serve this now: it is still reading its data", Retry.LATER),
    _Kind(r"BUSY", UnavailableError, "the server cannot serve this now: a long script blocks it", Retry.LATER),
    _Kind(
        r"READONLY|REDIRECT|WAIT cannot be used with replica",
        UnavailableError,
        "the server cannot serve this now: it is a replica; connect to its master, or with a redis+sentinel:// url",
        Retry.LATER,
    ),
    _Kind(
        r"MASTERDOWN|NOMASTERLINK|INPROG",
        UnavailableError,
        "the server cannot serve this now: it is failing over, or a replica that lost its master",
        Retry.LATER,
    ),
    _Kind(
        r"NOREPLICAS",
        UnavailableError,
        "the server cannot serve this now: fewer replicas follow it than its min-replicas-to-write",
        Retry.LATER,
    ),
    _Kind(
        r"UNBLOCKED",
        UnavailableError,
        "the server ended the wait for replicas: the write is done on the master, but not confirmed; retry it",
        Retry.LATER,
    ),
    _Kind(
        r"CLUSTERDOWN|TRYAGAIN",
        UnavailableError,
        "the server cannot serve this now: its cluster is failing over or moves slots",
        Retry.LATER,
    ),
    _Kind(
        r"max number of clients|max(?:imum)? concurrent connections|[Tt]oo many (?:open )?(?:connections|clients)\b.*"
        r"|max connections|Connection not ready",  # which redis-py says where an error came before a command
        UnavailableError,
        "the server has as many connections as it allows: close some, or raise its maxclients",
        Retry.LATER,
    ),
    _Kind(
        r"MOVED|ASK",
        UnsupportedError,
        "the server is a node of a cluster: connect with a redis+cluster:// url, or pass a RedisCluster as client=",
    ),
    _Kind(
        r"Cluster mode is not enabled|cluster support disabled",
        UnsupportedError,
        "the server is not a cluster: connect with a redis:// url",
    ),
    _Kind(
        r"CROSSSLOT",
        UnsupportedError,
        "the server is a cluster behind a proxy that spreads the keys of one session: use one that honours hash tags",
    ),
    _Kind(
        r"(?i:unknown command|unknown redis command).{0,4}HELLO|NOPROTO|unsupported protocol version",
        UnsupportedError,
        "the server does not speak RESP3 (Redis before 6 does not): connect with protocol=2",
    ),
    _Kind(
        r"NOSCRIPT|(?i:unknown (?:redis )?(?:sub)?command|(?:unsupported|disallowed|invalid) command|unknown subcommand"
        r"|command .{0,40}is (?:disabled|not supported|not allowed|not available)|this instance has .{0,30}disabled)",
        UnsupportedError,
        "the server lacks a command that chatmem needs: enable it, or use another server",
    ),
    _Kind(
        r"DB index|SELECT is not allowed|invalid DB",
        UnsupportedError,
        "the server has no database of this number: write another number in the url, such as 0",
    ),
    _Kind(
        r"Protocol error: (?:too big|invalid) (?:m?bulk|multibulk)|exceeds maximum allowed size"
        r"|(?i:max request size|size exceeded|request too large)",
        UnsupportedError,
        "the server does not accept a request of this size: append fewer messages at once, or raise proto-max-bulk-len",
    ),
    _Kind(
        r"[Ss]cript killed|SCRIPT KILL",
        UnavailableError,
        "the script was ended on the server (SCRIPT KILL) before it wrote anything: retry",
    ),
    _Kind(
        r"LIMITED|THROTTLED|(?i:limit exceeded|rate limit|too many requests|quota)",
        UnavailableError,
        "the server cannot serve this now: its plan allows no more requests; wait, or raise the limit",
    ),
    _Kind(
        r"no upstream host|upstream (?:failure|protocol error|connection)|(?i:err:? (?:connection|host is|server closed"
        r"|backend|peer|broken pipe|no route|operation timed|proxy))|backend conn"
        r"|(?i:temporarily unavailable|service unavailable|bad gateway|gateway time-?out|internal server error)",
        UnavailableError,
        "the server cannot serve this now: the proxy before it cannot reach it",
        Retry.LATER,
    ),
    _Kind(
        r"does not speak TLS",
        UnavailableError,
        "the server could not be reached: begin the url with redis instead of rediss",
    ),
    _Kind(
        r"No connection available",
        UnavailableError,
        "all connections of this client are in use: raise max_connections, or make fewer calls at the same time",
    ),
)
_ANY = re.compile(
    "|".join(rf"(?P<k{number}>(?<![A-Za-z])(?:{kind.pattern})(?![A-Za-z]))" for number, kind in enumerate(_KINDS))
)
_SILENT = _Kind("", UnavailableError, "the server could not be reached", Retry.SOON)
_STRANGE = _Kind(
    "",
    UnavailableError,
    "the server could not be reached: what answers there is not Redis; check host and port",
    Retry.UNSURE,
)
_OTHER = _Kind(
    "",
    UnsupportedError,
    "the server refused a command with an error that chatmem does not know (is it Redis or Valkey?)",
)
_CODES: tuple[tuple[type[Exception], str], ...] = (
    (redis_errors.MaxConnectionsError, "No connection available"),
    (redis_errors.AuthorizationError, "NOPERM"),
    (redis_errors.NoPermissionError, "NOPERM"),
    (redis_errors.AuthenticationError, "WRONGPASS"),
    (redis_errors.AuthenticationWrongNumberOfArgsError, "WRONGPASS"),
    (redis_errors.OutOfMemoryError, "OOM"),
    (redis_errors.ReadOnlyError, "READONLY"),
    (redis_errors.BusyLoadingError, "LOADING"),
    (redis_errors.MasterDownError, "MASTERDOWN"),
    (redis_errors.ClusterDownError, "CLUSTERDOWN"),
    (redis_errors.TryAgainError, "TRYAGAIN"),
    (redis_errors.NoScriptError, "NOSCRIPT"),
    (redis_errors.AskError, "MOVED"),
    (redis_errors.ClusterCrossSlotError, "CROSSSLOT"),
)
"""redis-py's classes for error replies, and the code that it removes from their texts."""
_LOST = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.RedisClusterException,
    redis_errors.ClusterError,
    OSError,
)


def translate(error: Exception) -> ChatMemError:
    """Return chatmem's error for one of redis-py's. Raise it `from` the original."""
    _forget_clients(error)
    kind = _kind_of(error)
    if kind.error is CorruptRecordError:
        return CorruptRecordError(kind.says)
    text = str(error).partition(", with args beginning with")[0] or type(error).__name__
    translated = kind.error(f"{kind.says}: {text}")
    if isinstance(translated, UnavailableError):
        translated.lacks_right = kind.says == _NO_RIGHTS
    return translated


def retry_of(error: ChatMemError) -> Retry:
    """Return whether to retry the commands that failed with this error."""
    cause = error.__cause__
    return _kind_of(cause).retry if isinstance(cause, Exception) else Retry.NO


def _kind_of(error: Exception) -> _Kind:
    text = f"ERR {error}" if isinstance(error, redis_errors.ResponseError) else str(error)  # redis-py removes ERR
    for known, code in _CODES:
        if isinstance(error, known):
            text = f"{code} {text}"
            break
    # the first match counts: scripts put words before the code, and after it there may be names of keys
    if (found := _ANY.search(text)) is not None and found.lastgroup is not None:
        return _KINDS[int(found.lastgroup[1:])]
    if isinstance(error, redis_errors.InvalidResponse):
        return _STRANGE
    return _SILENT if isinstance(error, _LOST) else _OTHER


def _forget_clients(error: BaseException | None) -> None:
    """Remove the sentinels' clients, which redis-py 6 shows with their passwords if no sentinel knows the master."""
    while isinstance(error, MasterNotFoundError | AsyncMasterNotFoundError):
        error.args = (str(error).partition(" : ")[0],)
        error = error.__cause__


def checked(replies: list[Any]) -> list[Any]:
    """Return the replies.

    Raises:
        ChatMemError: a reply is an error; it is the first one's.
    """
    for index, reply in enumerate(replies):
        if isinstance(reply, Exception):
            error = translate(reply)
            if index and not isinstance(error, CorruptRecordError):
                error.args = (
                    f"{error.args[0]} (command {index + 1} of {len(replies)} failed; those before it were done)",
                )
            raise error from reply
    return replies
