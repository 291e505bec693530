"""redis-py alone: a plain pipeline a session over the bytes of chatmem's records, nothing decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis.asyncio

from benchmarks.corpus import Message
from benchmarks.systems.base import CONNECTIONS, LAST, TTL_SECONDS, cluster_and_url, slices


class System:
    """One client; its pool has a connection for each session at work."""

    def open(self, url: str) -> None:
        self._url = url
        cluster, address = cluster_and_url(url)
        client: Any = redis.asyncio.RedisCluster if cluster else redis.asyncio.Redis
        self._redis = client.from_url(address, max_connections=CONNECTIONS)

    def prepare(self, messages: Sequence[Message]) -> list[Any]:
        from benchmarks.systems.elements import elements  # noqa: PLC0415 - chatmem is no part of this system's start

        return elements(self._url, messages)

    async def seed(self, session: str, messages: list[Any]) -> None:
        for some in slices(messages):
            await self._redis.rpush(_key(session), *some)

    async def turn(self, session: str, new: list[Any]) -> None:
        await self.read(session, LAST)
        await self.append(session, new)

    async def read(self, session: str, last: int | None) -> int:
        return len(await self._redis.lrange(_key(session), -last if last else 0, -1))

    async def append(self, session: str, new: list[Any]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.rpush(_key(session), *new)
        pipeline.expire(_key(session), TTL_SECONDS)
        await pipeline.execute()

    async def close(self) -> None:
        await self._redis.aclose()


def _key(session: str) -> str:
    return f"alone:{session}"
