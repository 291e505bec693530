"""The Claude Agent SDK: a `SessionStore` that keeps its transcripts with chatmem."""

from chatmem.claude_agents.store import ChatmemSessionStore

__all__ = ["ChatmemSessionStore"]
