"""redis-py alone, blocking: a plain pipeline a session over the bytes of chatmem's records, nothing decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from benchmarks.corpus import Message
from benchmarks.systems.base import CONNECTIONS, LAST, TTL_SECONDS, cluster_and_url, slices


class System:
    """One client; its pool has a connection for each thread at work."""

    def open(self, url: str) -> None:
        self._url = url
        cluster, address = cluster_and_url(url)
        client: Any = redis.RedisCluster if cluster else redis.Redis
        self._redis = client.from_url(address, max_connections=CONNECTIONS)

    def prepare(self, messages: Sequence[Message]) -> list[Any]:
        from benchmarks.systems.elements import elements  # noqa: PLC0415 - chatmem is no part of this system's start

        return elements(self._url, messages)

    def seed(self, session: str, messages: list[Any]) -> None:
        for some in slices(messages):
            self._redis.rpush(_key(session), *some)

    def turn(self, session: str, new: list[Any]) -> None:
        self.read(session, LAST)
        self.append(session, new)

    def read(self, session: str, last: int | None) -> int:
        return len(self._redis.lrange(_key(session), -last if last else 0, -1))

    def append(self, session: str, new: list[Any]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.rpush(_key(session), *new)
        pipeline.expire(_key(session), TTL_SECONDS)
        pipeline.execute()

    def close(self) -> None:
        self._redis.close()


def _key(session: str) -> str:
    return f"alone:{session}"
