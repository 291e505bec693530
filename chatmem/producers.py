"""Producers of answers as tasks of the application's lifespan: `ChatMemory.answers`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable
from datetime import timedelta
from typing import Any

from langchain_core.messages import MessageLikeRepresentation

from chatmem.core.answering.draft import LAST_CALL, Draft
from chatmem.history import History

Producer = AsyncIterable[Any] | Callable[[Draft], Awaitable[None]]
"""What writes an answer: an async iterable of chunks, or `async def produce(draft)`."""

_logger = logging.getLogger("chatmem")


class Producers:
    """The producers that run as tasks of a memory. They outlive the request that began them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(
        self,
        history: History,
        produce: Producer,
        *messages: MessageLikeRepresentation,
        id: str | None = None,  # noqa: A002 - what everybody calls it
        alone: bool = True,
        expected_version: int | None = None,
        lease: float | timedelta = 30.0,
    ) -> str:
        """Begin an answer, and write it in a task that belongs to the memory. One round trip.

        Closing the memory cancels the task and waits for it; what there is of the answer is stored as "interrupted". If
        the producer raises an error, what there is is stored as "failed", and the error is logged.

        Args:
            history: the conversation.
            produce: an async iterable of chunks, as `Draft.write` takes them, or `async def produce(draft)`, which
                writes them itself.
            messages: as for `History.answer`, like all that follow.
            id: the answer's id.
            alone: whether it is an error if another answer runs in this session.
            expected_version: the session's version as you know it.
            lease: seconds or a `timedelta`.

        Returns:
            The answer's id, for `History.follow` and `History.stop`.

        Raises:
            ConflictError: another answer runs, or the session is not at `expected_version`. Nothing was stored.
            ValueError: an argument is wrong. `History.append` says what else can be raised.
        """
        if not isinstance(produce, AsyncIterable) and not callable(produce):
            raise ValueError("produce must be an async iterable of chunks, or a function `async def produce(draft)`")
        draft = history.answer(*messages, id=id, alone=alone, expected_version=expected_version, lease=lease)
        begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        begun.add_done_callback(lambda done: done.cancelled() or done.exception())  # its caller may be gone
        task = asyncio.create_task(_run(draft, produce, begun))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: begun.cancel())  # it may have been cancelled before its first step
        return await asyncio.shield(begun)

    async def aclose(self) -> None:
        """Cancel the tasks of the running loop, and wait for them.

        A task that still runs after `LAST_CALL` is cancelled again: it, or a library that it uses, may have swallowed a
        cancellation.
        """
        if not self._tasks:  # and perhaps another loop than asyncio's
            return
        loop = asyncio.get_running_loop()
        while tasks := [task for task in self._tasks if task.get_loop() is loop]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=LAST_CALL)


async def _run(draft: Draft, produce: Producer, begun: asyncio.Future[str]) -> None:
    try:
        async with draft:
            begun.set_result(draft.id)
            await _write(draft, produce)
    except Exception as error:
        if begun.done():
            _logger.exception("the answer %r failed", draft.id)
        else:
            begun.set_exception(error)


async def _write(draft: Draft, produce: Producer) -> None:
    if not isinstance(produce, AsyncIterable):
        await produce(draft)
        return
    try:
        async for chunk in produce:
            await draft.write(chunk)
    finally:
        if (close := getattr(produce, "aclose", None)) is not None:
            await close()
