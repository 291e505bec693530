"""Many calls at once: coroutines of one event loop, or threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Call = Callable[[], Any]
"""One thing to time: a turn, a read, an append."""


class AsyncDriver:
    """Drives a system of coroutines on an event loop that lives as long as the worker."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def wait(self, result: Awaitable[Any]) -> Any:
        """Return what an awaitable gives."""

        async def awaited() -> Any:
            return await result

        return self._runner.run(awaited())

    def run(self, queues: Sequence[Sequence[Call]]) -> list[float]:
        """Run all queues at once, each one call after another; return the seconds of each call."""
        return self._runner.run(self._run(queues))

    async def _run(self, queues: Sequence[Sequence[Call]]) -> list[float]:
        took: list[float] = []
        await asyncio.gather(*(self._one(queue, took) for queue in queues))
        return took

    @staticmethod
    async def _one(queue: Sequence[Call], took: list[float]) -> None:
        for call in queue:
            start = time.perf_counter()
            await call()
            took.append(time.perf_counter() - start)

    def beside(self, calls: Sequence[Call], other: Call) -> list[float]:
        """Run the calls one after another while another coroutine does the other one again and again."""
        return self._runner.run(self._beside(calls, other))

    async def _beside(self, calls: Sequence[Call], other: Call) -> list[float]:
        done = asyncio.Event()

        async def again_and_again() -> None:
            while not done.is_set():
                await other()

        async with asyncio.TaskGroup() as group:
            group.create_task(again_and_again())
            await asyncio.sleep(0)
            took: list[float] = []
            await self._one(calls, took)
            done.set()
        return took

    def close(self) -> None:
        """Close the event loop."""
        self._runner.close()


MOST_THREADS = 1000


class ThreadDriver:
    """Drives a blocking system: alone in this thread, else in as many threads as there are queues.

    The threads stay, as those of a server do: the warm-up starts them, and no measured round.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MOST_THREADS)

    def wait(self, result: Any) -> Any:
        """Return it."""
        return result

    def run(self, queues: Sequence[Sequence[Call]]) -> list[float]:
        """Run all queues at once, each one call after another; return the seconds of each call."""
        if len(queues) == 1:
            return self._one(queues[0])
        return [seconds for took in self._pool.map(self._one, queues) for seconds in took]

    @staticmethod
    def _one(queue: Sequence[Call]) -> list[float]:
        took = []
        for call in queue:
            start = time.perf_counter()
            call()
            took.append(time.perf_counter() - start)
        return took

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
