"""Sessions of a wanted length under names that no process has seen, made by copying one on the server.

A turn makes its session longer, so each round starts on new copies: DUMP once, RESTORE under a new name. Nothing of
this is timed. Where a round only reads, its sessions are renamed, which is as good and costs nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import redis

from benchmarks.systems.base import TTL_SECONDS, cluster_and_url

TEMPLATE = "template-000000000000000"


class Stage:
    """The sessions of one worker, in a database of its own."""

    def __init__(self, url: str, *, documents: bool = False) -> None:
        """Connect.

        Args:
            url: a database that is empty, since this class empties it.
            documents: whether sessions are JSON documents which hold the session's name as well.
        """
        self._is_cluster, address = cluster_and_url(url)
        self._redis: Any = (redis.RedisCluster if self._is_cluster else redis.Redis).from_url(address)
        self._documents = documents
        if self._redis.dbsize():
            raise RuntimeError("the database is not empty; a benchmark empties it, so give it one of its own")
        self._dumps: dict[bytes, bytes] = {}
        self._names: list[str] = []

    def make_template(self, seed: Callable[[str], object]) -> None:
        """Empty the database, let `seed` write one session, and keep a copy of its keys."""
        self._redis.flushdb()
        self._names = []
        seed(TEMPLATE)
        self._dumps = {key: dump for key in self._keys() if (dump := self._redis.dump(key)) is not None}

    def bytes_used(self) -> int:
        """Return what the template's keys take in the server."""
        return sum(self._redis.memory_usage(key, samples=0) or 0 for key in self._keys())

    def copies(self, number: int) -> list[str]:
        """Return the names of so many new sessions; those of before are gone."""
        self._delete()
        self._names = self.additional(number)
        return self._names

    def additional(self, number: int) -> list[str]:
        """Return the names of so many new sessions beside all others."""
        names = [self._name() for _ in range(number)]
        for some in _batches(names):
            pipeline = self._redis.pipeline(transaction=False)
            for name in some:
                for key, dump in self._dumps.items():
                    pipeline.restore(_for_session(key, name), TTL_SECONDS * 1000, dump)
                    if self._documents:
                        pipeline.execute_command("JSON.SET", _for_session(key, name), "$.session_id", f'"{name}"')
            pipeline.execute()
        return names

    def renamed(self) -> list[str]:
        """Return new names of the sessions, for processes that remember what they read."""
        if self._documents:
            return self.copies(len(self._names))
        old, self._names = self._names, [self._name() for _ in self._names]
        pipeline = self._redis.pipeline(transaction=False)
        for before, after in zip(old, self._names, strict=True):
            for key in self._dumps:
                pipeline.rename(_for_session(key, before), _for_session(key, after))
        pipeline.execute()
        return self._names

    def server_cpu(self) -> float:
        """Return the seconds of CPU that the server, or a cluster's masters, have used; 0 where it does not tell."""
        try:
            if self._is_cluster:
                nodes: list[dict[str, float]] = list(self._redis.info("cpu", target_nodes="primaries").values())
            else:
                nodes = [self._redis.info("cpu")]
        except redis.RedisError:
            return 0.0
        return float(sum(one.get("used_cpu_user", 0) + one.get("used_cpu_sys", 0) for one in nodes))

    def close(self) -> None:
        """Empty the database and close the connection."""
        self._redis.flushdb()
        self._redis.close()

    def _name(self) -> str:
        """Return a name as long as the template's, which no other worker of a cluster draws."""
        return f"session-{secrets.token_hex(8)}"

    def _keys(self) -> list[bytes]:
        return list(self._redis.scan_iter(match=f"*{TEMPLATE}*", count=1000))

    def _delete(self) -> None:
        for some in _batches(self._names):
            self._redis.unlink(*(_for_session(key, name) for name in some for key in self._dumps))


def _batches(names: list[str], size: int = 100) -> list[list[str]]:
    return [names[i : i + size] for i in range(0, len(names), size)]


def _for_session(key: bytes, name: str) -> bytes:
    return key.replace(TEMPLATE.encode(), name.encode())
