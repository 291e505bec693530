"""The layouts from which conversations can be moved, by the names of their packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from chatmem.backends.admin import Server
from chatmem.migrate.content import Content, OtherKey, Source
from chatmem.migrate.documents import Documents
from chatmem.migrate.lists import Lists
from chatmem.openai_agents import items as openai_items


class Layout(Protocol):
    """How a package stores its sessions."""

    def find(self, server: Server, match: str) -> Iterator[Source | OtherKey]:
        """Yield the sessions whose ids match a glob, and the keys among them that are not sessions."""
        ...

    def read(self, server: Server, source: Source) -> Content | None:
        """Return a session's content; None if the session is gone."""
        ...

    def remove(self, server: Server, source: Source, content: Content) -> bool:
        """Remove a session unless it has changed since it was read; return whether it was removed."""
        ...


class Kind(NamedTuple):
    """A layout, and the default prefix of its keys."""

    prefix: str
    make: Callable[[str], Layout]


def _openai(prefix: str) -> Layout:
    beside = {b"": b"hash", b":counter": b"string"}
    return Lists(f"{prefix}:", newest_first=False, suffix=":messages", beside=beside, read=openai_items.parse)


def _llama_index(prefix: str) -> Layout:
    from chatmem.llama_index.messages import parse  # noqa: PLC0415 - needs LlamaIndex

    return Lists(prefix, newest_first=False, read=parse)


KINDS: dict[str, Kind] = {
    "langchain-community": Kind("message_store:", lambda prefix: Lists(prefix, newest_first=True)),
    "upstash": Kind("message_store:", lambda prefix: Lists(prefix, newest_first=True)),
    "langchain-js": Kind("", lambda prefix: Lists(prefix, newest_first=True)),
    "memorystore": Kind("", lambda prefix: Lists(prefix, newest_first=False)),
    "langchain-redis": Kind("chat:", Documents),
    "llama-index": Kind("", _llama_index),
    "openai-agents": Kind("agents:session", _openai),
}
