"""LlamaIndex: chat stores for its `Memory` and its chat memory buffers."""

from chatmem.extras import needed

with needed("chatmem.llama_index needs", "llama-index", "llama_index"):
    from chatmem.llama_index.chat_store import ChatmemChatStore
    from chatmem.llama_index.db_store import ChatmemDBChatStore

__all__ = ["ChatmemChatStore", "ChatmemDBChatStore"]
