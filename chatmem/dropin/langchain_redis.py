"""langchain-redis' class: `from chatmem.dropin.langchain_redis import RedisChatMessageHistory`.

The conversation lies in chatmem's own layout, so plain Redis is enough; `chatmem migrate` moves the old class'
documents there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import redis
import redis.asyncio
from anyio import to_thread
from langchain_core.messages import BaseMessage, MessageLikeRepresentation

from chatmem.backends.connection import Client, connection_to
from chatmem.core.policy import Policy
from chatmem.core.steps import run_with_checkpoints
from chatmem.dropin.connections import client_of, shared_connection_to
from chatmem.dropin.ranking import Ranking
from chatmem.history import History
from chatmem.langchain.facade import Facade
from chatmem.model import Appended
from chatmem.transports.base import Transport
from chatmem.transports.driving import drive


class RedisChatMessageHistory(Facade):
    """A conversation on plain Redis. Making one costs no round trip, and all with the same URL share one pool."""

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
        """Connect to nothing yet.

        Args:
            session_id: which conversation.
            redis_url: of the server, as `chatmem.connect` takes it; `redis://` may name a node of a cluster.
            key_prefix: what all keys begin with: the `prefix` of `chatmem.connect`.
            ttl: seconds after which the whole conversation expires, counted from the last message.
            index_name: kept as an attribute; there is no index.
            redis_client: a client instead of the URL; one of redis.asyncio has no synchronous names. It stays open.
            overwrite_index: kept as an attribute.
            kwargs: options of redis-py beside those in the URL.

        Raises:
            ValueError: an argument cannot be what it is; the text says which.
        """
        # the old class dropped artifacts and more, whatever they were: none of it may fail now
        policy = Policy(key_prefix, ttl or None, on_unstorable="repr")
        self._given = redis_client
        self._address = (redis_url, kwargs)
        connection = (
            shared_connection_to(redis_url, **kwargs) if redis_client is None else connection_to(client=redis_client)
        )
        super().__init__(connection, lambda transport: _All(transport, policy, session_id))
        self._policy = policy
        self.session_id = session_id
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
        """The client that was given, else a blocking client of redis-py, one a URL."""
        url, options = self._address
        return client_of(url, **options) if self._given is None else self._given

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages, all or none; what is stored already, id and content, is left out. One round trip."""
        super().add_messages(_checked(messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages, all or none; what is stored already, id and content, is left out. One round trip."""
        await super().aadd_messages(_checked(messages))

    def __len__(self) -> int:
        """Return how many messages the session holds. One round trip."""
        return drive(self._history(self._connection.blocking()).count())

    async def acount(self) -> int:
        """Return how many messages the session holds. One round trip."""
        return await self._history(self._connection.asynchronous()).count()

    def search_messages(self, query: str, limit: int = 10) -> list[dict[str, Any]]:
        """Return the session's messages that hold any of the words, best match first, as dicts of their fields.

        Upper and lower case are the same. Reads the session in slices, one round trip each.

        Args:
            query: words; nothing is found for an empty one.
            limit: how many at most.
        """
        return drive(self._search(self._connection.blocking(), query, limit))

    async def asearch_messages(self, query: str, limit: int = 10) -> list[dict[str, Any]]:
        """Return the session's messages that hold any of the words; see `search_messages`."""
        return await self._search(self._connection.asynchronous(), query, limit)

    def delete(self) -> None:
        """Remove all sessions under `key_prefix`, as this method always did. Scans the keys of the whole database."""
        client = self.redis_client
        for keys in _sessions(client.scan_iter(self._pattern(), count=1000)):
            client.unlink(*keys)

    async def adelete(self) -> None:
        """Remove all sessions under `key_prefix`; see `delete`."""
        client = self._given
        if not isinstance(client, redis.asyncio.Redis | redis.asyncio.RedisCluster):
            await to_thread.run_sync(self.delete)
            return
        for keys in _sessions([key async for key in client.scan_iter(self._pattern(), count=1000)]):
            await client.unlink(*keys)

    def _pattern(self) -> bytes:
        prefix = re.sub(r"([*?\[\]\\])", r"\\\1", self.key_prefix)
        return f"{prefix}:{{*}}:[mis]".encode()

    def _history(self, transport: Transport) -> History:
        return History(transport, self._policy, self.session_id)

    async def _search(self, transport: Transport, query: str, limit: int) -> list[dict[str, Any]]:
        if not isinstance(query, str) or not query:
            return []
        ranking = Ranking(query)
        async for entry in self._history(transport).entries():
            if entry.message is not None:
                await run_with_checkpoints(ranking.adding(entry.message), transport.checkpoint)
        return [message.model_dump() for message in ranking.best(limit)]


class _All(History):
    """Stores all messages, as the old class did, which knew no ids: those whose id another message has, too."""

    async def append(self, *messages: MessageLikeRepresentation, **options: Any) -> Appended:
        """Append messages; only one with the same id and the same content as another is left out."""
        return await super().append(*messages, **{"on_known_id": "add", **options})


def _checked(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    if any(message is None for message in messages):
        raise ValueError("Message cannot be None")  # as that class says it
    return messages


def _sessions(keys: Any) -> Iterator[tuple[bytes, ...]]:
    """Yield the three keys of each session of which a key was found, once."""
    seen: set[bytes] = set()
    for key in keys:
        head = (key.encode() if isinstance(key, str) else key)[:-1]
        if head not in seen:
            seen.add(head)
            yield tuple(head + end for end in (b"m", b"i", b"s"))
