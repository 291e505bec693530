"""langchain-community's RedisChatMessageHistory, made from a URL for each request, as its documentation does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import redis
from langchain_community.chat_message_histories import RedisChatMessageHistory
from langchain_core.messages import message_to_dict, messages_from_dict

from benchmarks.corpus import Message
from benchmarks.systems.base import TTL_SECONDS, slices


class System:
    """A history a turn, which opens a client of its own. It cannot read a tail."""

    def open(self, url: str) -> None:
        self._url = url

    def prepare(self, messages: Sequence[Message]) -> list[Any]:
        return messages_from_dict(list(messages))

    def seed(self, session: str, messages: list[Any]) -> None:
        """Store what the class would, without its two round trips a message."""
        key = self._history(session).key
        with redis.Redis.from_url(self._url) as client:
            for some in slices(messages):
                client.lpush(key, *(json.dumps(message_to_dict(message)) for message in some))
            client.expire(key, TTL_SECONDS)

    def turn(self, session: str, new: list[Any]) -> None:
        history = self._history(session)
        _ = history.messages
        history.add_messages(new)

    def read(self, session: str, last: int | None) -> int:
        return len(self._history(session).messages[-last if last else 0 :])

    def append(self, session: str, new: list[Any]) -> None:
        self._history(session).add_messages(new)

    def close(self) -> None:
        pass

    def _history(self, session: str) -> RedisChatMessageHistory:
        return RedisChatMessageHistory(session, url=self._url, ttl=TTL_SECONDS)
