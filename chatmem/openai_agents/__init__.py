"""OpenAI's Agents SDK: its `Session` on any server that chatmem knows."""

from chatmem.openai_agents.session import ChatmemSession

__all__ = ["ChatmemSession"]
