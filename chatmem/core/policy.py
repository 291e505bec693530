"""The rules that a memory applies to all of its sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, get_args

from chatmem.codec.compression import Compression
from chatmem.codec.encryption import KeyRing
from chatmem.codec.record import MAX_RECORD_BYTES
from chatmem.codec.values import OnUnstorable
from chatmem.core.checks import check_count, check_limit, milliseconds
from chatmem.core.dictionaries import StoredDictionary
from chatmem.core.in_flight import Calls, Seen
from chatmem.core.keys import check_prefix

Refresh = Literal["write", "read", "never"]
"""What restarts a session's TTL."""


@dataclass(frozen=True)
class Policy:
    """The rules of a memory, checked when they are made.

    Args:
        prefix: what the memory's keys begin with.
        ttl: seconds or a `timedelta` after which a session expires; None for never.
        refresh: what restarts the TTL: "write" (each write), "read" (each read and write), "never" (nothing).
        wait_replicas: how many replicas must confirm a write.
        wait_timeout: seconds or a `timedelta` in which they must do so.
        compression: how records are compressed; None for not at all.
        max_messages: how many of a session's last messages are kept; None for all.
        max_message_bytes: how large the record of a message may be.
        encryption: the keys that records are encrypted with; None for not at all.
        on_unstorable: what happens to values that cannot be stored: "error", or "repr" to store a text instead.
        publish: whether writes tell listeners what they changed.

    Raises:
        ValueError: an argument is wrong.
    """

    prefix: str = "chatmem"
    ttl: float | timedelta | None = None
    refresh: Refresh = "write"
    wait_replicas: int = 0
    wait_timeout: float | timedelta = 1.0
    compression: Compression | None = None
    max_messages: int | None = None
    max_message_bytes: int = MAX_RECORD_BYTES
    encryption: KeyRing | None = None
    on_unstorable: OnUnstorable = "error"
    publish: bool = False
    ttl_argument: bytes = field(init=False)
    """the TTL as scripts take it: milliseconds, or empty for none"""
    wait: tuple[str | bytes, ...] | None = field(init=False)
    """the command that waits for replicas; None for none"""
    calls: Calls = field(init=False, default_factory=Calls, repr=False, compare=False)
    """the calls of this process that are in flight"""
    seen: Seen = field(init=False, default_factory=Seen, repr=False, compare=False)
    """the sessions that this process knows to hold messages"""
    scripted: Seen = field(init=False, default_factory=Seen, repr=False, compare=False)
    """the sessions whose messages only a script can read: they have branches, or an answer runs"""
    marked: Seen = field(init=False, default_factory=Seen, repr=False, compare=False)
    """the sessions that this process knows to be archived, pinned or tagged, and in their users' lists"""
    dictionary: StoredDictionary | None = field(init=False)
    """the compression dictionary on the server; None if readers need none from there"""

    def __post_init__(self) -> None:
        check_prefix(self.prefix)
        check_count("max_messages", self.max_messages)
        check_limit(self.max_message_bytes, MAX_RECORD_BYTES, name="max_message_bytes")
        if self.refresh not in get_args(Refresh):
            raise ValueError(f'ttl_refresh must be "write", "read" or "never", not {self.refresh!r}')
        if self.encryption is not None and not isinstance(self.encryption, KeyRing):
            raise ValueError("encryption must be a chatmem.KeyRing, or None")
        if self.on_unstorable not in get_args(OnUnstorable):
            raise ValueError(f'on_unstorable must be "error" or "repr", not {self.on_unstorable!r}')
        if not isinstance(self.publish, bool):
            raise ValueError(f"publish must be True or False, not {self.publish!r}")
        object.__setattr__(self, "ttl_argument", b"" if self.ttl is None else milliseconds("ttl", self.ttl))
        object.__setattr__(self, "wait", _wait(self.wait_replicas, self.wait_timeout))
        object.__setattr__(self, "dictionary", _dictionary(self.prefix, self.compression))

    @property
    def restarts_ttl(self) -> bool:
        """Whether a write restarts the TTL of its session."""
        return bool(self.ttl_argument) and self.refresh != "never"


def _dictionary(prefix: str, compression: Compression | None) -> StoredDictionary | None:
    stored = None if compression is None else compression.stored
    return None if stored is None else StoredDictionary(prefix, stored)


def _wait(replicas: int, timeout: float | timedelta) -> tuple[str | bytes, ...] | None:
    if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 0:
        raise ValueError(f"wait_replicas must be a whole number from 0 on, not {replicas!r}")
    limit = milliseconds("wait_timeout", timeout)  # WAIT takes 0 for "for ever"
    return ("WAIT", b"%d" % replicas, limit) if replicas else None
