"""Conversations at the source: where they are, and what was read of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from langchain_core.messages import BaseMessage


class Source(NamedTuple):
    """A conversation that was found, not yet read."""

    session: str
    keys: tuple[bytes, ...]
    """the keys that hold it, the oldest first"""

    @property
    def name(self) -> str:
        """The first key, in printable form."""
        return self.keys[0].decode("utf-8", "backslashreplace")


class OtherKey(NamedTuple):
    """A key among those of the sessions that does not belong to this layout, so it is left alone."""

    key: bytes
    what: str
    """the key's type, or a description of its content"""


class Unreadable(NamedTuple):
    """A record that cannot be read, so it cannot be moved."""

    key: bytes
    place: int
    """its index in the key's list; 0 if the key is the record"""
    reason: str


@dataclass
class Content:
    """What was read of a conversation, oldest first."""

    messages: list[BaseMessage] = field(default_factory=list)
    created: list[int | None] = field(default_factory=list)
    """when each message was created, in microseconds since 1970; None if the layout does not record it"""
    unreadable: list[Unreadable] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    """the bytes that were read, to detect changes before the source is removed"""
    keys: list[bytes] = field(default_factory=list)
    """the key of each, in layouts with a key for each message"""
    ttl: int | None = None
    """milliseconds until the conversation expires; None for never"""

    def add(self, message: BaseMessage, created: int | None = None) -> None:
        """Add a message that was read."""
        self.messages.append(message)
        self.created.append(created)
