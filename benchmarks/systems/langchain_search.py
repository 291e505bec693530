"""langchain-redis' RedisChatMessageHistory, made from a URL for each request, as its documentation does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import messages_from_dict
from langchain_redis import RedisChatMessageHistory

from benchmarks.corpus import Message
from benchmarks.systems.base import TTL_SECONDS


class System:
    """A history a turn, which opens a client of its own. It cannot read a tail."""

    def open(self, url: str) -> None:
        separator = "&" if "?" in url else "?"
        self._url = f"{url}{separator}protocol=2"  # with RESP3 its second construction in a process fails

    def prepare(self, messages: Sequence[Message]) -> list[Any]:
        return messages_from_dict(list(messages))

    def seed(self, session: str, messages: list[Any]) -> None:
        self._history(session).add_messages(messages)

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
        return RedisChatMessageHistory(session, redis_url=self._url, ttl=TTL_SECONDS)
