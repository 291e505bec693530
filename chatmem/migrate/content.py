"""What a conversation holds where it is now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from langchain_core.messages import BaseMessage


class Source(NamedTuple):
    """A conversation that was found, not yet read."""

    session: str
    keys: tuple[bytes, ...]
    """what it lies in, oldest first where there are several"""

    @property
    def name(self) -> str:
        """Its first key, for people."""
        return self.keys[0].decode("utf-8", "backslashreplace")


class Left(NamedTuple):
    """A key where sessions are, and that is none of this layout."""

    key: bytes
    what: str
    """what it is instead"""


class Unreadable(NamedTuple):
    """A record that cannot be moved."""

    key: bytes
    place: int
    """its index in the key's list; 0 where the key is the record"""
    reason: str


@dataclass
class Content:
    """What was read of a conversation, oldest first."""

    messages: list[BaseMessage] = field(default_factory=list)
    created: list[int | None] = field(default_factory=list)
    """of each message: microseconds since 1970, or None where the layout does not say"""
    unreadable: list[Unreadable] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    """what was read, by which a change is recognised"""
    keys: list[bytes] = field(default_factory=list)
    """where each of it was read, where each has a key"""
    ttl: int | None = None
    """milliseconds until it expires"""

    def add(self, message: BaseMessage, created: int | None = None) -> None:
        """Take a message that was read."""
        self.messages.append(message)
        self.created.append(created)
