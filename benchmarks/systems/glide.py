"""valkey-glide alone: the commands of redis-py alone, over the bytes of chatmem's records, nothing decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import glide

from benchmarks.corpus import Message
from benchmarks.systems.base import CONNECTIONS, LAST, TTL_SECONDS, cluster_and_url, slices

PATIENCE = 30_000
"""Milliseconds until a request fails; its own 250 are too few for 1,000 turns at once on few cores."""


class System:
    """One client, which sends what all coroutines ask for over one connection."""

    def open(self, url: str) -> None:
        self._url = url
        self._is_cluster, address = cluster_and_url(url)
        parts = urlsplit(address)
        options: dict[str, Any] = {
            "addresses": [glide.NodeAddress(parts.hostname or "", parts.port or 6379)],
            "request_timeout": PATIENCE,
            "inflight_requests_limit": CONNECTIONS,
        }
        if self._is_cluster:
            self._batch: Any = glide.ClusterBatch
            self._kind: Any = glide.GlideClusterClient
            self._configuration: Any = glide.GlideClusterClientConfiguration(**options)
        else:
            self._batch = glide.Batch
            self._kind = glide.GlideClient
            number = int(parts.path.strip("/") or 0)
            self._configuration = glide.GlideClientConfiguration(**options, database_id=number)
        self._client: Any = None

    def prepare(self, messages: Sequence[Message]) -> list[Any]:
        from benchmarks.systems.elements import elements  # noqa: PLC0415 - chatmem is no part of this system's start

        return elements(self._url, messages)

    async def seed(self, session: str, messages: list[Any]) -> None:
        await self._open()
        for some in slices(messages):
            await self._client.rpush(_key(session), some)

    async def turn(self, session: str, new: list[Any]) -> None:
        await self.read(session, LAST)
        await self.append(session, new)

    async def read(self, session: str, last: int | None) -> int:
        if self._client is None:
            await self._open()
        return len(await self._client.lrange(_key(session), -last if last else 0, -1))

    async def append(self, session: str, new: list[Any]) -> None:
        batch = self._batch(is_atomic=False)
        batch.rpush(_key(session), new)
        batch.expire(_key(session), TTL_SECONDS)
        await self._client.exec(batch, raise_on_error=True)

    async def close(self) -> None:
        await self._client.close()

    async def _open(self) -> None:
        """Open the client, which only a coroutine can do."""
        if self._client is None:
            self._client = await self._kind.create(self._configuration)


def _key(session: str) -> str:
    return f"alone:{session}"
