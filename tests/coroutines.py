"""The synchronous facade, callable as if it were the asynchronous one, so that both pass the same tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol, cast

import chatmem
import chatmem.sync


class Connect(Protocol):
    """Opens a memory in either facade; the synchronous one answers as coroutines."""

    def __call__(self, url: str | None = ..., **options: Any) -> chatmem.ChatMemory: ...


def as_coroutines(memory: chatmem.sync.ChatMemory) -> chatmem.ChatMemory:
    """Return the memory with methods that are coroutines, like those of `chatmem.ChatMemory`.

    tests/test_sync.py and tests/typing show that both facades have the same signatures.
    """
    return cast("chatmem.ChatMemory", AsCoroutines(memory))


class AsCoroutines:
    """Wraps a sync `ChatMemory` or `History`: its methods return coroutines."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def history(self, session_id: str, **options: Any) -> AsCoroutines:
        return AsCoroutines(self._wrapped.history(session_id, **options))

    def langchain(self, session_id: str) -> Any:
        return self._wrapped.langchain(session_id)

    async def aclose(self) -> None:
        self._wrapped.close()

    async def entries(self, **options: Any) -> AsyncIterator[chatmem.Entry]:
        for entry in self._wrapped.entries(**options):
            yield entry

    async def changes(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        for change in self._wrapped.changes(*args, **options):
            yield change

    async def follow(self, *args: Any, **options: Any) -> AsyncIterator[Any]:
        for chunk in self._wrapped.follow(*args, **options):
            yield chunk

    def answer(self, *args: Any, **options: Any) -> _AsDraft:
        return _AsDraft(self._wrapped.answer(*args, **options))

    async def all_sessions(self, *args: Any) -> AsyncIterator[str]:
        for session in self._wrapped.all_sessions(*args):
            yield session

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._wrapped, name)
        if not callable(method):
            return method

        async def call(*args: Any, **options: Any) -> Any:
            done = method(*args, **options)
            return AsCoroutines(done) if isinstance(done, chatmem.sync.History) else done

        return call


class _AsDraft(AsCoroutines):
    """Wraps a sync `Draft`."""

    async def __aenter__(self) -> _AsDraft:
        self._wrapped.__enter__()
        return self

    async def __aexit__(self, *error: Any) -> bool:
        done: bool = self._wrapped.__exit__(*error)
        return done
