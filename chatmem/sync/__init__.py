"""The synchronous facade: the methods of `chatmem.ChatMemory` and `chatmem.History`, for code without an event loop.

They block instead of suspending. They work inside a running event loop, after a fork, and from many threads.
"""

from chatmem.sync.answering import Draft
from chatmem.sync.history import History
from chatmem.sync.memory import ChatMemory, connect

__all__ = ["ChatMemory", "Draft", "History", "connect"]
