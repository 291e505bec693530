"""pydantic-ai's message history on any server that chatmem knows."""

from chatmem.extras import needed

with needed("histories of pydantic-ai need", "pydantic-ai", "pydantic_ai"):
    from chatmem.pydantic_ai.history import ModelMessageHistory
    from chatmem.pydantic_ai.reading import to_model_messages
    from chatmem.pydantic_ai.writing import to_messages

__all__ = ["ModelMessageHistory", "to_messages", "to_model_messages"]
