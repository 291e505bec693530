"""OpenAI's ChatKit: a `Store` that keeps threads, items and attachments' metadata with chatmem."""

from chatmem.extras import needed

with needed("chatmem.chatkit needs", "chatkit", "chatkit"):
    from chatmem.chatkit.store import ChatmemStore

__all__ = ["ChatmemStore"]
