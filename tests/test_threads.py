"""Many threads on one synchronous memory: each gets its own replies, whatever happens to the others' connections."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

import chatmem
import chatmem.sync
from chatmem.backends.redis import RedisBackend
from chatmem.backends.sentinel import SentinelBackend
from chatmem.transports import own_connections, own_socket
from chatmem.transports.own_socket import OwnSocket, let_system_wait
from chatmem.transports.retrying import BlockingClock
from tests.servers import wait_until
from tests.wire import Wire, watched


@pytest.fixture
def wire(url: str) -> Iterator[Wire]:
    with watched(url) as wire:
        yield wire


@pytest.fixture
def raw(url: str, prefix: str) -> Iterator[Any]:
    with redis.Redis.from_url(url) as client:
        yield client
        client.client_unpause()
        for key in client.scan_iter(f"{prefix}*"):
            client.unlink(key)


@pytest.fixture
def memory(wire: Wire, raw: Any, prefix: str) -> Iterator[chatmem.sync.ChatMemory]:
    with chatmem.sync.connect(wire.url, prefix=prefix, ttl=60) as memory:
        yield memory


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before retries; they are not waited for."""
    pauses: list[float] = []

    async def sleep(_: BlockingClock, seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(BlockingClock, "sleep", sleep)
    return pauses


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """Return what a call returns in each of so many threads, which all begin at the same time."""
    start = threading.Barrier(count)

    def begin(number: int) -> Any:
        start.wait()
        return call(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def test_more_threads_than_connections(memory: chatmem.sync.ChatMemory, wire: Wire) -> None:
    """Two hundred threads share 64 connections, and none meets another one's messages."""

    def work(number: int) -> list[Any]:
        history = memory.history(f"s{number}")
        for turn in range(3):
            history.append(f"{number}.{turn}")
        return [message.content for message in history.messages()]

    assert at_once(200, work) == [[f"{n}.{turn}" for turn in range(3)] for n in range(200)]
    assert 1 < wire.connections <= 64


def test_one_thread_needs_one_connection(memory: chatmem.sync.ChatMemory, wire: Wire) -> None:
    """The connection used last is taken first."""
    for _ in range(20):
        memory.history("s").append("a")
    assert wire.connections == 1


def test_an_error_belongs_to_its_owner(memory: chatmem.sync.ChatMemory, raw: Any, prefix: str) -> None:
    """Error replies reach the caller whose command it was, and their connections serve on."""
    raw.set(f"{prefix}:{{bad}}:m", "x", ex=60)

    def one(number: int) -> str:
        history = memory.history("bad" if number % 3 == 0 else f"s{number}")
        try:
            history.append(str(number))
            return str(history.messages()[0].content)
        except chatmem.CorruptRecordError as error:
            return f"error of {error.session}"

    for _ in range(3):
        raw.delete(*[f"{prefix}:{{s{n}}}:{part}" for n in range(30) for part in "mis"])
        assert at_once(30, one) == ["error of bad" if n % 3 == 0 else str(n) for n in range(30)]


def test_connections_that_are_cut(memory: chatmem.sync.ChatMemory, raw: Any) -> None:
    """Connections killed again and again under load: nothing is lost, doubled or mixed up."""
    done, turns = threading.Event(), [0] * 20

    def writer(number: int) -> None:
        for turn in range(60):
            memory.history(f"s{number}").append(("human", str(turn)), ("ai", f"re:{turn}"))
            turns[number] += 1

    def killer() -> int:
        killed = 0
        while not done.is_set():
            for _ in range(2):  # a call is tried four times: they must not all be cut
                killed += raw.client_kill_filter(_type="normal", skipme=True)
                done.wait(0.01)
            before = [*turns]
            while any(was == now < 60 for was, now in zip(before, turns, strict=True)) and not done.wait(0.001):
                pass
        return killed

    memory.ping()  # of a server that never answered, chatmem asks whether it speaks TLS, which the wire does not
    with ThreadPoolExecutor(1) as pool:
        killing = pool.submit(killer)
        try:
            at_once(20, writer)
        finally:
            done.set()
        assert killing.result() > 1
    wanted = [text for turn in range(60) for text in (str(turn), f"re:{turn}")]
    for number in range(20):
        assert [message.content for message in memory.history(f"s{number}").messages()] == wanted


def test_idle_connections_that_the_server_closed(
    memory: chatmem.sync.ChatMemory, raw: Any, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call notices before it sends, and needs no retry."""
    monkeypatch.setattr(own_connections, "_TRUSTED_SECONDS", 0)
    memory.ping()
    assert raw.client_kill_filter(_type="normal", skipme=True)
    # the proxy has passed it on when a new connection through it has been served
    with redis.Redis.from_url(f"redis://{memory_address(memory)}") as other:
        other.ping()
    memory.history("s").append("a")
    assert not pauses


def memory_address(memory: chatmem.sync.ChatMemory) -> str:
    """Return host and port of the memory's server."""
    transport: Any = memory.core.connection.blocking()
    options = transport._transport._clients._clients[os.getpid(), 0].client.get_connection_kwargs()
    return f"{options['host']}:{options['port']}"


def test_many_connections_that_are_lost_at_once(
    memory: chatmem.sync.ChatMemory, raw: Any, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one has failed, the others are not trusted either: the calls do not fail once for each."""
    monkeypatch.setattr(own_connections, "_TRUSTED_SECONDS", 3600)
    raw.client_pause(4000, all=False)

    def waiting() -> int:
        return sum(one["cmd"] in ("eval", "evalsha") and "b" in one["flags"] for one in raw.client_list())

    with ThreadPoolExecutor(1) as pool:
        calls = pool.submit(at_once, 20, lambda number: memory.history(f"s{number}").append("a"))
        wait_until(lambda: waiting() == 20)  # each on a connection of its own
        raw.client_unpause()
        calls.result()
    assert raw.client_kill_filter(_type="normal", skipme=True) >= 20
    for number in range(20):
        memory.history(f"s{number}").append("b")
    assert len(pauses) < 5  # the proxy passes on only after a moment that the others were closed
    assert [memory.history(f"s{n}").count() for n in range(20)] == [2] * 20


def test_a_silent_server(wire: Wire, raw: Any, prefix: str) -> None:
    """After the time-out all who wait get an error; afterwards each call gets its own reply, none of the late ones."""
    with chatmem.sync.connect(f"{wire.url}?socket_timeout=0.15", prefix=prefix, ttl=60) as memory:

        def append(number: int) -> Exception | chatmem.Appended:
            try:
                return memory.history(f"s{number}").append("a", idempotency_key="a")
            except chatmem.UnavailableError as error:
                return error

        memory.ping()
        raw.client_pause(60_000, all=False)
        assert all(isinstance(result, chatmem.UnavailableError) for result in at_once(10, append))
        raw.client_unpause()
        assert all(isinstance(result, chatmem.Appended) for result in at_once(10, append))
        assert at_once(10, lambda n: memory.history(f"s{n}").count()) == [1] * 10


@pytest.mark.skipif(sys.platform == "win32", reason="it has no timers that signal")
def test_a_silent_server_and_signals(wire: Wire, raw: Any, prefix: str) -> None:
    """Signals that come more often than the time-out do not put it off."""
    signals: list[int] = []
    with chatmem.sync.connect(f"{wire.url}?socket_timeout=0.3", prefix=prefix, ttl=60) as memory:
        memory.ping()
        raw.client_pause(3000)
        before = signal.signal(signal.SIGALRM, lambda number, _: signals.append(number))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
            with pytest.raises(chatmem.UnavailableError):
                memory.ping()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert len(signals) > 5


@pytest.mark.skipif(sys.platform == "win32", reason="it leaves the time to Python")
@pytest.mark.parametrize("seconds", [1e-9, 0.15, 1])
def test_the_system_keeps_the_time(seconds: float) -> None:
    """However short the time-out is, a call ends after it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        let_system_wait(ours, seconds)
        begun = time.monotonic()
        with pytest.raises(BlockingIOError):
            ours.recv(1)
        assert seconds * 0.9 <= time.monotonic() - begun < seconds + 5
        begun = time.monotonic()
        with pytest.raises(BlockingIOError):
            ours.sendall(bytes(10_000_000))
        assert seconds * 0.9 <= time.monotonic() - begun < 2 * seconds + 5


@pytest.mark.parametrize("by_system", [True, False])
@pytest.mark.parametrize("kib", [10, 10_000])
def test_a_request_that_nobody_reads(
    by_system: bool, kib: int, prefix: str, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes connections and reads nothing costs the time-out, whoever keeps the time."""
    monkeypatch.setattr(own_socket, "_CAN_KEEP_TIME", by_system and own_socket._CAN_KEEP_TIME)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}?socket_timeout=0.2"
        with chatmem.sync.connect(url, prefix=prefix) as memory:
            begun = time.monotonic()
            with pytest.raises(chatmem.UnavailableError, match="Timeout"):
                memory.history("s").append("x" * 1024 * kib)
            assert time.monotonic() - begun < 5
    assert len(pauses) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="it has no timers that signal")
def test_an_interrupt(memory: chatmem.sync.ChatMemory, raw: Any) -> None:
    """A KeyboardInterrupt while a call waits ends the call, and leaves its reply to nobody."""

    def interrupt(_: int, __: Any) -> None:
        raise KeyboardInterrupt

    memory.history("a").append("x")
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        raw.client_pause(1000)
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.1)  # in here, so that it is not too early however slow all is
            memory.history("a").count()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert memory.history("b").append("y") == chatmem.Appended(1, 0, 0, 0)


def test_many_interrupts(memory: chatmem.sync.ChatMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupts between a command and its reply take no connection from later calls."""

    def interrupt(_: OwnSocket) -> None:
        raise KeyboardInterrupt

    for number in range(70):  # more than there are connections
        with monkeypatch.context() as patch:
            patch.setattr(OwnSocket, "_reply", interrupt)
            with pytest.raises(KeyboardInterrupt):
                memory.history("a").count()
        assert memory.history(f"s{number}").append("y") == chatmem.Appended(1, 0, 0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="it has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_calls_are_under_way(memory: chatmem.sync.ChatMemory) -> None:
    """Children made while other threads wait for replies use connections of their own; the parent's threads go on."""
    done = threading.Event()
    context = multiprocessing.get_context("fork")

    def writer(number: int) -> int:
        turns = 0
        while not done.is_set():
            memory.history(f"t{number}").append(str(turns))
            turns += 1
        return turns

    def child(number: int) -> None:
        for step in range(5):
            memory.history(f"c{number}").append(str(step))
        os._exit(0)

    with ThreadPoolExecutor(8) as pool:
        writing = [pool.submit(writer, number) for number in range(8)]
        children = [context.Process(target=child, args=(number,)) for number in range(6)]
        try:
            for one in children:
                one.start()
            for one in children:
                one.join()
        finally:
            done.set()
        turns = [one.result() for one in writing]
    assert [one.exitcode for one in children] == [0] * 6
    for name, count in [(f"t{n}", turns[n]) for n in range(8)] + [(f"c{n}", 5) for n in range(6)]:
        assert [message.content for message in memory.history(name).messages()] == [str(n) for n in range(count)]


def test_which_clients_are_gone_around(url: str) -> None:
    """Those that chatmem opened for one server under RESP2; all others are used by their own methods."""
    assert own_connections.of_client(RedisBackend(url).open_blocking())
    assert own_connections.of_client(RedisBackend("unix:///a/path").open_blocking())
    others = [
        RedisBackend(f"{url}?protocol=3").open_blocking(),
        RedisBackend(f"{url}?health_check_interval=1").open_blocking(),
        SentinelBackend("redis+sentinel://host/service/0").open_blocking(),
        redis.Redis.from_url(url),
    ]
    assert [own_connections.of_client(client) for client in others] == [None] * 4
