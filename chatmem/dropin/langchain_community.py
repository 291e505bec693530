"""Replaces langchain-community's: `from chatmem.dropin.langchain_community import RedisChatMessageHistory`.

The conversation stays a list of JSON messages, newest first. Old and new code may use it at the same time.
"""

from __future__ import annotations

from typing import Any

from chatmem.backends.connection import Connection
from chatmem.dropin.connections import client_of, shared_connection_to
from chatmem.dropin.lists import Layout, ListHistory, checked_key, ttl_argument
from chatmem.dropin.overriding import Replacement


class _PrefixedList(Replacement):
    """The base of both classes: a list, newest message first, whose key is a prefix and the session's id."""

    def __init__(self, connection: Connection, session_id: str, key_prefix: str, ttl: int | None) -> None:
        for name, value in (("session_id", session_id), ("key_prefix", key_prefix)):
            if not isinstance(value, str):
                raise ValueError(f"{name} must be a string, not {type(value).__name__}")
        checked_key(key_prefix + session_id)
        ttl_argument(ttl)
        super().__init__(connection, lambda transport: ListHistory(transport, self._layout))
        self.session_id = session_id
        self.key_prefix = key_prefix
        self.ttl = ttl

    def _layout(self) -> Layout:
        return Layout(checked_key(self.key), newest_first=True, ttl=ttl_argument(self.ttl))

    @property
    def key(self) -> str:
        """The key of the list, which each call looks up."""
        return self.key_prefix + self.session_id


class RedisChatMessageHistory(_PrefixedList):
    """A conversation in a list on Redis. All objects with the same URL share one connection pool.

    It has no users and checks none: make sure that the session belongs to your caller before you open it.
    """

    def __init__(
        self,
        session_id: str,
        url: str = "redis://localhost:6379/0",
        key_prefix: str = "message_store:",
        ttl: int | None = None,
    ) -> None:
        """Open a conversation. No round trip.

        Args:
            session_id: the id of the conversation.
            url: the server's URL, as `chatmem.connect` takes it. `redis://` may also name a node of a cluster.
            key_prefix: what precedes the id in the key; "" for the lists of LangChain JS.
            ttl: seconds after the last append until the list expires; None or 0 for never.

        Raises:
            ValueError: chatmem does not know the URL's scheme, or another argument is wrong; the error names it.
        """
        super().__init__(shared_connection_to(url), session_id, key_prefix, ttl)
        self._url = url

    def _open_client(self) -> Any:
        return client_of(self._url)


class UpstashRedisChatMessageHistory(_PrefixedList):
    """A conversation in a list on Upstash, over its REST API: one HTTP request for each operation.

    It has no users and checks none: make sure that the session belongs to your caller before you open it.
    """

    def __init__(
        self,
        session_id: str,
        url: str = "",
        token: str = "",
        key_prefix: str = "message_store:",
        ttl: int | None = None,
    ) -> None:
        """Open a conversation. No round trip.

        Args:
            session_id: the id of the conversation.
            url: the URL of the REST API, UPSTASH_REDIS_REST_URL.
            token: the token of the REST API, UPSTASH_REDIS_REST_TOKEN.
            key_prefix: what precedes the id in the key; "" for the lists of LangChain JS.
            ttl: seconds after the last append until the list expires; None or 0 for never.

        Raises:
            UnsupportedError: the extra `upstash` is not installed.
            ValueError: the URL or the token is missing or malformed, or another argument is wrong; the error names it.
        """
        if not url or not token:
            raise ValueError("url and token are missing: pass UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN")
        super().__init__(shared_connection_to(url, token), session_id, key_prefix, ttl)
        self._url, self._token = url, token

    def _open_client(self) -> Any:
        return client_of(self._url, self._token)
