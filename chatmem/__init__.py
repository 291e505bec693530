"""Chat message history on Redis, async first.

`connect` returns a `ChatMemory`, whose `history` returns a `History`: one conversation. `chatmem.sync` has the same
for synchronous code.

Importing the package itself is cheap, so that the command line and shell completion start fast. The first use of a name
other than an error's imports LangChain and redis-py.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from chatmem.codec.compression import Dictionary
    from chatmem.codec.encryption import KeyRing
    from chatmem.codec.registry import register
    from chatmem.core.answering.draft import Draft
    from chatmem.history import History
    from chatmem.memory import ChatMemory, connect
    from chatmem.model import (
        Answer,
        AnswerStatus,
        Appended,
        Branch,
        Change,
        Chunk,
        Edited,
        Entry,
        Match,
        Page,
        SessionChange,
        SessionInfo,
        SessionPage,
        Siblings,
        Summary,
        Switched,
    )

__all__ = [
    # connect, read and write
    "connect",
    "ChatMemory",
    "History",
    "Draft",
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
    "Branch",
    "Siblings",
    "Summary",
    "Switched",
    "Change",
    "SessionChange",
    "Answer",
    "AnswerStatus",
    "Chunk",
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

_MODULES = {
    "Dictionary": "codec.compression",
    "KeyRing": "codec.encryption",
    "register": "codec.registry",
    "History": "history",
    "Draft": "core.answering.draft",
    **dict.fromkeys(("ChatMemory", "connect"), "memory"),
    **dict.fromkeys(("Appended", "Branch", "Change", "Edited", "Entry", "Match", "Page", "Siblings"), "model"),
    **dict.fromkeys(("Answer", "AnswerStatus", "Chunk"), "model"),
    **dict.fromkeys(("SessionChange", "SessionInfo", "SessionPage", "Summary", "Switched"), "model"),
}

if not TYPE_CHECKING:  # a type checker would take any name for one of the package's

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
