"""How often and how long a call is tried: bounded in all, said by the transport, and the same for both facades."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import redis
import redis.asyncio
import upstash_redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

import chatmem
from chatmem.backends.connection import connection_to
from chatmem.transports import retrying
from chatmem.transports.base import LONGEST_CALL, Background, Command, Subscription
from chatmem.transports.driving import drive
from chatmem.transports.retrying import SOON, AsyncClock, BlockingClock, RetryingTransport


class Failing:
    """A transport that fails, each time after a while.

    Attributes:
        begun: when each try began.
        cancelled: how many tries were given up.
    """

    longest = 0.0

    def __init__(self, seconds: float, error: Exception) -> None:
        self._seconds = seconds
        self._error = error
        self.begun: list[float] = []
        self.cancelled = 0

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        self.begun.append(time.monotonic())
        try:
            await self.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        raise chatmem.UnavailableError("failed") from self._error

    async def wait(self) -> None:
        await asyncio.sleep(self._seconds)

    def scan(self, match: bytes) -> AsyncIterator[bytes]:
        raise AssertionError

    def subscribe(self, channel: bytes) -> Subscription:
        raise AssertionError

    def background(self) -> Background:
        raise AssertionError

    async def checkpoint(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""


class FailingInAThread(Failing):
    async def wait(self) -> None:
        time.sleep(self._seconds)  # noqa: ASYNC251 - as a blocking client does


LOST = redis.ConnectionError("lost")
BUSY = redis.ResponseError("BUSY a script runs")
LOCKED = redis.AuthenticationError("wrong")


@pytest.mark.parametrize(("error", "tries"), [(LOST, 4), (BUSY, 9), (LOCKED, 1), (ValueError("x"), 1)])
async def test_how_often(error: Exception, tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection is tried again as often as the address says, a refusal for a while, others not at all."""
    monkeypatch.setattr(retrying, "_LATER", ConstantBackoff(0.001))
    for failing, clock in ((Failing(0, error), AsyncClock()), (FailingInAThread(0, error), BlockingClock())):
        transport = RetryingTransport(failing, clock, retries=3, backoff=SOON)
        with pytest.raises(chatmem.UnavailableError, match="failed"):
            await transport.run([("PING",)])
        assert len(failing.begun) == tries


async def test_no_try_begins_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are left, where each one takes long."""
    monkeypatch.setattr(retrying, "RETRY_SECONDS", 1.5)
    for failing, clock in ((Failing(0.8, LOST), AsyncClock()), (FailingInAThread(0.8, LOST), BlockingClock())):
        transport = RetryingTransport(failing, clock, retries=100, backoff=SOON)
        with pytest.raises(chatmem.UnavailableError):
            await transport.run([("PING",)])
        assert len(failing.begun) == 2
        assert failing.begun[-1] - failing.begun[0] <= 1.5


async def test_nothing_is_sent_again_after_the_longest_time() -> None:
    """A further try is given up then; the first one, which is no resend, may take as long as it gets on."""
    failing = Failing(0.4, LOST)
    transport = RetryingTransport(failing, AsyncClock(), retries=3, backoff=SOON, longest=0.6)
    with pytest.raises(chatmem.UnavailableError, match="failed"):
        await transport.run([("PING",)])
    assert (len(failing.begun), failing.cancelled) == (2, 1)


def longest(blocking: bool, **options: Any) -> float:
    connection = connection_to(**options)
    if blocking:
        return connection.blocking().longest

    async def main() -> float:
        return connection.asynchronous().longest

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "asynchronous", "blocking"),
    [
        ("redis://host", LONGEST_CALL, LONGEST_CALL),
        ("rediss://host", LONGEST_CALL, LONGEST_CALL),
        ("unix:///run/redis.sock", LONGEST_CALL, LONGEST_CALL),
        ("redis://host?socket_timeout=30", LONGEST_CALL, 20 + 10 + 2 * 5 + 2 * 30),
        ("redis+cluster://host", LONGEST_CALL, 2 * LONGEST_CALL),
        ("redis+sentinel://host,host2/service", LONGEST_CALL, LONGEST_CALL + 20),
        ("embedded:///tmp/longest", 3 * LONGEST_CALL, 3 * LONGEST_CALL),
        ("upstash://:token@host", 20 + 2 * (2 * 25.2 + 20), 20 + 2 * (2 * 25.2 + 20)),
    ],
)
def test_what_a_url_says(url: str, asynchronous: float, blocking: float) -> None:
    """What recognises a resend has to live so long."""
    assert longest(False, url=url) == pytest.approx(asynchronous)
    assert longest(True, url=url) == pytest.approx(blocking)


def test_what_a_callers_client_says(url: str) -> None:
    """Its own time-outs and tries: without a time-out nobody can say; coroutines of asyncio are bounded anyway."""
    forever: dict[str, Any] = {"socket_timeout": None}
    for options in ({}, forever):
        assert longest(False, client=redis.asyncio.Redis.from_url(url, **options)) == LONGEST_CALL
    waiting = {"socket_timeout": 2.0, "socket_connect_timeout": 1.0}
    never = redis.Redis.from_url(url, **waiting, retry=Retry(NoBackoff(), 0))
    assert longest(True, client=never) == longest(False, client=never) == 1 + 3 * 2
    thrice = redis.Redis.from_url(url, **waiting, retry=Retry(ConstantBackoff(0.5), 2))
    assert longest(True, client=thrice) == 3 * (3 * 1 + 1 + 3 * 2) + 1
    for endless in (forever, {**waiting, "retry": Retry(NoBackoff(), -1)}):
        assert longest(True, client=redis.Redis.from_url(url, **endless)) == math.inf
    assert longest(True, client=upstash_redis.Redis("https://host", "token", rest_retries=1)) == math.inf


def test_a_caller_that_is_told_why(url: str) -> None:
    """What is looked for before a second try is looked for only until something succeeded."""
    asked = []

    def explain(error: BaseException | None) -> chatmem.ChatMemError:
        asked.append(error)
        return chatmem.UnavailableError("it is a teapot")

    failing = FailingInAThread(0, LOST)
    transport = RetryingTransport(failing, BlockingClock(), retries=3, backoff=SOON, explain=explain)
    with pytest.raises(chatmem.UnavailableError, match="teapot"):
        drive(transport.run([("PING",)]))
    assert (asked, len(failing.begun)) == ([LOST], 1)

    class Once(FailingInAThread):
        async def run(self, commands: Sequence[Command]) -> list[Any]:
            return [] if not commands else await super().run(commands)

    failing = Once(0, LOST)
    transport = RetryingTransport(failing, BlockingClock(), retries=3, backoff=SOON, explain=explain)
    drive(transport.run([]))
    with pytest.raises(chatmem.UnavailableError, match="failed"):
        drive(transport.run([("PING",)]))
    assert (len(asked), len(failing.begun)) == (1, 4)
