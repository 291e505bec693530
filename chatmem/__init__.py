"""chatmem: chat message history on Redis, async first."""

from chatmem.codec.compression import Dictionary
from chatmem.codec.encryption import KeyRing
from chatmem.codec.registry import register
from chatmem.errors import (
    ChatMemError,
    ConflictError,
    CorruptRecordError,
    DuplicateIdError,
    EncodingError,
    MessageTooLargeError,
    NotFoundError,
    NotYoursError,
    TornSessionError,
    UnavailableError,
    UnsupportedError,
)
from chatmem.history import History
from chatmem.memory import ChatMemory, connect
from chatmem.model import Appended, Edited, Entry, Match, Page, SessionInfo, SessionPage

__all__ = [
    # the way in
    "connect",
    "ChatMemory",
    "History",
    "Dictionary",
    "KeyRing",
    "register",
    # what comes back
    "Appended",
    "Edited",
    "Entry",
    "Page",
    "Match",
    "SessionInfo",
    "SessionPage",
    # what is raised
    "ChatMemError",
    "ConflictError",
    "CorruptRecordError",
    "DuplicateIdError",
    "EncodingError",
    "MessageTooLargeError",
    "NotFoundError",
    "NotYoursError",
    "TornSessionError",
    "UnavailableError",
    "UnsupportedError",
]  # fmt: skip
