"""What redis-py raises and what servers answer -> chatmem's errors, and whether it is worth another try."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, NamedTuple

from redis import exceptions as redis_errors
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.sentinel import MasterNotFoundError

from chatmem.errors import ChatMemError, CorruptRecordError, UnavailableError, UnsupportedError

REDIS_ERRORS = (redis_errors.RedisError, redis_errors.RedisClusterException, OSError)
"""What a redis-py client raises; its time-outs and lost connections among them."""


class Again(Enum):
    """Whether the same commands are worth another try. All that chatmem sends may be sent twice."""

    NO = "somebody has to do something first"
    SOON = "the connection was lost or could not be opened: another one may serve"
    LATER = "the server said that it cannot serve now"
    UNSURE = "what answers may be something else"


class _Kind(NamedTuple):
    """A kind of failure: how its text is recognised, which error it becomes and what that says to do."""

    pattern: str
    error: type[ChatMemError]
    says: str
    again: Again = Again.NO


_NO_RIGHTS = "the server refused this user, who lacks a right that chatmem needs (docs/deployment.md lists them)"
_KINDS = (
    _Kind(
        r"NOAUTH|WRONGPASS|unauthenticated|invalid (?:username-)?password|AUTH\b.*(?:no password|without any password)"
        r"|arguments for '(?i:auth)'|Authentication required",
        UnavailableError,
        "the server refused this user or password: correct the login",
    ),
    _Kind(
        r"NOPERM|ACL failure|no permissions|not allowed to (?:run|access)|user executing the script can't",
        UnavailableError,
        _NO_RIGHTS,
    ),
    _Kind(
        r"DENIED|protected mode",
        UnavailableError,
        "the server refused this connection: it takes only local ones until it has a password",
    ),
    _Kind(r"WRONGTYPE", CorruptRecordError, "a key of this session holds something that chatmem did not write"),
    _Kind(
        r"OOM",
        UnavailableError,
        "the server is out of memory and refused the command: raise its maxmemory, or remove something",
    ),
    _Kind(
        r"MISCONF",
        UnavailableError,
        "the server cannot serve this now: it cannot save to its disk, and takes no writes until it can",
    ),
    _Kind(r"LOADING", UnavailableError, "the server cannot serve this now: it is still reading its data", Again.LATER),
    _Kind(r"BUSY", UnavailableError, "the server cannot serve this now: a long script holds it up", Again.LATER),
    _Kind(
        r"READONLY|REDIRECT|WAIT cannot be used with replica",
        UnavailableError,
        "the server cannot serve this now: it is a replica; connect to its master, or by redis+sentinel://",
        Again.LATER,
    ),
    _Kind(
        r"MASTERDOWN|NOMASTERLINK|INPROG",
        UnavailableError,
        "the server cannot serve this now: it is failing over, or a replica that lost its master",
        Again.LATER,
    ),
    _Kind(
        r"NOREPLICAS",
        UnavailableError,
        "the server cannot serve this now: fewer replicas follow it than it wants for a write",
        Again.LATER,
    ),
    _Kind(
        r"UNBLOCKED",
        UnavailableError,
        "the server ended the wait for replicas: done on the master, but not confirmed; do the same again",
        Again.LATER,
    ),
    _Kind(
        r"CLUSTERDOWN|TRYAGAIN",
        UnavailableError,
        "the server cannot serve this now: its cluster is failing over or moves slots",
        Again.LATER,
    ),
    _Kind(
        r"max number of clients|max(?:imum)? concurrent connections|[Tt]oo many (?:open )?(?:connections|clients)\b.*"
        r"|max connections|Connection not ready",  # which redis-py says where an error came before a command
        UnavailableError,
        "the server has as many connections as it takes (maxclients): close some, or raise that",
        Again.LATER,
    ),
    _Kind(
        r"MOVED|ASK",
        UnsupportedError,
        "the server is a node of a cluster: connect by redis+cluster://, or pass a RedisCluster",
    ),
    _Kind(
        r"Cluster mode is not enabled|cluster support disabled",
        UnsupportedError,
        "the server is no cluster: connect by redis://",
    ),
    _Kind(
        r"CROSSSLOT",
        UnsupportedError,
        "the server is a cluster behind a proxy, and finds the keys of one call in several slots",
    ),
    _Kind(
        r"(?i:unknown command|unknown redis command).{0,4}HELLO|NOPROTO|unsupported protocol version",
        UnsupportedError,
        "the server knows no RESP3 (Redis before 6 does not): connect with protocol=2",
    ),
    _Kind(
        r"NOSCRIPT|(?i:unknown (?:redis )?(?:sub)?command|(?:unsupported|disallowed|invalid) command|unknown subcommand"
        r"|command .{0,40}is (?:disabled|not supported|not allowed|not available)|this instance has .{0,30}disabled)",
        UnsupportedError,
        "the server lacks a command that chatmem needs",
    ),
    _Kind(
        r"DB index|SELECT is not allowed|invalid DB",
        UnsupportedError,
        "the server has no database of this number: write another one in the url, or 0",
    ),
    _Kind(
        r"Protocol error: (?:too big|invalid) (?:m?bulk|multibulk)|exceeds maximum allowed size"
        r"|(?i:max request size|size exceeded|request too large)",
        UnsupportedError,
        "the server takes no request of this size: append less at once, or raise proto-max-bulk-len",
    ),
    _Kind(
        r"[Ss]cript killed|SCRIPT KILL",
        UnavailableError,
        "somebody ended the script on the server before it wrote anything: do the same again",
    ),
    _Kind(
        r"LIMITED|THROTTLED|(?i:limit exceeded|rate limit|too many requests|quota)",
        UnavailableError,
        "the server cannot serve this now: its plan allows no more; wait, or raise the limit",
    ),
    _Kind(
        r"no upstream host|upstream (?:failure|protocol error|connection)|(?i:err:? (?:connection|host is|server closed"
        r"|backend|peer|broken pipe|no route|operation timed|proxy))|backend conn",
        UnavailableError,
        "the server cannot serve this now: the proxy before it cannot reach it",
        Again.LATER,
    ),
    _Kind(
        r"does not speak TLS",
        UnavailableError,
        "the server could not be reached: begin the url with redis instead of rediss",
    ),
    _Kind(
        r"No connection available",
        UnavailableError,
        "all connections of this client are in use: raise max_connections, or call less at once",
    ),
)
_ANY = re.compile(
    "|".join(rf"(?P<k{number}>(?<![A-Za-z])(?:{kind.pattern})(?![A-Za-z]))" for number, kind in enumerate(_KINDS))
)
_SILENT = _Kind("", UnavailableError, "the server could not be reached", Again.SOON)
_STRANGE = _Kind(
    "",
    UnavailableError,
    "the server could not be reached: what answers there is no Redis (check host and port)",
    Again.UNSURE,
)
_OTHER = _Kind(
    "", UnsupportedError, "the server refused a command in a way that chatmem does not know (is it Redis or Valkey?)"
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
"""redis-py's classes for error replies, and the code that it cuts off their texts."""
_LOST = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.RedisClusterException,
    redis_errors.ClusterError,
    OSError,
)


def translate(error: Exception) -> ChatMemError:
    """Return chatmem's error for one of redis-py's; raise it `from` the original."""
    _forget_clients(error)
    kind = _kind_of(error)
    if kind.error is CorruptRecordError:
        return CorruptRecordError(kind.says)
    text = str(error).partition(", with args beginning with")[0] or type(error).__name__
    translated = kind.error(f"{kind.says}: {text}")
    if isinstance(translated, UnavailableError):
        translated.lacks_right = kind.says == _NO_RIGHTS
    return translated


def again(error: ChatMemError) -> Again:
    """Return whether what ended in this error is worth another try."""
    cause = error.__cause__
    return _kind_of(cause).again if isinstance(cause, Exception) else Again.NO


def _kind_of(error: Exception) -> _Kind:
    text = f"ERR {error}" if isinstance(error, redis_errors.ResponseError) else str(error)  # redis-py cuts that off
    for known, code in _CODES:
        if isinstance(error, known):
            text = f"{code} {text}"
            break
    # the first that the text names: scripts put words before a code, and what comes behind may hold names of keys
    if (found := _ANY.search(text)) is not None and found.lastgroup is not None:
        return _KINDS[int(found.lastgroup[1:])]
    if isinstance(error, redis_errors.InvalidResponse):
        return _STRANGE
    return _SILENT if isinstance(error, _LOST) else _OTHER


def _forget_clients(error: BaseException | None) -> None:
    """Cut off the sentinels' clients that redis-py 6 shows with their passwords where no sentinel knows the master."""
    while isinstance(error, MasterNotFoundError | AsyncMasterNotFoundError):
        error.args = (str(error).partition(" : ")[0],)
        error = error.__cause__


def checked(replies: list[Any]) -> list[Any]:
    """Return the replies, or raise for the first that is an error."""
    for index, reply in enumerate(replies):
        if isinstance(reply, Exception):
            error = translate(reply)
            if index and not isinstance(error, CorruptRecordError):
                error.args = (
                    f"{error.args[0]} (that is command {index + 1} of {len(replies)}: what comes before it was done)",
                )
            raise error from reply
    return replies
