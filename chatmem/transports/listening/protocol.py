"""What is said on a connection that subscribes, in RESP2 and RESP3; the same for asyncio and for blocking code."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from redis.exceptions import AskError, ClusterDownError, MovedError, ResponseError, TryAgainError

SHARDED, PLAIN = "SSUBSCRIBE", "SUBSCRIBE"
"""Servers since Redis 7 have sharded channels, which scripts prefer (`publishing.lua`); earlier ones lack them."""
QUIET = 5.0
"""After so many seconds of silence the server is asked whether it is there; after as many more it is gone."""
REST = 1.0
"""Seconds before a server that could not be listened to is tried again."""
REFUSED_REST = 60.0
"""The same if it refused to subscribe, as it does if the user lacks the right."""


class Heard(NamedTuple):
    """What a reply says."""

    what: Literal["message", "begun", "ended", "other"]
    channel: bytes = b""
    message: bytes = b""


def heard(reply: Any) -> Heard:
    """Return what a reply of the server says."""
    match reply:
        case [b"message" | b"smessage", channel, message]:
            return Heard("message", channel, message)
        case [b"subscribe" | b"ssubscribe", channel, _]:
            return Heard("begun", channel)
        case [b"unsubscribe" | b"sunsubscribe", channel, _]:  # also where a slot has moved to another node
            return Heard("ended", channel)
    return Heard("other")


def is_elsewhere(error: ResponseError) -> bool:
    """Return whether another node of the cluster has the channel."""
    return isinstance(error, MovedError | AskError | TryAgainError | ClusterDownError)
