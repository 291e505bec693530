"""Lists of messages: langchain-community's, Upstash's, LangChain JS', Memorystore's, and OpenAI's sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

from langchain_core.messages import BaseMessage

from chatmem.backends.admin import Server
from chatmem.codec import record
from chatmem.errors import CorruptRecordError
from chatmem.migrate.content import Content, Left, Source, Unreadable
from chatmem.migrate.keys import matcher, typed

_REMOVE = b"""
local held = redis.call('LRANGE', KEYS[1], 0, -1)
if #held ~= tonumber(ARGV[1]) or redis.sha1hex(table.concat(held, ' ')) ~= ARGV[2] then
  return 0
end
return redis.call('DEL', KEYS[1])
"""


def langchain_message(element: bytes) -> BaseMessage:
    """Return the message of an element as LangChain's classes write it.

    Raises:
        CorruptRecordError: it is none.
    """
    if element[:1] != b"{":
        raise CorruptRecordError("it is no JSON object")
    return record.decode(element).message


class Lists:
    """One list a session: prefix, session id, suffix."""

    def __init__(
        self,
        prefix: str,
        *,
        newest_first: bool,
        suffix: str = "",
        beside: Mapping[bytes, bytes] | None = None,
        read: Callable[[bytes], BaseMessage] = langchain_message,
    ) -> None:
        """Describe a layout.

        Args:
            prefix: what stands before the session's id in the key.
            newest_first: whether elements are pushed to the head.
            suffix: what stands behind the id.
            beside: the suffixes of other keys that belong to the session, and their types.
            read: makes a message of an element, or raises a CorruptRecordError.
        """
        self._prefix, self._suffix = prefix.encode(), suffix.encode()
        self._newest_first = newest_first
        self._beside = beside or {}
        self._message = read

    def find(self, server: Server, match: str) -> Iterator[Source | Left]:
        """Yield the sessions whose ids match a glob, and the keys beside them that are none."""
        glob = match.encode()
        wanted = matcher(glob)
        for key, kind in typed(server, self._prefix, glob + b"*" if self._suffix else glob):
            session = self._session(key, self._suffix)
            if kind == b"list" and session is not None:
                if wanted.fullmatch(session):
                    yield Source(session.decode("utf-8", "surrogateescape"), (key,))
            elif not any(kind == other and self._session(key, end) is not None for end, other in self._beside.items()):
                yield Left(key, kind.decode())

    def _session(self, key: bytes, suffix: bytes) -> bytes | None:
        """Return the id in a key; None where it does not end so."""
        rest = key[len(self._prefix) :]
        return rest[: len(rest) - len(suffix)] if rest.endswith(suffix) and rest != suffix else None

    def read(self, server: Server, source: Source) -> Content | None:
        """Return what a session holds; None where it is gone."""
        (key,) = source.keys
        elements, left = server.run(("LRANGE", key, b"0", b"-1"), ("PTTL", key))
        if left == -2 or not elements:
            return None
        content = Content(raw=elements, ttl=left if left >= 0 else None)
        numbered = list(enumerate(elements))
        for index, element in numbered[::-1] if self._newest_first else numbered:
            try:
                content.add(self._message(element))
            except CorruptRecordError as error:
                content.unreadable.append(Unreadable(key, index, str(error)))
        return content

    def remove(self, server: Server, source: Source, content: Content) -> bool:
        """Remove a session where it is still what was read; return whether it was."""
        (key,) = source.keys
        digest = hashlib.sha1(b" ".join(content.raw), usedforsecurity=False).hexdigest().encode()
        (removed,) = server.run(("EVAL", _REMOVE, b"1", key, b"%d" % len(content.raw), digest))
        if not removed:
            return False
        head = key[: len(key) - len(self._suffix)]
        for suffix in self._beside:
            server.run(("DEL", head + suffix))
        return True
