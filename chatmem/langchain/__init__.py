"""chatmem as LangChain's own classes. Importing this imports LangChain's deprecated `BaseChatMessageHistory`."""

from chatmem.langchain.history import ChatMessageHistory

__all__ = ["ChatMessageHistory"]
