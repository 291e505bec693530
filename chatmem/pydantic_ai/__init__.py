"""pydantic-ai: its message history and its conversation store, on chatmem."""

from typing import TYPE_CHECKING

from chatmem.extras import needed

with needed("chatmem.pydantic_ai needs", "pydantic-ai", "pydantic_ai"):
    from chatmem.pydantic_ai.history import ModelMessageHistory
    from chatmem.pydantic_ai.reading import to_model_messages
    from chatmem.pydantic_ai.writing import to_messages

if TYPE_CHECKING:
    from chatmem.pydantic_ai.conversations import ChatmemConversationStore

__all__ = ["ChatmemConversationStore", "ModelMessageHistory", "to_messages", "to_model_messages"]


def __getattr__(name: str) -> object:
    if name != "ChatmemConversationStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from chatmem.pydantic_ai.conversations import ChatmemConversationStore  # noqa: PLC0415 - needs pydantic-ai 2.66

    return ChatmemConversationStore
