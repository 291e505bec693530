"""More is asked for than the server does: everybody gets an answer or an UnavailableError, and nothing piles up."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
import redis

import chatmem
import chatmem.sync
from chatmem.transports import multiplexer
from tests.servers import debian_binary, run_server, wait_until


@pytest.fixture
def own() -> Iterator[str]:
    """A server of the test's own, which may be stopped."""
    with run_server(debian_binary()) as url:
        yield url


@contextmanager
def stopped(url: str) -> Iterator[None]:
    """Stop the server's process as it stands: it takes connections and bytes, and does nothing."""
    with closing(redis.Redis.from_url(url)) as admin:
        pid = int(admin.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def outcome(call: asyncio.Future[object] | asyncio.Task[object]) -> str:
    try:
        await call
    except chatmem.UnavailableError:
        return "unavailable"
    return "done"


async def test_coroutines_on_a_stopped_server(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,500 appends none hangs, and only so many are under way; afterwards the same ones are stored once each."""
    monkeypatch.setattr(multiplexer, "PATIENCE", 0.4)
    async with chatmem.connect(f"{own}?socket_timeout=0.2") as memory:
        await memory.ping()

        def append(number: int) -> asyncio.Task[object]:
            history = memory.history(f"s{number % 50}")
            return asyncio.create_task(history.append("x" * 1000, idempotency_key=str(number)))

        started = time.monotonic()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with stopped(own):
            results = Counter(await asyncio.gather(*(outcome(append(number)) for number in range(1500))))
        took, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert results == {"unavailable": 1500}
        assert took < 10  # four tries, each of which waits for room and then for a reply
        assert after - before < 100 * 2**10  # KiB, for 1.5 MB of messages
        monkeypatch.undo()
    async with chatmem.connect(own) as memory:  # which waits as long as it does by default
        again = Counter(await asyncio.gather(*(outcome(append(number)) for number in range(1500))))
        assert again == {"done": 1500}
        assert sum([await memory.history(f"s{number}").count() for number in range(50)]) == 1500


def test_threads_on_a_stopped_server(own: str) -> None:
    """64 threads on four connections: each gets its error in bounded time, and all are served afterwards."""
    url = f"{own}?max_connections=4&socket_timeout=0.2&timeout=1"
    with chatmem.sync.connect(url) as memory:
        memory.ping()

        def append(number: int) -> tuple[str, float]:
            started = time.monotonic()
            try:
                memory.history(f"s{number % 8}").append("x", idempotency_key=str(number))
            except chatmem.UnavailableError:
                return "unavailable", time.monotonic() - started
            return "done", time.monotonic() - started

        with ThreadPoolExecutor(64) as pool:
            with stopped(own):
                results = list(pool.map(append, range(64)))
            assert Counter(what for what, _ in results) == {"unavailable": 64}
            assert max(took for _, took in results) < 10
            assert Counter(what for what, _ in pool.map(append, range(64))) == {"done": 64}
        assert sum(memory.history(f"s{number}").count() for number in range(8)) == 64


def test_a_pool_that_is_used_up(own: str) -> None:
    """Whoever waits too long for one of the few connections gets an UnavailableError, the others their answer."""
    with chatmem.sync.connect(f"{own}?max_connections=2&timeout=0.2") as memory, redis.Redis.from_url(own) as admin:
        memory.ping()
        admin.client_pause(60_000, all=False)  # writes alone, so that the end of the pause is heard
        results: list[str] = []

        def append(number: int) -> None:
            try:
                memory.history("s").append(str(number))
            except chatmem.UnavailableError:
                results.append("unavailable")
            else:
                results.append("done")

        threads = [threading.Thread(target=append, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(results) == 62)
        admin.client_unpause()
        for thread in threads:
            thread.join()
        assert Counter(results) == {"unavailable": 62, "done": 2}
        assert memory.history("s").count() == 2
