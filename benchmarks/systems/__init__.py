"""The systems by name. Standard library only: what a row names is imported in the row's own environment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One system: where its code is, and what it needs."""

    name: str
    module: str
    asynchronous: bool
    packages: tuple[str, ...]
    """Whose versions belong in the results."""
    environment: str | None = None
    """The requirements file of its own environment, `requirements-<this>.txt`; None for chatmem's."""
    needs_search: bool = False
    """Whether it needs a server with RediSearch and ReJSON, and all of it."""
    reads_tail: bool = True
    """Whether it reads the last messages without the others."""
    note: str = ""


ROWS = (
    Row("chatmem", "chatmem_async", True, ("chatmem-redis", "redis", "hiredis", "langchain-core", "msgspec")),
    Row(
        "chatmem zstd",
        "chatmem_compressed",
        True,
        ("chatmem-redis", "redis", "hiredis", "langchain-core", "msgspec", "zstandard"),
        note="with a dictionary trained on other conversations; the dictionary's own 64 KB are not counted",
    ),
    Row("redis-py", "redis_async", True, ("redis", "hiredis"), note="moves the bytes of chatmem's records undecoded"),
    Row("valkey-glide", "glide", True, ("valkey-glide",), note="as redis-py, on one client with a core in Rust"),
    Row("hiredis", "by_hand", True, ("hiredis",), note="the least: what all want at once goes out in one write"),
    Row(
        "openai-agents",
        "openai_session",
        True,
        ("openai-agents", "redis", "hiredis"),
        "peers",
        note="RedisSession on a shared client",
    ),
    Row("chatmem sync", "chatmem_sync", False, ("chatmem-redis", "redis", "hiredis", "langchain-core", "msgspec")),
    Row("redis-py sync", "redis_sync", False, ("redis", "hiredis"), note="as redis-py, blocking"),
    Row("hiredis sync", "by_hand_sync", False, ("hiredis",), note="the least: a blocking socket a thread"),
    Row(
        "langchain-community",
        "community",
        False,
        ("langchain-community", "langchain-core", "redis", "hiredis"),
        "peers",
        reads_tail=False,
        note="a client a history; reads all",
    ),
    Row(
        "memorystore",
        "memorystore",
        False,
        ("langchain-google-memorystore-redis", "langchain-core", "redis", "hiredis"),
        "memorystore",
        reads_tail=False,
        note="reads all",
    ),
    Row(
        "langchain-redis",
        "langchain_search",
        False,
        ("langchain-redis", "redisvl", "langchain-core", "redis"),
        "langchain-redis",
        needs_search=True,
        reads_tail=False,
        note="a client a history; reads all",
    ),
)
BY_NAME = {row.name: row for row in ROWS}
