"""Chat message history on Redis, async first.

`connect` returns a `ChatMemory`, whose `history` returns a `History`: one conversation. `chatmem.sync` has the same
for synchronous code.
"""

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
    # connect, read and write
    "connect",
    "ChatMemory",
    "History",
    "Dictionary",
    "KeyRing",
    "register",
    # results
    "Appended",
    "Edited",
    "Entry",
    "Page",
    "Match",
    "SessionInfo",
    "SessionPage",
    # errors
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
