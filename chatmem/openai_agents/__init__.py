"""OpenAI's Agents SDK: a `Session` that stores its items with chatmem."""

from chatmem.openai_agents.session import ChatmemSession

__all__ = ["ChatmemSession"]
