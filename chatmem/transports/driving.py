"""Runs coroutines that never suspend, without an event loop: this is how the synchronous facade uses the core."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends to its end and return its result.

    Raises:
        RuntimeError: the coroutine suspended, which is a bug in chatmem.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine suspended over a blocking transport; this is a bug in chatmem")


def iterate(items: AsyncIterator[T]) -> Iterator[T]:
    """Yield the items of an async iterator that never suspends."""

    async def following() -> T:
        return await anext(items)

    try:
        while True:
            try:
                item = drive(following())
            except StopAsyncIteration:
                return
            yield item
    finally:
        if (close := getattr(items, "aclose", None)) is not None:
            drive(close())
