"""Layouts with a list for each session: those of LangChain, LangChain JS, Memorystore, and OpenAI's Agents SDK."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

from langchain_core.messages import BaseMessage

from chatmem.backends.admin import Server
from chatmem.codec import record
from chatmem.errors import CorruptRecordError
from chatmem.migrate.content import Content, OtherKey, Source, Unreadable
from chatmem.migrate.keys import matcher, typed

_REMOVE = b"""
local held = redis.call('LRANGE', KEYS[1], 0, -1)
if #held ~= tonumber(ARGV[1]) or redis.sha1hex(table.concat(held, ' ')) ~= ARGV[2] then
  return 0
end
return redis.call('DEL', KEYS[1])
"""


def langchain_message(element: bytes) -> BaseMessage:
    """Return the message of an element that LangChain's classes wrote.

    Raises:
        CorruptRecordError: the element is not a message.
    """
    if element[:1] != b"{":
        raise CorruptRecordError("not a JSON object")
    return record.decode(element).message


class Lists:
    """A list for each session, whose key is prefix, session id and suffix."""

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
            prefix: what precedes the session's id in the key.
            newest_first: whether the newest message is the list's first element.
            suffix: what follows the id.
            beside: the suffixes of the session's other keys, with the keys' types.
            read: returns the message of an element, or raises CorruptRecordError.
        """
        self._prefix, self._suffix = prefix.encode(), suffix.encode()
        self._newest_first = newest_first
        self._beside = beside or {}
        self._message = read

    def find(self, server: Server, match: str) -> Iterator[Source | OtherKey]:
        """Yield the sessions whose ids match a glob, and the keys among them that are not sessions."""
        glob = match.encode()
        wanted = matcher(glob)
        for key, kind in typed(server, self._prefix, glob + b"*" if self._suffix else glob):
            session = self._session(key, self._suffix)
            if kind == b"list" and session is not None:
                if wanted.fullmatch(session):
                    yield Source(session.decode("utf-8", "surrogateescape"), (key,))
            elif not any(kind == other and self._session(key, end) is not None for end, other in self._beside.items()):
                yield OtherKey(key, kind.decode())

    def _session(self, key: bytes, suffix: bytes) -> bytes | None:
        """Return the session's id in a key; None if the key does not end with the suffix."""
        rest = key[len(self._prefix) :]
        return rest[: len(rest) - len(suffix)] if rest.endswith(suffix) and rest != suffix else None

    def read(self, server: Server, source: Source) -> Content | None:
        """Return a session's content; None if the session is gone."""
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
        """Remove a session unless it has changed since it was read; return whether it was removed."""
        (key,) = source.keys
        digest = hashlib.sha1(b" ".join(content.raw), usedforsecurity=False).hexdigest().encode()
        (removed,) = server.run(("EVAL", _REMOVE, b"1", key, b"%d" % len(content.raw), digest))
        if not removed:
            return False
        head = key[: len(key) - len(self._suffix)]
        for suffix in self._beside:
            server.run(("DEL", head + suffix))
        return True
