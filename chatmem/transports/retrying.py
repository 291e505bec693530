"""Retries. Over the clients that chatmem opens itself, nothing else retries: redis-py's own retries are off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from anyio import to_thread
from redis.backoff import ExponentialBackoff

from chatmem.errors import ChatMemError, UnavailableError, UnsupportedError
from chatmem.transports.base import LONGEST_CALL, Command, Transport
from chatmem.transports.errors import Retry, retry_of
from chatmem.transports.wrappers import TransportWrapper

T = TypeVar("T")

RETRY_SECONDS = 20.0
"""No retry begins later than this after the first try."""
_LATER_RETRIES = 8
_LATER = ExponentialBackoff(cap=1.0, base=0.05)  # more than five seconds in all
SOON = ExponentialBackoff(cap=0.5, base=0.02)
"""The pauses before retries on one server, which is either there or not."""
FAILOVER_RETRIES, FAILOVER = _LATER_RETRIES, _LATER
"""The same where another server will take over: about six seconds in all, in which most failovers end."""


class Clock(Protocol):
    """How a caller waits: between tries, and for a try to end."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def within(self, seconds: float, call: Awaitable[list[Any]]) -> list[Any]:
        """Await a call, and give it up after so many seconds where that is possible.

        Raises:
            TimeoutError: the call was given up.
        """
        ...

    async def ask(self, question: Callable[[], T]) -> T:
        """Call a function that blocks."""
        ...


class AsyncClock:
    """Waits in an asyncio loop."""

    async def sleep(self, seconds: float) -> None:
        """Wait; other tasks run meanwhile."""
        await asyncio.sleep(seconds)

    async def within(self, seconds: float, call: Awaitable[list[Any]]) -> list[Any]:
        """Await the call and cancel it when its time is over."""
        async with asyncio.timeout(seconds):
            return await call

    async def ask(self, question: Callable[[], T]) -> T:
        """Call the function in a worker thread."""
        return await to_thread.run_sync(question)


class BlockingClock:
    """Waits by blocking the thread. The client's own time-outs bound each call."""

    async def sleep(self, seconds: float) -> None:
        """Block the thread."""
        time.sleep(seconds)  # noqa: ASYNC251 - this coroutine must not suspend

    async def within(self, seconds: float, call: Awaitable[list[Any]]) -> list[Any]:
        """Await the call, however long it takes: nothing can cancel it."""
        return await call

    async def ask(self, question: Callable[[], T]) -> T:
        """Call the function here."""
        return question()


class RetryingTransport(TransportWrapper):
    """Retries commands where the server is unavailable. That is safe: each command may be sent twice.

    No retry begins after `RETRY_SECONDS`, and none sends anything after `longest`.
    """

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        *,
        retries: int,
        backoff: ExponentialBackoff,
        longest: float = LONGEST_CALL,
        explain: Callable[[BaseException | None], ChatMemError | None] | None = None,
    ) -> None:
        """Wrap a transport that tries once.

        Args:
            transport: runs the commands.
            clock: waits between retries.
            retries: how often to retry after a lost connection.
            backoff: the pauses before these retries.
            longest: in seconds; see `Transport.longest`.
            explain: returns an error to raise at once, where no retry would help; None to go on. It is called before
                anything succeeded, with the client's error, and it may block.
        """
        super().__init__(transport, longest=longest)
        self._clock = clock
        self._retries = retries
        self._backoff = backoff
        self._explain = explain

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        begun = time.monotonic()
        try:
            replies = await self._transport.run(commands)
        except (UnavailableError, UnsupportedError) as error:
            return await self._retry(commands, begun, error)
        self._explain = None  # the server is what it should be
        return replies

    async def _retry(self, commands: Sequence[Command], begun: float, error: ChatMemError) -> list[Any]:
        for failures in range(1, max(self._retries, _LATER_RETRIES) + 1):
            if not await self._wait(failures, begun, error):
                break
            left = begun + self.longest - time.monotonic()
            try:
                return await self._clock.within(left, self._transport.run(commands))
            except TimeoutError:
                break
            except (UnavailableError, UnsupportedError) as next_error:
                error = next_error
        raise error

    async def _wait(self, failures: int, begun: float, error: ChatMemError) -> bool:
        """Wait before a retry; return False if there is to be none."""
        kind = retry_of(error)
        if kind in (Retry.SOON, Retry.UNSURE) and failures == 1:
            await self._look_for_cause(error)
        retries, backoff = (self._retries, self._backoff) if kind is Retry.SOON else (_LATER_RETRIES, _LATER)
        if kind in (Retry.NO, Retry.UNSURE) or failures > retries:
            return False
        pause = float(backoff.compute(failures))
        if time.monotonic() + pause > begun + RETRY_SECONDS:
            return False
        await self._clock.sleep(pause)
        return True

    async def _look_for_cause(self, error: ChatMemError) -> None:
        explain, self._explain = self._explain, None  # one call asks, however many fail at the same time
        if explain is not None:
            cause = await self._clock.ask(lambda: explain(error.__cause__))
            if cause is not None:
                self._explain = explain
                raise cause from error
