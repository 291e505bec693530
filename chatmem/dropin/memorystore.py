"""Google's class: `from chatmem.dropin.memorystore import MemorystoreChatMessageHistory`.

The conversation is a list of JSON messages, oldest first, in place: old and new code may use it at the same time.
"""

from __future__ import annotations

from chatmem.backends.connection import Client, connection_to
from chatmem.dropin.lists import Layout, ListHistory, key_of, ttl_argument
from chatmem.langchain.facade import Facade


class MemorystoreChatMessageHistory(Facade):
    """A conversation in a list, through the caller's client. Making one costs no round trip."""

    def __init__(self, client: Client, session_id: str, ttl: int | None = None) -> None:
        """Connect to nothing.

        Args:
            client: a `redis.Redis` or `redis.RedisCluster`, whose asynchronous names run in worker threads, or one of
                redis.asyncio, which has no synchronous names. It stays open.
            session_id: which conversation; the list's key.
            ttl: seconds after which the list expires, counted from the last message; none by default.

        Raises:
            ValueError: an argument cannot be what it is; the text says which.
        """
        layout = Layout(key_of(session_id), newest_first=False, ttl=ttl_argument(ttl))
        super().__init__(connection_to(client=client), lambda transport: ListHistory(transport, layout))
