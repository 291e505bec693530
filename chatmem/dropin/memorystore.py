"""Replaces langchain-google-memorystore-redis: `from chatmem.dropin.memorystore import MemorystoreChatMessageHistory`.

The conversation stays a list of JSON messages, oldest first. Old and new code may use it at the same time.
"""

from __future__ import annotations

from chatmem.backends.connection import Client, connection_to
from chatmem.dropin.lists import Layout, ListHistory, checked_key, ttl_argument
from chatmem.dropin.overriding import Replacement


class MemorystoreChatMessageHistory(Replacement):
    """A conversation in a list, over your client.

    It has no users and checks none: make sure that the session belongs to your caller before you open it.
    """

    _redis = Replacement.redis_client
    """the name that the replaced class has for it, and its subclasses use"""

    def __init__(self, client: Client, session_id: str, ttl: int | None = None) -> None:
        """Open a conversation. No round trip.

        Args:
            client: a `redis.Redis` or `redis.RedisCluster`, which asynchronous methods run in worker threads; or a
                client of redis.asyncio, with which synchronous methods raise ValueError. It is never closed here.
            session_id: the id of the conversation, which is the list's key.
            ttl: seconds after the last append until the list expires; None or 0 for never.

        Raises:
            ValueError: an argument is wrong; the error names it.
        """
        self._key, self._ttl = session_id, ttl  # the replaced class' names, which its subclasses read and set
        self._layout()
        super().__init__(connection_to(client=client), lambda transport: ListHistory(transport, self._layout))
        self._client = client

    def _layout(self) -> Layout:
        return Layout(checked_key(self._key), newest_first=False, ttl=ttl_argument(self._ttl))
