"""chatmem: chat message history on Redis, async first."""

from chatmem.codec.compression import Dictionary
from chatmem.codec.registry import register
from chatmem.errors import (
    ChatMemError,
    ConflictError,
    CorruptRecordError,
    EncodingError,
    MessageTooLargeError,
    UnavailableError,
    UnsupportedError,
)
from chatmem.history import History
from chatmem.memory import ChatMemory, connect
from chatmem.model import Appended, Entry, SessionInfo

__all__ = [
    # the way in
    "connect",
    "ChatMemory",
    "History",
    "Dictionary",
    "register",
    # what comes back
    "Appended",
    "Entry",
    "SessionInfo",
    # what is raised
    "ChatMemError",
    "ConflictError",
    "CorruptRecordError",
    "EncodingError",
    "MessageTooLargeError",
    "UnavailableError",
    "UnsupportedError",
]  # fmt: skip
