"""The elements of a list as chatmem stores them, for redis-py alone, which only moves them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from langchain_core.messages import messages_from_dict

import chatmem.sync
from benchmarks.corpus import Message
from benchmarks.systems.base import cluster_and_url, slices

SCRATCH = "scratch"


def elements(url: str, messages: Sequence[Message]) -> list[bytes]:
    """Let chatmem store the messages and return what then stands in the server."""
    cluster, address = cluster_and_url(url)
    opened: Any = (redis.RedisCluster if cluster else redis.Redis).from_url(address)
    with chatmem.sync.connect(url) as memory, opened as client:
        history = memory.history(SCRATCH)
        for some in slices(messages_from_dict(list(messages))):
            history.append(*some)
        stored: list[bytes] = client.lrange(f"chatmem:{{{SCRATCH}}}:m", 0, -1)
        history.clear()
    return stored
