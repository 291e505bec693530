"""LangGraph: nodes that load a conversation into a graph's state and store what is new in it."""

from chatmem.extras import needed

with needed("chatmem.langgraph needs", "langgraph", "langgraph"):
    from chatmem.langgraph.nodes import HistoryNodes

__all__ = ["HistoryNodes"]
