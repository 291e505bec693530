"""Microsoft's Agent Framework: a `HistoryProvider` that stores messages with chatmem.

The store for snapshots of AG-UI threads is in `chatmem.agent_framework.ag_ui`.
"""

from chatmem.extras import needed

with needed("chatmem.agent_framework needs", "agent-framework", "agent_framework"):
    from chatmem.agent_framework.history import ChatmemHistoryProvider

__all__ = ["ChatmemHistoryProvider"]
