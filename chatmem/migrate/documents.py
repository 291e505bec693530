"""langchain-redis' documents: a JSON document a message, which takes a server with ReJSON to read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from langchain_core.messages import messages_from_dict

from chatmem.migrate.content import Content, Source, Unreadable
from chatmem.migrate.server import Server

_ULID = 26
_AT_ONCE = 200
_REMOVE = b"""
if redis.call('JSON.GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
"""


class Documents:
    """Prefix, session id, colon and a ULID are a message's key."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode()

    def find(self, server: Server, match: str) -> Iterator[Source]:
        """Yield the sessions whose ids match a glob. Holds all their keys in memory."""
        sessions: dict[bytes, list[bytes]] = defaultdict(list)
        for key in server.scan(self._prefix, match.encode() + b":" + b"?" * _ULID, b""):
            (kind,) = server.run(("TYPE", key))
            if kind == b"ReJSON-RL":
                sessions[key[len(self._prefix) : -_ULID - 1]].append(key)
        for session, keys in sessions.items():
            yield Source(session.decode("utf-8", "surrogateescape"), tuple(sorted(keys)))

    def read(self, server: Server, source: Source) -> Content | None:
        """Return what a session holds, oldest first; None where it is gone."""
        content = Content(ttl=0)
        found = []
        for key, raw, left in self._documents(server, source):
            content.raw.append(raw)
            content.ttl = None if left < 0 or content.ttl is None else max(content.ttl, left)
            try:
                found.append((*_parse(raw, source.session), key))
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                content.unreadable.append(Unreadable(key, 0, f"it is no document of a message: {type(error).__name__}"))
        for created, written, key in sorted(found, key=lambda one: (one[0], one[2])):
            try:
                (message,) = messages_from_dict([written])
            except (ValueError, KeyError, TypeError) as error:
                reason = str(error).splitlines()[0]
                content.unreadable.append(Unreadable(key, 0, f"it is no LangChain message: {reason}"))
            else:
                content.add(message, created)
        return content if content.raw else None

    @staticmethod
    def _documents(server: Server, source: Source) -> Iterator[tuple[bytes, bytes, int]]:
        for start in range(0, len(source.keys), _AT_ONCE):
            keys = source.keys[start : start + _AT_ONCE]
            commands = [command for key in keys for command in (("JSON.GET", key), ("PTTL", key))]
            replies = server.run(*commands)
            for key, raw, left in zip(keys, replies[::2], replies[1::2], strict=True):
                if raw is not None and left != -2:
                    yield key, raw, left

    def remove(self, server: Server, source: Source, content: Content) -> bool:
        """Remove a session's documents where they are still what was read; return whether all were."""
        removed = [
            server.run(("EVAL", _REMOVE, b"1", key, raw))[0] for key, raw in zip(source.keys, content.raw, strict=True)
        ]
        return all(removed)


def _parse(raw: bytes, session: str) -> tuple[int, dict[str, Any]]:
    """Return when the document was written, in microseconds, and the message in it as LangChain's dict."""
    document = json.loads(raw)
    if document["session_id"] != session:
        raise ValueError("it is another session's")
    return int(document["timestamp"] * 1_000_000), {"type": document["type"], "data": document["data"]}
