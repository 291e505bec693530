"""A transport that is tried again: the only place where that is done over the clients that chatmem opens itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from anyio import to_thread
from redis.backoff import ExponentialBackoff

from chatmem.errors import ChatMemError, UnavailableError, UnsupportedError
from chatmem.transports.base import LONGEST_CALL, Command, Transport
from chatmem.transports.errors import Again, again

T = TypeVar("T")

TRIES_SECONDS = 20.0
"""No try begins later than this after the first."""
_LATER_TRIES = 8
_LATER = ExponentialBackoff(cap=1.0, base=0.05)  # over five seconds in all
SOON = ExponentialBackoff(cap=0.5, base=0.02)
"""Before another try on one server: it is there, or it is not."""
FAILOVER_TRIES, FAILOVER = _LATER_TRIES, _LATER
"""Before another try where another server will take over: about six seconds in all, in which most failovers end."""


class Clock(Protocol):
    """How time passes between tries and during one."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    async def within(self, seconds: float, call: Awaitable[list[Any]]) -> list[Any]:
        """Await a call, and give it up after so many seconds where that can be done.

        Raises:
            TimeoutError: it was given up.
        """
        ...

    async def ask(self, question: Callable[[], T]) -> T:
        """Call a function that blocks."""
        ...


class AsyncClock:
    """Time in an asyncio loop."""

    async def sleep(self, seconds: float) -> None:
        """Let others run meanwhile."""
        await asyncio.sleep(seconds)

    async def within(self, seconds: float, call: Awaitable[list[Any]]) -> list[Any]:
        """Cancel the call when its time is over."""
        async with asyncio.timeout(seconds):
            return await call

    async def ask(self, question: Callable[[], T]) -> T:
        """Call it in a worker thread."""
        return await to_thread.run_sync(question)


class BlockingClock:
    """Time in a thread; the client's own time-outs bound each call."""

    async def sleep(self, seconds: float) -> None:
        """Block the thread."""
        time.sleep(seconds)  # noqa: ASYNC251 - that is what this is for

    async def within(self, seconds: float, call: Awaitable[list[Any]]) -> list[Any]:
        """Await the call: nobody can cancel it."""
        return await call

    async def ask(self, question: Callable[[], T]) -> T:
        """Call it here."""
        return question()


class RetriedTransport:
    """Runs commands on another transport, again where the server is unavailable; each may be sent twice.

    No try begins after `TRIES_SECONDS`, and what a further try sends is sent within `longest`.
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
        """Take what runs commands.

        Args:
            transport: tries once.
            clock: how it waits.
            retries: how often it is tried again after a lost connection.
            backoff: how long it waits before that.
            longest: seconds; see `Transport.longest`.
            explain: looks, before anything succeeded, for a cause that no further try helps; it may block.
        """
        self._transport = transport
        self._clock = clock
        self._retries = retries
        self._backoff = backoff
        self._explain = explain
        self.longest = longest

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        begun = time.monotonic()
        try:
            replies = await self._transport.run(commands)
        except (UnavailableError, UnsupportedError) as error:
            return await self._run_again(commands, begun, error)
        self._explain = None  # it is the server that it should be
        return replies

    async def _run_again(self, commands: Sequence[Command], begun: float, error: ChatMemError) -> list[Any]:
        for failures in range(1, max(self._retries, _LATER_TRIES) + 1):
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
        """Wait before another try; return False where there is to be none."""
        kind = again(error)
        if kind in (Again.SOON, Again.UNSURE) and failures == 1:
            await self._look_for_cause(error)
        tries, backoff = (self._retries, self._backoff) if kind is Again.SOON else (_LATER_TRIES, _LATER)
        if kind in (Again.NO, Again.UNSURE) or failures > tries:
            return False
        pause = float(backoff.compute(failures))
        if time.monotonic() + pause > begun + TRIES_SECONDS:
            return False
        await self._clock.sleep(pause)
        return True

    async def _look_for_cause(self, error: ChatMemError) -> None:
        explain, self._explain = self._explain, None  # once, however many calls fail at once
        if explain is not None:
            cause = await self._clock.ask(lambda: explain(error.__cause__))
            if cause is not None:
                self._explain = explain
                raise cause from error

    async def checkpoint(self) -> None:
        """Let others run; see `Transport`."""
        await self._transport.checkpoint()

    async def aclose(self) -> None:
        """Close the transport beneath."""
        await self._transport.aclose()
