"""Google's MemorystoreChatMessageHistory, on a client that the application shares, as its documentation does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import redis
from langchain_core.messages import message_to_dict, messages_from_dict
from langchain_google_memorystore_redis import MemorystoreChatMessageHistory

from benchmarks.corpus import Message
from benchmarks.systems.base import CONNECTIONS, TTL_SECONDS, slices


class System:
    """One client; a history a turn. It cannot read a tail."""

    def open(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, max_connections=CONNECTIONS)

    def prepare(self, messages: Sequence[Message]) -> list[Any]:
        return messages_from_dict(list(messages))

    def seed(self, session: str, messages: list[Any]) -> None:
        """Store what the class would, without its two round trips a message."""
        for some in slices(messages):
            self._redis.rpush(session, *(json.dumps(message_to_dict(message)) for message in some))
        self._redis.expire(session, TTL_SECONDS)

    def turn(self, session: str, new: list[Any]) -> None:
        history = self._history(session)
        _ = history.messages
        history.add_messages(new)

    def read(self, session: str, last: int | None) -> int:
        return len(self._history(session).messages[-last if last else 0 :])

    def append(self, session: str, new: list[Any]) -> None:
        self._history(session).add_messages(new)

    def close(self) -> None:
        self._redis.close()

    def _history(self, session: str) -> MemorystoreChatMessageHistory:
        return MemorystoreChatMessageHistory(self._redis, session, ttl=TTL_SECONDS)
