"""The layouts that conversations can be moved from, by the names of their packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from chatmem.backends.admin import Server
from chatmem.migrate.content import Content, Left, Source
from chatmem.migrate.documents import Documents
from chatmem.migrate.lists import Lists
from chatmem.openai_agents import items as openai_items


class Layout(Protocol):
    """How one class keeps its sessions."""

    def find(self, server: Server, match: str) -> Iterator[Source | Left]:
        """Yield the sessions whose ids match a glob, and the keys beside them that are none."""
        ...

    def read(self, server: Server, source: Source) -> Content | None:
        """Return what a session holds; None where it is gone."""
        ...

    def remove(self, server: Server, source: Source, content: Content) -> bool:
        """Remove a session where it is still what was read; return whether it was."""
        ...


class Kind(NamedTuple):
    """A layout and what its keys begin with by default."""

    prefix: str
    make: Callable[[str], Layout]


def _openai(prefix: str) -> Layout:
    beside = {b"": b"hash", b":counter": b"string"}
    return Lists(f"{prefix}:", newest_first=False, suffix=":messages", beside=beside, read=openai_items.parse)


KINDS: dict[str, Kind] = {
    "langchain-community": Kind("message_store:", lambda prefix: Lists(prefix, newest_first=True)),
    "upstash": Kind("message_store:", lambda prefix: Lists(prefix, newest_first=True)),
    "langchain-js": Kind("", lambda prefix: Lists(prefix, newest_first=True)),
    "memorystore": Kind("", lambda prefix: Lists(prefix, newest_first=False)),
    "langchain-redis": Kind("chat:", Documents),
    "openai-agents": Kind("agents:session", _openai),
}
