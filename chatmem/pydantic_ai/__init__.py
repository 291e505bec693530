"""pydantic-ai: its message history, stored with chatmem."""

from chatmem.extras import needed

with needed("chatmem.pydantic_ai needs", "pydantic-ai", "pydantic_ai"):
    from chatmem.pydantic_ai.history import ModelMessageHistory
    from chatmem.pydantic_ai.reading import to_model_messages
    from chatmem.pydantic_ai.writing import to_messages

__all__ = ["ModelMessageHistory", "to_messages", "to_model_messages"]
