"""Stores turns through one class, each until it does not raise: for every number on stdin, how often it raised.

`fault_driver.py SYSTEM URL`, in an environment that has the class. It imports neither the tests nor, but for
chatmem's own row, chatmem. All take their URL's options, and redis-py's own retries with them.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

SESSION = "compared"
Store = Callable[[str], Awaitable[Any]]


def langchain_community(url: str) -> Store:
    """One history, which puts each message by a command of its own."""
    messages = importlib.import_module("langchain_core.messages")
    kind = importlib.import_module("langchain_community.chat_message_histories").RedisChatMessageHistory
    history = kind(SESSION, url=url, ttl=600)

    async def store(name: str) -> None:
        history.add_messages([messages.HumanMessage(f"{name}q", id=f"{name}q"), messages.AIMessage(f"{name}a")])

    return store


def openai_agents(url: str) -> Store:
    """One session on a client of its own, as `RedisSession.from_url` makes it."""
    session = importlib.import_module("agents.extensions.memory").RedisSession.from_url(SESSION, url=url, ttl=600)

    async def store(name: str) -> None:
        await session.add_items(
            [{"role": "user", "content": f"{name}q", "id": f"{name}q"}, {"role": "assistant", "content": f"{name}a"}]
        )

    return store


def chatmem_async(url: str) -> Store:
    """One history; the turn's name is its key."""
    history = importlib.import_module("chatmem").connect(url, ttl=600).history(SESSION)
    return lambda name: history.append(f"{name}q", ("ai", f"{name}a"), idempotency_key=name)


def chatmem_without_key(url: str) -> Store:
    """As the others are called: nothing tells the class that a turn comes again."""
    history = importlib.import_module("chatmem").connect(url, ttl=600).history(SESSION)
    return lambda name: history.append(f"{name}q", ("ai", f"{name}a"))


SYSTEMS: dict[str, Callable[[str], Store]] = {
    "chatmem": chatmem_async,
    "chatmem without a key": chatmem_without_key,
    "langchain-community": langchain_community,
    "openai-agents": openai_agents,
}


def errors_of(system: str) -> tuple[type[Exception], ...]:
    """Return what the class raises where the server is not reached."""
    if system.startswith("chatmem"):
        return (importlib.import_module("chatmem").UnavailableError,)
    return (importlib.import_module("redis.exceptions").RedisError, OSError)


async def main(system: str, url: str) -> None:
    errors, store = errors_of(system), SYSTEMS[system](url)
    for line in sys.stdin:
        raised = 0
        while True:
            try:
                await store(line.strip())
            except errors:
                raised += 1
            else:
                break
        print(raised, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
