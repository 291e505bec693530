"""Work beside the body of a block: as tasks of asyncio, as a thread, or as tasks of another event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import anyio

from chatmem.transports.base import Background, InterruptedBody
from chatmem.transports.driving import drive

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, None]]
AGAIN = 0.5
"""Seconds after which a task that was cancelled and still runs is cancelled again."""


class AsyncioBackground:
    """Runs work as tasks. Implements `Background`.

    It needs no cancel scope, so the block may end in another task than the one it began in: that happens where a block
    in an asynchronous generator ends when the generator is garbage-collected.
    """

    def __init__(self, *, listens: bool) -> None:
        self.listens = listens
        self._tasks: list[asyncio.Task[None]] = []
        self._awake = asyncio.Event()
        self._body: asyncio.Task[Any] | None = None
        self._cancels = 0
        self._interrupts = False

    async def start(self, work: Work, listen: Work) -> None:
        """Begin; see `Background`."""
        self._body = asyncio.current_task()
        self._cancels = self._body.cancelling() if self._body else 0
        self._tasks = [asyncio.create_task(one()) for one in ((work, listen) if self.listens else (work,))]

    async def wait(self, seconds: float, *, wakes: bool = True) -> None:
        """Wait; see `Background`."""
        if not wakes:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            pass
        self._awake.clear()

    def wake(self) -> None:
        """End the wait."""
        self._awake.set()

    def interrupt(self) -> None:
        """Cancel the body."""
        if self._body is not None and not self._interrupts:
            self._interrupts = True
            self._body.cancel()

    async def checkpoint(self) -> None:
        """Let other tasks run. If the body was interrupted and goes on, something has swallowed that: end it again."""
        await asyncio.sleep(0)
        if self._interrupts:
            raise asyncio.CancelledError

    async def stop(self, error: BaseException | None) -> bool:
        """End the work; see `Background`."""
        body, self._body = self._body, None
        interrupted = False
        if self._interrupts and body is not None:
            left = body.uncancel()
            interrupted = isinstance(error, asyncio.CancelledError) and left <= self._cancels
        for task in self._tasks:
            task.cancel()  # `finish` waits for them: here, a cancellation would keep it from being called
        return interrupted

    async def _behind_tasks(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        left = set(self._tasks)
        while left:
            _, left = await asyncio.wait(left, timeout=AGAIN)
            for task in left:
                task.cancel()  # before Python 3.12, `asyncio.wait_for` may swallow a cancellation
        done = await work()
        for task in self._tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return done

    async def finish(self, work: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Return what the work returns; see `Background`."""
        task = asyncio.create_task(self._behind_tasks(work))
        cancelled: asyncio.CancelledError | None = None
        end: float | None = None
        while not task.done():
            left = None if end is None else end - asyncio.get_running_loop().time()
            if left is not None and left <= 0:
                task.cancel()
                left = None
            try:
                await asyncio.wait([task], timeout=left)
            except asyncio.CancelledError as error:
                cancelled = cancelled or error
                end = end or asyncio.get_running_loop().time() + seconds
        if cancelled is not None:
            if not task.cancelled():
                task.exception()  # what was cancelled tells nobody
            raise cancelled
        return task.result()


class ThreadBackground:
    """Runs work in a thread, whose coroutines never suspend. Implements `Background`. Nothing can cancel the body."""

    listens = False

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._awake = self._over = self._interrupts = False
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    async def start(self, work: Work, listen: Work) -> None:
        """Begin; see `Background`."""

        def run() -> None:
            try:
                drive(work())
            except _OverError:
                pass
            except Exception as error:  # noqa: BLE001 - `stop` raises it
                self._error = error

        self._thread = threading.Thread(target=run, name="chatmem answer", daemon=True)
        self._thread.start()

    async def wait(self, seconds: float, *, wakes: bool = True) -> None:
        """Block the thread; see `Background`."""
        with self._condition:
            self._condition.wait_for(lambda: self._over or (wakes and self._awake), seconds)
            if wakes:
                self._awake = False
            if self._over:
                raise _OverError

    def wake(self) -> None:
        """End the wait."""
        with self._condition:
            self._awake = True
            self._condition.notify()

    def interrupt(self) -> None:
        """Have the next checkpoint end the body."""
        self._interrupts = True

    async def checkpoint(self) -> None:
        """End the body if it was interrupted."""
        if self._interrupts:
            raise InterruptedBody

    async def stop(self, error: BaseException | None) -> bool:
        """End the work; see `Background`."""
        with self._condition:
            self._over = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error
        return isinstance(error, InterruptedBody)

    async def finish(self, work: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Return what the work returns: nothing can cancel it."""
        return await work()


class _OverError(Exception):
    """Ends the work in a thread, where it waits."""


class AnyioBackground:
    """Runs work as tasks of any event loop that anyio knows. Implements `Background`."""

    listens = False

    def __init__(self) -> None:
        self._awake = anyio.Event()
        self._tasks = anyio.create_task_group()
        self._scope = anyio.CancelScope()

    async def start(self, work: Work, listen: Work) -> None:
        """Begin; see `Background`."""
        await self._tasks.__aenter__()
        self._tasks.start_soon(work)
        self._scope.__enter__()

    async def wait(self, seconds: float, *, wakes: bool = True) -> None:
        """Wait; see `Background`."""
        if not wakes:
            await anyio.sleep(seconds)
            return
        with anyio.move_on_after(seconds):
            await self._awake.wait()
        self._awake = anyio.Event()

    def wake(self) -> None:
        """End the wait."""
        self._awake.set()

    def interrupt(self) -> None:
        """Cancel the body."""
        self._scope.cancel()

    async def checkpoint(self) -> None:
        """Let other tasks run."""
        await anyio.lowlevel.checkpoint()

    async def stop(self, error: BaseException | None) -> bool:
        """End the work; see `Background`."""
        kind, trace = (None, None) if error is None else (type(error), error.__traceback__)
        interrupted = bool(self._scope.__exit__(kind, error, trace))
        self._tasks.cancel_scope.cancel()
        with suppress(anyio.get_cancelled_exc_class()):  # whoever cancelled this does so again
            await self._tasks.__aexit__(None, None, None)
        return interrupted

    async def finish(self, work: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Return what the work returns; see `Background`. It has so many seconds, cancelled or not."""
        with anyio.CancelScope(shield=True, deadline=anyio.current_time() + seconds):
            return await work()
        raise TimeoutError


def background_of_loop() -> Background:
    """Return what runs work in the running event loop, asyncio's or another."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return AnyioBackground()
    return AsyncioBackground(listens=False)
