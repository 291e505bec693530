"""langchain-community's classes: `from chatmem.dropin.langchain_community import RedisChatMessageHistory`.

The conversation is a list of JSON messages, newest first, in place: old and new code may use it at the same time.
"""

from __future__ import annotations

from typing import Any

from chatmem.backends.connection import Connection
from chatmem.dropin.connections import client_of, shared_connection_to
from chatmem.dropin.lists import Layout, ListHistory, key_of, ttl_argument
from chatmem.langchain.facade import Facade


class _Prefixed(Facade):
    """What both classes share: a list under a prefix and the session's id, newest first."""

    def __init__(self, connection: Connection, session_id: str, key_prefix: str, ttl: int | None) -> None:
        layout = Layout(key_of(session_id, key_prefix), newest_first=True, ttl=ttl_argument(ttl))
        super().__init__(connection, lambda transport: ListHistory(transport, layout))
        self.session_id = session_id
        self.key_prefix = key_prefix
        self.ttl = ttl

    @property
    def key(self) -> str:
        """The key of the list."""
        return self.key_prefix + self.session_id


class RedisChatMessageHistory(_Prefixed):
    """A conversation in a list on Redis. Making one costs no round trip, and all with the same URL share one pool."""

    def __init__(
        self,
        session_id: str,
        url: str = "redis://localhost:6379/0",
        key_prefix: str = "message_store:",
        ttl: int | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            session_id: which conversation.
            url: of the server, as `chatmem.connect` takes it; `redis://` may name a node of a cluster.
            key_prefix: what stands before the id in the key; LangChain JS' classes have nothing there, `key_prefix=""`.
            ttl: seconds after which the list expires, counted from the last message; none by default.

        Raises:
            ValueError: the URL is none that chatmem knows, or another argument cannot be.
        """
        super().__init__(shared_connection_to(url), session_id, key_prefix, ttl)
        self._url = url

    @property
    def redis_client(self) -> Any:
        """A blocking client of redis-py, one a URL."""
        return client_of(self._url)


class UpstashRedisChatMessageHistory(_Prefixed):
    """A conversation in a list at Upstash, by its REST API: one HTTP request an operation."""

    def __init__(
        self,
        session_id: str,
        url: str = "",
        token: str = "",
        key_prefix: str = "message_store:",
        ttl: int | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            session_id: which conversation.
            url: of the REST API, UPSTASH_REDIS_REST_URL.
            token: of the REST API, UPSTASH_REDIS_REST_TOKEN.
            key_prefix: what stands before the id in the key; LangChain JS' classes have nothing there, `key_prefix=""`.
            ttl: seconds after which the list expires, counted from the last message; none by default.

        Raises:
            UnsupportedError: the extra `upstash` is not installed.
            ValueError: the URL or the token is missing or cannot be one, or another argument cannot be.
        """
        if not url or not token:
            raise ValueError("url and token are needed: UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN")
        super().__init__(shared_connection_to(url, token), session_id, key_prefix, ttl)
        self._address = (url, token)

    @property
    def redis_client(self) -> Any:
        """A blocking client of upstash-redis, one a URL."""
        return client_of(*self._address)
