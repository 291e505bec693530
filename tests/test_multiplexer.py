"""The multiplexer that all coroutines of a loop share: fair, bounded, and no call suffers from another one's fault."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
import redis
import redis.asyncio
from langchain_core import messages as lc
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

import chatmem
from chatmem.backends.redis import CONNECTION
from chatmem.transports import multiplexer
from chatmem.transports.senders.choosing import is_instrumented
from chatmem.transports.senders.server import ServerSender
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
async def memory(wire: Wire, raw: Any, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(wire.url, prefix=prefix, ttl=60) as memory:
        yield memory


def shared(memory: chatmem.ChatMemory) -> multiplexer.Multiplexer:
    """Return the multiplexer of the running loop."""
    transport: Any = memory.core.connection.asynchronous()
    transport = transport._asynchronous
    sender = getattr(transport, "_transport", transport)._senders.opened()
    assert isinstance(sender, ServerSender)
    return sender._multiplexer


async def test_few_connections_and_few_sends(memory: chatmem.ChatMemory, wire: Wire) -> None:
    """Fifty coroutines share two connections, one for reads; what they ask for at once goes out at once."""
    await asyncio.gather(*(memory.history(f"s{n}").append("a") for n in range(50)))
    assert wire.connections == 1
    for _ in range(5):
        await asyncio.gather(*(memory.history(f"s{n}").append("b") for n in range(50)))
    reads = await asyncio.gather(*(memory.history(f"s{n}").messages() for n in range(50)))
    assert [len(messages) for messages in reads] == [6] * 50
    assert wire.connections == 2
    assert len(wire.commands) == 350
    assert wire.round_trips < 40


async def test_an_error_belongs_to_its_owner(memory: chatmem.ChatMemory, raw: Any, prefix: str) -> None:
    """Of commands that travel together, one may fail without the others."""
    raw.set(f"{prefix}:{{bad}}:m", "x", ex=60)

    async def one(number: int) -> str:
        history = memory.history("bad" if number % 3 == 0 else f"s{number}")
        try:
            await history.append(str(number))
            return str((await history.messages())[0].content)
        except chatmem.CorruptRecordError as error:
            return f"error of {error.session}"

    found = await asyncio.gather(*map(one, range(60)))
    assert found == ["error of bad" if n % 3 == 0 else str(n) for n in range(60)]


async def test_cancelled_callers(memory: chatmem.ChatMemory) -> None:
    """Callers cancelled at any moment leave the others their own replies."""

    async def one(number: int) -> list[Any]:
        history = memory.history(f"s{number}")
        for turn in range(5):
            await history.append(f"{number}.{turn}")
        return [message.content for message in await history.messages()]

    tasks = [asyncio.create_task(one(number)) for number in range(60)]
    for task in tasks[::2]:
        await asyncio.sleep(0)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1::2] == [[f"{n}.{turn}" for turn in range(5)] for n in range(1, 60, 2)]
    assert sum(isinstance(result, asyncio.CancelledError) for result in results) > 10


async def test_a_large_reply_does_not_hold_up_others(memory: chatmem.ChatMemory, wire: Wire) -> None:
    """While megabytes arrive, other reads use another connection, and appends have one of their own."""
    big, small = memory.history("big"), memory.history("small")
    await big.append(*(lc.HumanMessage("x" * 1000) for _ in range(5000)))
    await small.append("a")
    await small.messages()
    reading = asyncio.create_task(big.messages())
    order = []
    while not reading.done():
        await small.messages()
        await small.append("a")
        order.append("small")
    assert len(await reading) == 5000
    assert order
    assert wire.connections <= 4  # one for appends, three for reads


async def test_a_bound_on_what_is_under_way(
    memory: chatmem.ChatMemory, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where much is asked for at once, the rest waits its turn; all of it is served in the end."""
    monkeypatch.setattr(multiplexer, "MOST_REQUESTS", 5)
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            connections = shared(memory)
            most = max(most, sum(one.waiting for one in (*connections._quick, *connections._reads)))
            await asyncio.sleep(0)

    await memory.ping()
    watcher = asyncio.create_task(watch())
    await asyncio.gather(*(memory.history(f"s{n % 7}").append(str(n)) for n in range(300)))
    watcher.cancel()
    assert sum([await memory.history(f"s{n}").count() for n in range(7)]) == 300
    assert 2 < most <= 5


async def test_a_server_that_does_not_keep_up(
    memory: chatmem.ChatMemory, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits too long for room gets an error, those under way their replies, and later ones are served."""
    monkeypatch.setattr(multiplexer, "MOST_REQUESTS", 5)
    monkeypatch.setattr(multiplexer, "PATIENCE", 0.1)
    await memory.ping()
    raw.client_pause(4000, all=False)  # writes alone, so that the end of the pause is heard
    left = {asyncio.create_task(memory.history("s").append(str(n))) for n in range(20)}
    while len(left) > 5:
        (refused, *_), left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        with pytest.raises(chatmem.UnavailableError, match="does not keep up"):
            await refused
    raw.client_unpause()
    await asyncio.gather(*left)
    assert await memory.history("s").count() == 5
    assert not shared(memory)._limiter.waiting


async def test_waiters_that_are_cancelled(
    memory: chatmem.ChatMemory, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is cancelled while waiting for room takes none."""
    monkeypatch.setattr(multiplexer, "MOST_REQUESTS", 2)
    await memory.ping()
    raw.client_pause(4000, all=False)
    tasks = [asyncio.create_task(memory.history("s").append(str(n))) for n in range(30)]
    await asyncio.sleep(0.05)
    for task in tasks[2::2]:
        task.cancel()
    raw.client_unpause()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, chatmem.Appended) for result in results) == 16
    assert await memory.history("s").count() == 16


async def test_a_silent_server(wire: Wire, raw: Any, prefix: str) -> None:
    """After the time-out all who wait get an error; afterwards a new connection serves."""
    async with chatmem.connect(f"{wire.url}?socket_timeout=0.15", prefix=prefix, ttl=60) as memory:
        await memory.ping()
        raw.client_pause(60_000, all=False)
        calls = [memory.history(f"s{n}").append("a", idempotency_key="a") for n in range(10)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, chatmem.UnavailableError) for result in results)
        raw.client_unpause()
        calls = [memory.history(f"s{n}").append("a", idempotency_key="a") for n in range(10)]
        await asyncio.gather(*calls)
        assert [await memory.history(f"s{n}").count() for n in range(10)] == [1] * 10


async def test_connections_that_are_cut(memory: chatmem.ChatMemory, raw: Any) -> None:
    """Connections killed again and again under load: nothing is lost, doubled or mixed up."""
    turns = [0] * 20

    async def writer(number: int) -> None:
        for turn in range(30):
            await memory.history(f"s{number}").append(lc.HumanMessage(str(turn)), lc.AIMessage(f"re:{turn}"))
            turns[number] += 1

    await memory.ping()
    writers = asyncio.gather(*map(writer, range(20)))
    killed = 0
    while not writers.done():
        for _ in range(2):  # a call is tried four times: they must not all be cut
            killed += raw.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.01)
        before = [*turns]
        while not writers.done() and any(  # noqa: ASYNC110 - a condition for the two of them
            was == now < 30 for was, now in zip(before, turns, strict=True)
        ):
            await asyncio.sleep(0.001)
    await writers
    assert killed > 1
    wanted = [text for turn in range(30) for text in (str(turn), f"re:{turn}")]
    for number in range(20):
        assert [message.content for message in await memory.history(f"s{number}").messages()] == wanted


async def test_closing_under_load(wire: Wire, raw: Any, prefix: str) -> None:
    """Those under way get an error or their reply, and nothing is left open."""
    memory = chatmem.connect(wire.url, prefix=prefix, ttl=60)
    await memory.ping()
    raw.client_pause(300)
    tasks = [asyncio.create_task(memory.history("s").append(str(n))) for n in range(5)]
    await asyncio.sleep(0.05)
    await memory.aclose()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, chatmem.UnavailableError | chatmem.Appended) for result in results)
    raw.client_unpause()
    with pytest.raises(chatmem.UnavailableError, match="this memory was closed"):
        await memory.history("s").count()
    await memory.aclose()
    gc.collect()


def test_a_loop_that_ends_with_calls_under_way(url: str, raw: Any, prefix: str) -> None:
    """`asyncio.run` ends cleanly: the connections are closed with the loop."""
    memory = chatmem.connect(url, prefix=prefix, ttl=60)

    async def main() -> None:
        await memory.ping()
        raw.client_pause(100)
        task = asyncio.create_task(memory.history("s").append("a"))
        await asyncio.sleep(0.02)
        task.cancel()

    for _ in range(3):
        asyncio.run(main())
    gc.collect()


@pytest.mark.parametrize("answer", [b":5\r\n:6\r\n:7\r\n", b"garbage\r\n", b"*1\r\n", b""])
async def test_an_answer_that_is_none(answer: bytes) -> None:
    """More replies than were asked for, no protocol, half a reply, none: an error, never another's reply."""
    served = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        await reader.read(1)
        writer.write(answer)
        if answer:
            await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        patience = 0.1 if answer.startswith(b"*") else 5.0  # in which half a reply does not become a whole one
        client = redis.asyncio.Redis.from_url(url, **{**CONNECTION, "socket_timeout": patience, "retry": None})
        async with chatmem.connect(client=client) as memory:
            transport = memory.core.connection.asynchronous()
            calls = transport.run([("LLEN", "a")]), transport.run([("LLEN", "b")])
            results = await asyncio.gather(*calls, return_exceptions=True)
            if answer.startswith(b":"):
                assert list(results) == [[5], [6]]
                await asyncio.sleep(0.01)
                assert await transport.run([("LLEN", "c")]) == [5]  # on another connection
            else:
                assert all(isinstance(result, chatmem.UnavailableError) for result in results)
        await client.aclose()
        await asyncio.gather(*served)  # type: ignore[arg-type]


async def test_a_server_that_hangs_up_after_half_of_an_answer() -> None:
    """It is unavailable; that it did not know the first of the scripts yet is not why."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"-NOSCRIPT No matching script. Please use EVAL.\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        client = redis.asyncio.Redis(port=server.sockets[0].getsockname()[1], **{**CONNECTION, "retry": None})
        async with chatmem.connect(client=client) as memory:
            with pytest.raises(chatmem.UnavailableError):
                await memory.history("a", user="alice").append("a")  # beside its entry among the user's sessions
        await client.aclose()


async def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried as often as the client's own retries say, and no layer beneath tries again on top of that."""
    tries = 0
    connect: Any = redis.asyncio.Connection._connect

    async def counted(self: Any) -> None:
        nonlocal tries
        tries += 1
        await connect(self)

    monkeypatch.setattr(redis.asyncio.Connection, "_connect", counted)
    client = redis.asyncio.Redis.from_url("redis://127.0.0.1:1", retry=Retry(NoBackoff(), 2))
    async with chatmem.connect(client=client) as memory:
        with pytest.raises(chatmem.UnavailableError, match="could not be reached") as caught:
            await memory.ping()
        assert isinstance(caught.value.__cause__, redis.exceptions.ConnectionError)
    assert tries == 3
    await client.aclose()


async def test_a_connection_that_is_not_as_expected(url: str) -> None:
    """Another release of redis-py may hold its streams elsewhere: an error, and nobody waits for ever."""

    class Other(redis.asyncio.Connection):
        async def connect(self) -> None:
            """Connect to nothing."""

    async with asyncio.timeout(5):
        with pytest.raises(redis.exceptions.ConnectionError, match="set up"):
            await multiplexer.Multiplexer(Other, 1.0).run([("PING",)])


async def test_closing_while_it_connects(url: str, raw: Any, prefix: str) -> None:
    """A connection is closed though redis-py swallows the cancellation, as it may do before Python 3.12."""
    connected = asyncio.Event()

    class Swallowing(redis.asyncio.Connection):
        async def connect(self) -> None:
            await super().connect()  # type: ignore[no-untyped-call]
            connected.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    port = urlsplit(url).port or 0
    shared = multiplexer.Multiplexer(lambda: Swallowing(port=port, client_name=prefix), 1.0)
    call = asyncio.create_task(shared.run([("PING",)]))
    await connected.wait()
    assert any(one["name"] == prefix for one in raw.client_list())
    await shared.aclose()
    with pytest.raises(redis.exceptions.ConnectionError, match="closed by its owner"):
        await call
    await asyncio.to_thread(wait_until, lambda: all(one["name"] != prefix for one in raw.client_list()))


class Traced(redis.asyncio.Redis):
    """A client whose owner changed it, as tracing packages do."""

    seen: ClassVar[list[Any]] = []

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        self.seen.append(args[0])
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


async def test_a_callers_client(url: str, raw: Any, prefix: str) -> None:
    """A client as redis-py makes it shares a multiplexer, whatever its options; a changed one is used as it is."""
    for options in ({}, {"decode_responses": True}, {"protocol": 3}, {"max_connections": 1}, {"db": 1}):
        client = redis.asyncio.Redis.from_url(url, **options)
        async with chatmem.connect(client=client, prefix=prefix, ttl=60) as memory:
            await asyncio.gather(*(memory.history("a").append(lc.HumanMessage("\ud800")) for _ in range(20)))
            assert await memory.history("a").messages() == [lc.HumanMessage("\ud800")] * 20
            assert shared(memory)
            assert await client.ping()
            await memory.history("a").clear()
        await client.aclose()
    traced = Traced.from_url(url)
    async with chatmem.connect(client=traced, prefix=prefix, ttl=60) as memory:
        await memory.history("a").append("a")
        await memory.history("a").messages()
    assert Traced.seen == ["EVAL", "LRANGE"]
    await traced.aclose()


def wrapped(function: Any, seen: list[str]) -> Any:
    """Return a function in the place of another one, as Sentry and others put them."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        seen.append(function.__name__)
        return function(*args, **options)

    return call


class Proxied:
    """What wrapt puts in the place of a function: it looks like the function in every respect but its type."""

    def __init__(self, function: Any, seen: list[str]) -> None:
        self.__dict__.update(_function=function, _seen=seen)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._function)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_function"], name)

    def __get__(self, instance: Any, owner: Any) -> Any:
        return Proxied(self.__dict__["_function"].__get__(instance, owner), self.__dict__["_seen"])

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.__dict__["_seen"].append(self.__dict__["_function"].__name__)
        return self.__dict__["_function"](*args, **options)


@pytest.mark.parametrize("wrap", [wrapped, Proxied])
@pytest.mark.parametrize("place", ["class", "object", "pipeline", "connection"])
async def test_a_client_that_is_watched(
    url: str, prefix: str, monkeypatch: pytest.MonkeyPatch, wrap: Any, place: str
) -> None:
    """Tracing packages put their functions in the places of redis-py's: a caller's client is then called as it is."""
    seen: list[str] = []
    client = redis.asyncio.Redis.from_url(url)
    kind, name = {
        "class": (redis.asyncio.Redis, "execute_command"),
        "object": (client, "execute_command"),
        "pipeline": (redis.asyncio.client.Pipeline, "execute"),
        "connection": (redis.asyncio.Connection, "send_packed_command"),
    }[place]
    monkeypatch.setattr(kind, name, wrap(getattr(kind, name), seen))
    async with chatmem.connect(client=client, prefix=prefix, ttl=60) as memory:
        await memory.history("a", user="u").append("x")
        await memory.history("a").messages()
        await memory.forget("u")
    assert seen
    seen.clear()
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:  # nobody has asked for chatmem's own connections
        await memory.history("a").append("x")
        assert shared(memory)
        await memory.history("a").clear()
    await client.aclose()


async def test_a_client_that_is_not(url: str, prefix: str) -> None:
    """Nothing of redis-py itself looks as if it were changed, whatever its release."""
    client = redis.asyncio.Redis.from_url(url)
    cluster = redis.asyncio.RedisCluster("127.0.0.1", 1)
    assert not is_instrumented(client)
    assert not is_instrumented(cluster)
    await client.aclose()
    await cluster.aclose()
