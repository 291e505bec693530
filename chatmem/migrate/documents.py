"""langchain-redis' layout: a JSON document for each message. Reading it needs a server with RedisJSON."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from chatmem.backends.admin import Server
from chatmem.codec.record import to_datetime
from chatmem.errors import CorruptRecordError
from chatmem.migrate.content import Content, OtherKey, Source, Unreadable
from chatmem.migrate.keys import batches, matcher, typed
from chatmem.migrate.lists import langchain_message

_REMOVE = b"""
if redis.call('JSON.GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
"""


class Documents:
    """Documents that name their session and the time of writing.

    Keys alone do not tell: after prefix, session id and colon, langchain-redis wrote the time up to 0.2.1, and a ULID
    since. Its own class has always read both from the document.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode()

    def find(self, server: Server, match: str) -> Iterator[Source | OtherKey]:
        """Yield the sessions whose ids match a glob, and the keys that are not documents. Keeps all keys in memory."""
        sessions: dict[str, list[bytes]] = defaultdict(list)
        wanted, about = matcher(match.encode()), matcher(match.encode() + b":*")
        for part in batches(typed(server, self._prefix, b"*")):
            documents = [key for key, kind in part if kind == b"ReJSON-RL"]
            replies = server.run(*(("JSON.GET", key, "$.session_id") for key in documents)) if documents else ()
            named = dict(zip(documents, map(_session, replies), strict=True))
            for key, kind in part:
                session = named.get(key)
                if session is not None:
                    if wanted.fullmatch(session.encode("utf-8", "surrogatepass")):
                        sessions[session].append(key)
                    continue
                rest = key[len(self._prefix) :]
                if wanted.fullmatch(rest) or about.fullmatch(rest):
                    yield OtherKey(key, "JSON that names no session" if key in named else kind.decode())
        for name, keys in sessions.items():
            yield Source(name, tuple(sorted(keys)))

    def read(self, server: Server, source: Source) -> Content | None:
        """Return a session's content, oldest message first; None if the session is gone."""
        content = Content(ttl=0)
        found = []
        for key, raw, left in self._documents(server, source):
            content.raw.append(raw)
            content.keys.append(key)
            content.ttl = None if left < 0 or content.ttl is None else max(content.ttl, left)
            try:
                found.append((*_parse(raw, source.session), key))
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
                what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                content.unreadable.append(Unreadable(key, 0, f"not a document with a message: {what}"))
        for created, written, key in sorted(found, key=lambda one: (one[0], one[2])):
            try:
                content.add(langchain_message(json.dumps(written).encode()), created)
            except CorruptRecordError as error:
                content.unreadable.append(Unreadable(key, 0, str(error)))
        return content if content.raw else None

    @staticmethod
    def _documents(server: Server, source: Source) -> Iterator[tuple[bytes, bytes, int]]:
        for keys in batches(source.keys):
            commands = [command for key in keys for command in (("JSON.GET", key), ("PTTL", key))]
            replies = server.run(*commands)
            for key, raw, left in zip(keys, replies[::2], replies[1::2], strict=True):
                if raw is not None and left != -2:
                    yield key, raw, left

    def remove(self, server: Server, source: Source, content: Content) -> bool:
        """Remove a session's documents unless they have changed since; return whether all were removed."""
        removed = [
            server.run(("EVAL", _REMOVE, b"1", key, raw))[0] for key, raw in zip(content.keys, content.raw, strict=True)
        ]
        return all(removed)


def _session(reply: bytes | None) -> str | None:
    """Return the session that a document names, or None."""
    found = json.loads(reply) if reply else []
    return found[0] if found and isinstance(found[0], str) else None


def _parse(raw: bytes, session: str) -> tuple[int, dict[str, Any]]:
    """Return when the document was written, in microseconds, and the message in it as LangChain's dict."""
    document = json.loads(raw)
    if document["session_id"] != session:
        raise ValueError("it belongs to another session")
    written = int(document["timestamp"] * 1_000_000)
    to_datetime(written)
    return written, {"type": document["type"], "data": document["data"]}
