"""asyncio's own event loop and others that take its place: uvloop, under uvicorn, and one whose tasks begin at once."""

from __future__ import annotations

import asyncio
import gc
import importlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

import pytest
import redis
import redis.asyncio

import chatmem
from chatmem.backends.redis import CONNECTION
from chatmem.transports.multiplexed import MultiplexedConnection
from chatmem.transports.multiplexer import Multiplexer
from tests.clusters import needs_newer_client
from tests.faults import WEIGHTS, Schedule
from tests.servers import embedded, redis_7_tls, wait_until
from tests.test_faults import FAULTS, SEED, Ledger, Row, Site, over_cluster, run_writers

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def _eager() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - since Python 3.12
    return loop


def _uvloop() -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
    return loop


LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(
        _uvloop, id="uvloop", marks=pytest.mark.skipif(not find_spec("uvloop"), reason="there is none for Windows")
    ),
    pytest.param(
        _eager, id="eager", marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin later there")
    ),
]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """What runs a coroutine in a new event loop of each kind, as `asyncio.run` does."""

    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(main)

    return run


@pytest.fixture
def raw(url: str, prefix: str) -> Iterator[Any]:
    with redis.Redis.from_url(url) as client:
        yield client
        client.client_unpause()
        for key in client.scan_iter(f"{prefix}*"):
            client.unlink(key)


def connections(raw: Any, prefix: str) -> int:
    return sum(one["name"] == prefix for one in raw.client_list())


@pytest.mark.parametrize("server", ["plain", "TLS", "unix"])
def test_many_at_once(run: Run, url: str, prefix: str, server: str) -> None:
    """Small and large requests and replies, on each kind of socket."""

    async def main(url: str) -> None:
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:

            async def one(number: int) -> None:
                for turn in range(10):
                    await memory.history(f"u{number}").append(str(turn), ("ai", "x" * 1000))

            await asyncio.gather(*map(one, range(30)))
            await memory.history("big").append(*("y" * 1000 for _ in range(5000)))
            reads = [memory.history(f"u{number}").count() for number in range(30)]
            results: list[Any] = await asyncio.gather(memory.history("big").messages(), *reads)
            assert (len(results[0]), results[1:]) == (5000, [20] * 30)

    with ExitStack() as stack:
        if server != "plain":
            url = stack.enter_context(redis_7_tls() if server == "TLS" else embedded())
        run(main(url))
        gc.collect()


def test_a_connection_that_ends_under_a_call(run: Run, url: str, prefix: str) -> None:
    """A call in the same step of the loop goes over another connection; uvloop refuses to write to the closed one."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
            history = memory.history("s")
            await history.append("a")
            await history.messages()
            found = [one for one in gc.get_objects() if type(one) is MultiplexedConnection and one._loop is loop]
            assert len(found) == 2
            for one in found:
                assert one._transport is not None
                one._transport.abort()
            assert (await history.append("b")).version == 2
            assert len(await history.messages()) == 2

    run(main())


@needs_newer_client
@pytest.mark.skipif(not find_spec("uvloop"), reason="there is none for Windows")
def test_faults_of_a_cluster_on_uvloop() -> None:
    """Whatever breaks, callers get chatmem's errors: uvloop refuses writes to a closed connection by one of its own."""
    row = Row("a cluster on uvloop", over_cluster, WEIGHTS, blocking=False)
    schedule, ledger = Schedule(f"{SEED} {row.name}", FAULTS, weights=row.weights), Ledger()

    async def main(site: Site) -> None:
        await run_writers(row, site, ledger)
        await asyncio.to_thread(site.settle)

    with row.site(schedule) as site, asyncio.Runner(loop_factory=_uvloop) as runner:
        runner.run(main(site))
    assert (ledger.lost, ledger.doubled, ledger.wrong) == ([], [], [])
    assert ledger.acknowledged > 0


def test_listeners_and_answers(run: Run, url: str, prefix: str) -> None:
    """What the server pushes arrives, and an answer is followed and stopped from elsewhere."""

    async def main() -> None:
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
            history = memory.history("s")
            changes = history.changes(timeout=20)
            first = asyncio.create_task(anext(changes))
            await asyncio.sleep(0.2)
            async with history.answer("question", id="x") as draft:
                parts = asyncio.create_task(_parts(history))
                for turn in range(1000):
                    await draft.write("word ")
                    await asyncio.sleep(0.01)
                    if turn == 5:
                        await history.stop("x")
            assert [part.status for part in await parts][-1] == "stopped"
            assert (await first).kind == "appended"
            await changes.aclose()

    run(main())
    gc.collect()


async def _parts(history: chatmem.History) -> list[chatmem.Chunk]:
    return [part async for part in history.follow("x", timeout=20)]


def test_cancelled_callers(run: Run, url: str, raw: Any, prefix: str) -> None:
    """Cancelled at any moment, a call leaves the others their own replies, and is whole or absent itself."""

    async def main() -> None:
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:

            async def one(number: int) -> None:
                history = memory.history(f"s{number}")
                for turn in range(20):
                    call = asyncio.create_task(history.append(f"{number}.{turn}", idempotency_key=str(turn)))
                    for _ in range(turn % 7):
                        await asyncio.sleep(0)
                    call.cancel()
                    await asyncio.wait([call])
                    await history.append(f"{number}.{turn}", idempotency_key=str(turn))
                texts = [message.text for message in await history.messages()]
                assert texts == [f"{number}.{turn}" for turn in range(20)]

            await asyncio.gather(*map(one, range(20)))

    run(main())
    gc.collect()


def test_the_end_of_a_loop(run: Run, url: str, raw: Any, prefix: str) -> None:
    """It ends with calls and a listener under way, and leaves no connection; another loop is served."""
    memory = chatmem.connect(f"{url}?client_name={prefix}", prefix=prefix, ttl=60)

    async def main() -> None:
        await memory.ping()
        changes = memory.history("s").changes()
        listening = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.1)
        raw.client_pause(100)
        call = asyncio.create_task(memory.history("s").append("a"))
        await asyncio.sleep(0.02)
        call.cancel()
        assert not listening.done()

    for _ in range(3):
        run(main())
        wait_until(lambda: not connections(raw, prefix))
    gc.collect()


def test_a_silent_server(run: Run, url: str, raw: Any, prefix: str) -> None:
    """After the time-out it is unavailable, and served again afterwards."""

    async def main() -> None:
        async with chatmem.connect(f"{url}?socket_timeout=0.2", prefix=prefix, ttl=60) as memory:
            await memory.history("s").append("a")
            raw.client_pause(1500)
            begun = time.monotonic()
            with pytest.raises(chatmem.UnavailableError, match="Timeout"):
                await memory.history("s").append("b")
            assert time.monotonic() - begun < 1.4
            raw.client_unpause()
            assert (await memory.history("s").append("c")).last is not None

    run(main())


@contextmanager
def hanging_up(answer: bytes, *, asked: bool, resets: bool) -> Iterator[int]:
    """A server that answers each connection once, or says something without being asked, and hangs up at once."""

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                if asked:
                    client.recv(1000)
                client.sendall(answer)
                if resets:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


class Busy(redis.asyncio.Connection):
    """A connection that is set up in a busy loop: whatever the server does meanwhile is there before its first use."""

    async def connect(self) -> None:
        await super().connect()  # type: ignore[no-untyped-call]
        await asyncio.sleep(0.05)


REFUSAL = b"-ERR max number of clients reached\r\n"


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize(("answer", "asked"), [(REFUSAL, False), (b"", False), (b"+OK\r\n", True)])
@pytest.mark.parametrize("connection", [redis.asyncio.Connection, Busy])
def test_a_server_that_hangs_up_at_once(
    run: Run, connection: type[redis.asyncio.Connection], answer: bytes, asked: bool, resets: bool
) -> None:
    """Nobody waits for the time-out, however early it was; and what the server said is what the caller hears."""

    async def main(port: int) -> list[Any]:
        options: Any = {"port": port, "client_name": "a" if asked else None, **CONNECTION}
        shared = Multiplexer(lambda: connection(**options), 20.0)
        async with asyncio.timeout(10):
            calls = shared.run([("PING",)]), shared.run([("PING",)])
            return list(await asyncio.gather(*calls, return_exceptions=True))

    with hanging_up(answer, asked=asked, resets=resets) as port:
        first, second = run(main(port))
    if answer == REFUSAL and not resets:  # which may overtake what was said before
        assert isinstance(first[0], redis.ResponseError)
    assert isinstance(second, redis.ConnectionError)
