"""Replaces langchain-redis': `from chatmem.dropin.langchain_redis import RedisChatMessageHistory`.

The conversation is stored in chatmem's own layout, so plain Redis is enough. `chatmem migrate` moves the documents of
the old class there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import redis
import redis.asyncio
from anyio import to_thread
from langchain_core.messages import BaseMessage

from chatmem.backends.connection import Client, connection_to
from chatmem.core.keys import session_glob, session_keys, session_of
from chatmem.core.policy import Policy
from chatmem.core.steps import run_with_checkpoints
from chatmem.dropin.connections import client_of, shared_connection_to
from chatmem.dropin.ranking import Ranking
from chatmem.langchain.history import ChatMessageHistory
from chatmem.sessions import Sessions
from chatmem.transports.driving import drive


class RedisChatMessageHistory(ChatMessageHistory):
    """A conversation on plain Redis. All objects with the same URL and options share one connection pool.

    It has no users and checks none: make sure that the session belongs to your caller before you open it.
    """

    def __init__(
        self,
        session_id: str,
        redis_url: str = "redis://localhost:6379",
        key_prefix: str = "chat:",
        ttl: int | None = None,
        index_name: str = "idx:chat_history",
        redis_client: Client | None = None,
        overwrite_index: bool = False,
        **kwargs: Any,
    ) -> None:
        """Open a conversation. No round trip.

        Args:
            session_id: the id of the conversation.
            redis_url: the server's URL, as `chatmem.connect` takes it. `redis://` may also name a node of a cluster.
            key_prefix: the beginning of all keys, which is the `prefix` of `chatmem.connect`.
            ttl: seconds after the last append until the conversation expires as a whole; None or 0 for never.
            index_name: only kept as an attribute; there is no index.
            redis_client: your client instead of a URL. With one of redis.asyncio, synchronous methods raise
                ValueError. It is never closed here.
            overwrite_index: only kept as an attribute.
            kwargs: redis-py's options, added to those in the URL.

        Raises:
            ValueError: an argument is wrong; the error names it.
        """
        connection = (
            shared_connection_to(redis_url, **kwargs) if redis_client is None else connection_to(client=redis_client)
        )
        # The old class dropped artifacts and more without an error, so no value may raise one now.
        self._sessions = Sessions(connection, Policy(prefix=key_prefix, ttl=ttl or None, on_unstorable="repr"))
        super().__init__(self._sessions, session_id)
        self._given = redis_client
        self._url, self._options = redis_url, kwargs
        self.key_prefix = key_prefix
        self.ttl = ttl
        self.index_name = index_name
        self.overwrite_index = overwrite_index

    @property
    def id(self) -> str:
        """The session's id."""
        return self.session_id

    @property
    def redis_client(self) -> Any:
        """Your client, else a blocking client of redis-py, one for each URL and options."""
        return client_of(self._url, **self._options) if self._given is None else self._given

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages, all or none. One round trip.

        A message whose id and content are stored already is not stored again.

        Raises:
            ValueError: a message is None.
        """
        super().add_messages(_checked(messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages, all or none; see `add_messages`. One round trip."""
        await super().aadd_messages(_checked(messages))

    def __len__(self) -> int:
        """Return the number of messages. One round trip."""
        return drive(self._sessions.history(self.session_id, blocking=True).count())

    async def acount(self) -> int:
        """Return the number of messages. One round trip."""
        return await self._sessions.history(self.session_id).count()

    def search_messages(self, query: str, limit: int = 10) -> list[dict[str, Any]]:
        """Return the messages that contain a word of the query, best match first.

        Upper and lower case are the same. It reads the whole session, in several round trips if it is long.

        Args:
            query: words; an empty query finds nothing.
            limit: return at most this many messages.

        Returns:
            The messages as dicts of their fields.
        """
        return drive(self._search(query, limit, blocking=True))

    async def asearch_messages(self, query: str, limit: int = 10) -> list[dict[str, Any]]:
        """Return the messages that contain a word of the query; see `search_messages`."""
        return await self._search(query, limit, blocking=False)

    def delete(self) -> None:
        """Remove all sessions under `key_prefix`, as the old class does. It scans the keys of the whole database."""
        client = self.redis_client
        for session in _sessions(self.key_prefix, client.scan_iter(session_glob(self.key_prefix), count=1000)):
            client.unlink(*session_keys(self.key_prefix, session))

    async def adelete(self) -> None:
        """Remove all sessions under `key_prefix`; see `delete`."""
        client = self._given
        if not isinstance(client, redis.asyncio.Redis | redis.asyncio.RedisCluster):
            await to_thread.run_sync(self.delete)
            return
        keys = [key async for key in client.scan_iter(session_glob(self.key_prefix), count=1000)]
        for session in _sessions(self.key_prefix, keys):
            await client.unlink(*session_keys(self.key_prefix, session))

    async def _search(self, query: str, limit: int, *, blocking: bool) -> list[dict[str, Any]]:
        if not isinstance(query, str) or not query:
            return []
        ranking = Ranking(query)
        checkpoint = self._sessions.transport(blocking=blocking).checkpoint
        async for entry in self._sessions.history(self.session_id, blocking=blocking).entries():
            if entry.message is not None:
                await run_with_checkpoints(ranking.adding(entry.message), checkpoint)
        return [message.model_dump() for message in ranking.best(limit)]


def _checked(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    if any(message is None for message in messages):
        raise ValueError("Message cannot be None")  # the old class's words
    return messages


def _sessions(prefix: str, keys: Iterable[bytes | str]) -> set[str]:
    found = (session_of(prefix, key.encode() if isinstance(key, str) else key) for key in keys)
    return {session for session in found if session is not None}
