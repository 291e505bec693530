"""LangGraph: nodes for a graph that load and store a conversation."""

from chatmem.langgraph.nodes import HistoryNodes

__all__ = ["HistoryNodes"]
