"""Replaces langchain-redis': `from chatmem.dropin.langchain_redis import RedisChatMessageHistory`.

The conversation is stored in chatmem's own layout, so plain Redis is enough. `chatmem migrate` moves the documents of
the old class there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from chatmem.dropin.errors import redis_errors_too
from chatmem.dropin.overriding import Replacement
from chatmem.dropin.ranking import Ranking
from chatmem.history import History
from chatmem.transports.base import Transport
from chatmem.transports.driving import drive


class _Stored:
    """A conversation in chatmem's layout. Each call asks where it is, as the replaced class does."""

    def __init__(self, transport: Transport, opened: Callable[[Transport], History]) -> None:
        self._transport = transport
        self._opened = opened

    async def append(self, *messages: BaseMessage) -> None:
        """Append messages, all or none. Only one whose id and content are stored already is not stored again.

        Raises:
            ValueError: a message is None.
        """
        if any(message is None for message in messages):
            raise ValueError("Message cannot be None")  # the old class's words
        with redis_errors_too():
            await self._opened(self._transport).append(*messages, on_known_id="add")

    async def messages(self) -> list[BaseMessage]:
        """Return the messages, oldest first."""
        with redis_errors_too():
            return await self._opened(self._transport).messages()

    async def clear(self) -> None:
        """Remove the conversation."""
        with redis_errors_too():
            await self._opened(self._transport).clear()

    async def count(self) -> int:
        """Return the number of messages."""
        with redis_errors_too():
            return await self._opened(self._transport).count()

    async def search(self, query: str, limit: int) -> list[dict[str, Any]]:
        """Return the messages that contain a word of the query, as dicts of their fields, best match first."""
        if not isinstance(query, str) or not query:
            return []
        ranking = Ranking(query)
        with redis_errors_too():
            async for entry in self._opened(self._transport).entries():
                if entry.message is not None:
                    await run_with_checkpoints(ranking.adding(entry.message), self._transport.checkpoint)
        return [message.model_dump() for message in ranking.best(limit)]


class RedisChatMessageHistory(Replacement):
    """A conversation on plain Redis. All objects with the same URL and options share one connection pool.

    A message whose id and content are stored already is not stored again.
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
        self.session_id = session_id
        self.key_prefix = key_prefix
        self.ttl = ttl
        self.index_name = index_name
        self.overwrite_index = overwrite_index
        self._url, self._options = redis_url, kwargs
        self._policy = _policy(key_prefix, ttl)
        session_keys(key_prefix, session_id)  # raises for a wrong id
        connection = (
            shared_connection_to(redis_url, **kwargs) if redis_client is None else connection_to(client=redis_client)
        )
        super().__init__(connection, lambda transport: _Stored(transport, self._opened))
        self._client = redis_client

    def _opened(self, transport: Transport) -> History:
        if (self._policy.prefix, self._policy.ttl) != (self.key_prefix, self.ttl or None):
            self._policy = _policy(self.key_prefix, self.ttl)
        return History(transport, self._policy, self.session_id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.session_id!r})"

    @property
    def id(self) -> str:
        """The session's id."""
        return self.session_id

    def _open_client(self) -> Any:
        return client_of(self._url, **self._options)

    def __len__(self) -> int:
        """Return the number of messages. One round trip."""
        return drive(_Stored(self._connection.blocking(), self._opened).count())

    async def acount(self) -> int:
        """Return the number of messages. One round trip."""
        return await _Stored(self._connection.asynchronous(), self._opened).count()

    def search_messages(self, query: str, limit: int = 10) -> list[dict[str, Any]]:
        """Return the messages that contain a word of the query, best match first.

        Upper and lower case are the same. It reads the whole session, in several round trips if it is long.

        Args:
            query: words; an empty query finds nothing.
            limit: return at most this many messages.

        Returns:
            The messages as dicts of their fields.
        """
        return drive(_Stored(self._connection.blocking(), self._opened).search(query, limit))

    async def asearch_messages(self, query: str, limit: int = 10) -> list[dict[str, Any]]:
        """Return the messages that contain a word of the query; see `search_messages`."""
        return await _Stored(self._connection.asynchronous(), self._opened).search(query, limit)

    def delete(self) -> None:
        """Remove all sessions under `key_prefix`, as the old class does. It scans the keys of the whole database."""
        client = self.redis_client
        for session in _sessions(self.key_prefix, client.scan_iter(session_glob(self.key_prefix), count=1000)):
            client.unlink(*session_keys(self.key_prefix, session))

    async def adelete(self) -> None:
        """Remove all sessions under `key_prefix`; see `delete`."""
        client = self._client
        if not isinstance(client, redis.asyncio.Redis | redis.asyncio.RedisCluster):
            await to_thread.run_sync(self.delete)
            return
        keys = [key async for key in client.scan_iter(session_glob(self.key_prefix), count=1000)]
        for session in _sessions(self.key_prefix, keys):
            await client.unlink(*session_keys(self.key_prefix, session))


def _policy(prefix: str, ttl: int | None) -> Policy:
    # The old class dropped artifacts and more without an error, so no value may raise one now.
    return Policy(prefix=prefix, ttl=ttl or None, on_unstorable="repr")


def _sessions(prefix: str, keys: Iterable[bytes | str]) -> set[str]:
    found = (session_of(prefix, key.encode() if isinstance(key, str) else key) for key in keys)
    return {session for session in found if session is not None}
