"""chatmem over Upstash's REST API: exact, once, one HTTP request an operation, and no token in what it says."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import redis
import upstash_redis
import upstash_redis.asyncio
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.backends.upstash import UpstashBackend
from chatmem.core.reader import ENTRIES_PER_CALL as SLICE
from tests import samples
from tests.conftest import check_ttls
from tests.coroutines import Connect, as_coroutines
from tests.entries import content_of
from tests.samples import same
from tests.upstash_server import TOKEN, RestServer, serving

FACADES = ["async", "sync"]


@pytest.fixture
def rest(url: str) -> Iterator[RestServer]:
    with serving(url) as server:
        yield server


@pytest.fixture
def raw(url: str, prefix: str) -> Iterator[redis.Redis]:
    """A plain client of the server behind; after the test it checks every key's TTL."""
    with redis.Redis.from_url(url) as client:
        yield client
        check_ttls(client, prefix)


@pytest.fixture(params=FACADES)
async def connect(request: pytest.FixtureRequest, rest: RestServer, prefix: str) -> AsyncIterator[Connect]:
    """Return what opens memories, which are closed after the test."""
    opened: list[chatmem.ChatMemory] = []

    def open_memory(url: str | None = rest.url, *, token: str | None = TOKEN, **options: Any) -> chatmem.ChatMemory:
        options = {"ttl": 600, "prefix": prefix, "token": token, **options}
        if request.param == "async":
            memory = chatmem.connect(url, **options)
        else:
            memory = as_coroutines(chatmem.sync.connect(url, **options))
        opened.append(memory)
        return memory

    yield open_memory
    for memory in opened:
        await memory.aclose()


@pytest.fixture
def history(connect: Connect, raw: redis.Redis) -> chatmem.History:
    return connect().history("user-123")


def names(rest: RestServer) -> list[tuple[str, list[str]]]:
    """Return the requests since the last time."""
    found, rest.requests = rest.requests, []
    return found


class TestExact:
    """What goes in comes out equal, by this way and by others."""

    async def test_records_are_text(self, history: chatmem.History, raw: redis.Redis, prefix: str) -> None:
        """What is stored is ASCII or, where it happens to be such, UTF-8: REST carries nothing else."""
        await history.append(*samples.kinds().values())
        elements: Any = raw.lrange(f"{prefix}:{{user-123}}:m", 0, -1)
        assert len(elements) == 22
        assert all(element.decode() for element in elements)
        assert all(element.partition(b":")[2][:1] in b"A\x01" for element in elements)

    async def test_both_ways_to_one_session(self, history: chatmem.History, url: str, prefix: str) -> None:
        """A session written over TCP and by REST is read whole by either; an id counts in both."""
        by_tcp = lc.HumanMessage("tcp", id="a\ud800"), lc.AIMessage("é" * 500, id="100%")
        by_rest = lc.HumanMessage("rest", id="b\udfff"), lc.AIMessage("\ud800", id="%ED%A0%80")
        async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
            tcp = memory.history("user-123")
            await tcp.append(*by_tcp)
            await history.append(*by_rest)
            assert (await history.append(*by_tcp)).duplicates == 2
            assert (await tcp.append(*by_rest)).duplicates == 2
            for one in (tcp, history):
                assert all(map(same, await one.messages(strict=True), (*by_tcp, *by_rest)))

    async def test_a_json_record(self, history: chatmem.History, raw: redis.Redis, prefix: str) -> None:
        """A message that one of LangChain's own classes stored, in UTF-8, is read."""
        await history.append("first")
        raw.rpush(f"{prefix}:{{user-123}}:m", '{"type": "human", "data": {"content": "日本 \U0001f600"}}')
        assert [message.content for message in await history.messages()] == ["first", "日本 \U0001f600"]

    async def test_a_damaged_record(
        self, history: chatmem.History, raw: redis.Redis, prefix: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A record of any bytes costs itself alone."""
        await history.append("first")
        raw.rpush(f"{prefix}:{{user-123}}:m", b"1:\xff\xfe", b"2:A===", b"\x80")
        await history.append("second")
        assert [message.content for message in await history.messages()] == ["first", "second"]
        assert [one.levelname for one in caplog.records if one.name == "chatmem"] == ["WARNING"] * 3

    @pytest.mark.parametrize("name", ["a}b", "\ud800", "日本", "a\x00b", "OK", "%41", "x" * 5000])
    async def test_any_name(self, connect: Connect, raw: redis.Redis, name: str) -> None:
        """Session ids, message ids and idempotency keys may be any text."""
        history = connect().history(name)
        await history.append(lc.HumanMessage(name, id=name), idempotency_key=name)
        assert (await history.append(lc.HumanMessage(name), idempotency_key=name)).duplicates == 1
        assert (await history.append(lc.HumanMessage(name, id=name))).duplicates == 1
        assert [(entry.id, content_of(entry)) async for entry in history.entries()] == [(name, name)]


class TestOneRequest:
    """Every operation is one HTTP request."""

    async def test_construction(self, connect: Connect, rest: RestServer) -> None:
        """Memories and histories send nothing."""
        for number in range(10):
            connect().history(f"s{number}")
        assert names(rest) == []

    async def test_each_operation(self, connect: Connect, history: chatmem.History, rest: RestServer) -> None:
        """The first call of a script sends its text, the others its hash."""
        await history.append(*map(str, range(SLICE + 1)))
        assert names(rest) == [("/", ["EVAL"])]
        await history.append("a", "b")
        assert names(rest) == [("/", ["EVALSHA"])]
        await history.messages()
        await history.messages(last=2)
        assert names(rest) == [("/", ["LRANGE"])] * 2
        assert len([entry async for entry in history.entries()]) == SLICE + 3
        assert names(rest) == [("/", ["EVAL"]), ("/", ["EVALSHA"])]
        info = await history.info()
        assert info.ttl is not None
        assert (info.count, info.version, 590 < info.ttl <= 600) == (SLICE + 3, 2, True)
        assert names(rest) == [("/", ["EVALSHA"])]
        assert await history.count() == SLICE + 3
        assert await history.touch() is True
        await history.clear()
        assert names(rest) == [("/", ["EVALSHA"]), ("/", ["EVAL"]), ("/", ["EVALSHA"])]
        await connect().ping()
        assert names(rest) == [("/", ["PING"])]

    async def test_a_read_that_refreshes(self, connect: Connect, raw: redis.Redis, rest: RestServer) -> None:
        """The refresh of the TTL travels with the read."""
        history = connect(ttl_refresh="read").history("a")
        await history.append("x")
        assert len(await history.messages()) == 1
        assert names(rest) == [("/", ["EVAL"]), ("/pipeline", ["LRANGE", "EVAL"])]
        await history.messages()
        assert names(rest) == [("/pipeline", ["LRANGE", "EVALSHA"])]

    async def test_a_forgotten_script(self, connect: Connect, raw: redis.Redis, rest: RestServer) -> None:
        """A server that forgot the scripts is sent them again, alone and in a pipeline."""
        history = connect(ttl_refresh="read").history("a")
        await history.append("x")
        await history.messages()
        raw.script_flush()
        names(rest)
        await history.append("y")
        assert names(rest) == [("/", ["EVALSHA"]), ("/", ["EVAL"])]
        raw.script_flush()
        assert len(await history.messages()) == 2
        assert names(rest) == [("/pipeline", ["LRANGE", "EVALSHA"]), ("/pipeline", ["LRANGE", "EVAL"])]

    async def test_a_conflict(self, history: chatmem.History) -> None:
        """`expected_version` is checked as everywhere."""
        await history.append("a", expected_version=0)
        with pytest.raises(chatmem.ConflictError):
            await history.append("b", expected_version=0)


class TestTrouble:
    """What goes wrong on the way."""

    @pytest.mark.parametrize("lost", [1, 2])
    async def test_lost_answers(self, history: chatmem.History, rest: RestServer, lost: int) -> None:
        """The client sends the append again and nothing is stored twice."""
        await history.append("a")
        rest.lose = lost
        appended = await history.append("b", "c")
        assert (appended.first, appended.last, appended.duplicates) == (1, 2, 0)
        assert len(rest.requests) == 2 + lost
        assert [message.content for message in await history.messages()] == ["a", "b", "c"]

    async def test_all_answers_lost(self, history: chatmem.History, rest: RestServer) -> None:
        """The error says that the server is unavailable; with an idempotency key the append may be done again."""
        rest.lose = 3
        with pytest.raises(chatmem.UnavailableError) as caught:
            await history.append("a", idempotency_key="once")
        assert isinstance(caught.value.__cause__, httpx.HTTPError)
        assert (await history.append("a", idempotency_key="once")).duplicates == 1
        assert await history.count() == 1

    async def test_the_server_is_gone(self, connect: Connect, url: str, prefix: str) -> None:
        """A server that nobody runs is unavailable."""
        with serving(url) as gone:
            history = connect(gone.url).history("a")
            await history.count()
        for call in (history.messages, history.info, history.clear):
            with pytest.raises(chatmem.UnavailableError, match="could not be reached"):
                await call()

    async def test_a_time_out(self, connect: Connect, rest: RestServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that does not answer in time is unavailable."""
        monkeypatch.setattr("chatmem.backends.upstash.TIMEOUTS", {"timeout": 0.05})
        rest.delay = 0.4
        with pytest.raises(chatmem.UnavailableError) as caught:
            await connect().history("a").count()
        assert isinstance(caught.value.__cause__, httpx.TimeoutException)
        rest.delay = 0

    async def test_time_outs_are_set(self, connect: Connect) -> None:
        """The vendor's clients have none; chatmem's own do."""
        memory = connect()
        await memory.ping()
        made = [one for one in gc.get_objects() if type(one) in (httpx.Client, httpx.AsyncClient)]
        assert httpx.Timeout(5.0, pool=10.0) in [one.timeout for one in made]

    @pytest.mark.parametrize("operation", ["count", "info", "messages", "append"])
    async def test_a_wrong_token(self, connect: Connect, operation: str, caplog: pytest.LogCaptureFixture) -> None:
        """It is refused in one request or many, and neither error nor log shows it."""
        caplog.set_level(logging.DEBUG)
        memory = connect(token="wr0ng-t0ken", ttl_refresh="read")
        with pytest.raises(chatmem.UnavailableError, match="refused this token") as caught:
            await getattr(memory.history("a"), operation)()
        chain: BaseException | None = caught.value
        while chain is not None:
            assert "wr0ng" not in f"{chain} {chain!r}"
            chain = chain.__cause__ or chain.__context__
        assert "wr0ng" not in caplog.text + repr(memory) + repr(memory.history("a"))

    async def test_a_key_of_a_wrong_type(self, history: chatmem.History, raw: redis.Redis, prefix: str) -> None:
        """A key that chatmem did not write is named, alone and in a pipeline."""
        raw.set(f"{prefix}:{{user-123}}:m", "x", ex=60)
        for call in (history.messages, history.info):
            with pytest.raises(chatmem.CorruptRecordError, match="did not write") as caught:
                await call()
            assert caught.value.key == f"{prefix}:{{user-123}}:m"

    @pytest.mark.parametrize(
        ("text", "kind", "said"),
        [
            ("ERR max daily request limit exceeded. Limit: 10000", chatmem.UnavailableError, "cannot serve this now"),
            ("ERR max request size exceeded", chatmem.UnsupportedError, "of this size"),
            ("NOPERM this user has no permissions", chatmem.UnavailableError, "refused"),
            ("OOM command not allowed", chatmem.UnavailableError, "out of memory"),
            ("ERR something else", chatmem.UnsupportedError, "does not know"),
        ],
    )
    async def test_the_servers_errors(
        self, history: chatmem.History, rest: RestServer, text: str, kind: type[Exception], said: str
    ) -> None:
        """Each error of the service is one of chatmem's, raised from the vendor's."""
        rest.answers = [f'{{"error": "{text}"}}'.encode()]
        with pytest.raises(kind, match=said) as caught:
            await history.count()
        assert type(caught.value) is kind
        assert str(caught.value.__cause__) == text

    @pytest.mark.parametrize("body", [b"<html>", b"{}", b"5", b"null", b'"x"', b"[]", b'{"result": "plain text"}'])
    @pytest.mark.parametrize("operation", ["count", "info"])
    async def test_no_answer_of_upstash(
        self, history: chatmem.History, rest: RestServer, body: bytes, operation: str
    ) -> None:
        """Where something else answers, the error says so."""
        rest.answers = [body] * 4
        with pytest.raises(chatmem.ChatMemError):
            await getattr(history, operation)()


def backend_at(url: str | None = None, *, token: str | None = None) -> UpstashBackend:
    backend = chatmem.connect(url, token=token).core.connection._backend
    assert isinstance(backend, UpstashBackend)
    return backend


class TestAddress:
    """How a database is named."""

    @pytest.mark.parametrize(
        ("url", "token", "read"),
        [
            ("upstash://:t0ken@host.upstash.io", None, ("https://host.upstash.io", "t0ken")),
            ("upstash://default:a%2Fb=@host:8443/", None, ("https://host:8443", "a/b=")),
            ("upstash://host", "t0ken", ("https://host", "t0ken")),
            ("https://host/", "t0ken", ("https://host", "t0ken")),
            ("http://localhost:8079", "t0ken", ("http://localhost:8079", "t0ken")),
        ],
    )
    def test_urls(self, url: str, token: str | None, read: tuple[str, str]) -> None:
        """The token is in the URL or beside it."""
        backend = backend_at(url, token=token)
        assert (backend._url, backend._token) == read

    @pytest.mark.parametrize(
        ("url", "token", "said"),
        [
            ("https://host", None, "url needs a token"),
            ("upstash://host", None, "url needs a token"),
            ("upstash://:s3cret@host", "s3cret", "not both"),
            ("upstash://:s3cret@", None, "not a valid URL"),
            ("upstash://:s3cret@host:port", None, "not a valid URL"),
            ("upstash://:s3cret@[host", None, "not a valid URL"),
            ("https://host?_token=s3cret", "x", "url has options"),
            ("https://host", "s3cret\n", "without blanks"),
            ("https://host", "s3crét", "without blanks"),
            ("https://host", "", "without blanks"),
            ("redis://host", "s3cret", "pass it with an https:// url"),
            (None, "s3cret", "pass it with an https:// url"),
        ],
    )
    @pytest.mark.parametrize("facade", [chatmem.connect, chatmem.sync.connect])
    def test_what_is_wrong(self, facade: Any, url: str | None, token: str | None, said: str) -> None:
        """It is said at once, and without showing the token."""
        with pytest.raises(ValueError, match=said) as caught:
            facade(url, token=token)
        assert "s3cr" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    def test_a_client_and_a_token(self) -> None:
        """A client has its own token."""
        with pytest.raises(ValueError, match="not both"):
            chatmem.connect(client=redis.asyncio.Redis(), token="t0ken")

    def test_the_variables(self, rest: RestServer, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without URL and client, the vendor's own variables serve, unless CHATMEM_URL is there."""
        monkeypatch.setenv("UPSTASH_REDIS_REST_URL", rest.url)
        with pytest.raises(ValueError, match="UPSTASH_REDIS_REST_TOKEN is set: set both"):
            chatmem.connect()
        monkeypatch.setenv("UPSTASH_REDIS_REST_TOKEN", TOKEN)
        with chatmem.sync.connect(prefix=prefix) as memory:
            memory.ping()
        assert len(rest.requests) == 1
        monkeypatch.setenv("CHATMEM_URL", "redis://localhost:1")
        with chatmem.sync.connect() as memory, pytest.raises(chatmem.UnavailableError):
            memory.ping()
        assert len(rest.requests) == 1

    def test_chatmems_own_variable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """CHATMEM_URL holds the token, or `token` says it."""
        monkeypatch.setenv("CHATMEM_URL", "upstash://:t0ken@host")
        assert backend_at()._token == "t0ken"
        monkeypatch.setenv("CHATMEM_URL", "https://host")
        assert backend_at(token="other")._token == "other"

    @pytest.mark.parametrize("facade", [chatmem.connect, chatmem.sync.connect])
    def test_without_the_package(self, facade: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error says what to install."""
        for name in ("chatmem.backends.upstash", "chatmem.transports.upstash"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setitem(sys.modules, "upstash_redis", None)
        with pytest.raises(chatmem.UnsupportedError, match=r"pip install 'chatmem-redis\[upstash\]'"):
            facade("upstash://:t0ken@host")

    def test_the_package_is_imported_on_use(self, url: str) -> None:
        """Who uses another server does not pay for it."""
        import subprocess

        script = f"import sys, chatmem; chatmem.connect({url!r}); print('upstash_redis' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "False\n"


class TestClients:
    """Clients of the caller's own."""

    @pytest.mark.parametrize("encoding", ["base64", None])
    async def test_an_asyncio_client(self, rest: RestServer, prefix: str, encoding: Any, raw: redis.Redis) -> None:
        """It serves, keeps its own options, and stays open."""
        async with upstash_redis.asyncio.Redis(rest.url, TOKEN, rest_encoding=encoding) as client:
            async with chatmem.connect(client=client, prefix=prefix, ttl=60) as memory:
                await memory.history("a").append("é", lc.HumanMessage("b", id="1\ud800"))
                assert len(await memory.history("a").messages()) == 2
                assert (await memory.history("a").info()).count == 2
            assert await client.set(f"{prefix}-forever", "日本", ex=9)
            assert await client.get(f"{prefix}-forever") == "日本"

    @pytest.mark.parametrize("encoding", ["base64", None])
    async def test_a_blocking_client(self, rest: RestServer, prefix: str, encoding: Any, raw: redis.Redis) -> None:
        """It serves synchronous callers, and asynchronous ones through worker threads; it stays open."""
        with upstash_redis.Redis(rest.url, TOKEN, rest_encoding=encoding) as client:
            with chatmem.sync.connect(client=client, prefix=prefix, ttl=60) as memory:
                memory.history("a").append("é")
            async with chatmem.connect(client=client, prefix=prefix, ttl=60) as other:
                await asyncio.gather(*(other.history("a").append(str(n)) for n in range(20)))
                assert len(await other.history("a").messages()) == 21
            assert client.ping() == "PONG"

    def test_a_sync_caller_with_an_asyncio_client(self) -> None:
        """It is told what to pass, when it connects."""
        with pytest.raises(ValueError, match=r"pass an upstash_redis\.Redis as client=, or a URL"):
            chatmem.sync.connect(client=upstash_redis.asyncio.Redis("https://host", "t0ken"))

    def test_a_token_that_http_cannot_carry(self) -> None:
        """It is said before HTTP's own error would show it."""
        with pytest.raises(ValueError, match="without blanks"):
            chatmem.connect(client=upstash_redis.Redis("https://host", "s3cret\n"))

    def test_something_else_of_the_vendor(self) -> None:
        """What is no client is refused."""
        client: Any = upstash_redis.Redis("https://host", "t0ken").pipeline()
        with pytest.raises(ValueError, match="client must be"):
            chatmem.connect(client=client)

    async def test_the_server_sees_the_vendors_client(self, connect: Connect, rest: RestServer) -> None:
        """Reads follow one's own writes by the vendor's header; nothing is told of the user's machine."""
        memory = connect()
        await memory.ping()
        await memory.ping()
        assert rest.headers["Upstash-Sync-Token"] == "1.1"
        assert not [name for name in rest.headers if name.startswith("Upstash-Telemetry")]


class TestConcurrency:
    """Loops, threads, processes."""

    async def test_event_loops(self, rest: RestServer, prefix: str, raw: redis.Redis) -> None:
        """One memory serves several event loops at once, and closes with each."""
        memory = chatmem.connect(rest.url, token=TOKEN, prefix=prefix, ttl=60)

        async def main(n: int) -> int:
            await memory.history("a").append(str(n))
            return await memory.history("a").count()

        counts = await asyncio.gather(*(asyncio.to_thread(asyncio.run, main(n)) for n in range(8)))
        assert max(counts) == 8
        await memory.aclose()

    def test_threads(self, rest: RestServer, prefix: str, raw: redis.Redis) -> None:
        """One memory serves many threads."""
        with chatmem.sync.connect(rest.url, token=TOKEN, prefix=prefix, ttl=60) as memory:
            history = memory.history("a")
            threads = [threading.Thread(target=lambda: [history.append("x") for _ in range(10)]) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert history.info().version == len(history.messages()) == 80

    async def test_many_at_once(self, connect: Connect, raw: redis.Redis) -> None:
        """Fifty appends at once are fifty requests, and each gets its own answer."""
        history = connect().history("a")
        appended = await asyncio.gather(*(history.append(str(n)) for n in range(50)))
        assert sorted(one.first or 0 for one in appended) == list(range(50))

    async def test_a_cancelled_caller(self, rest: RestServer, prefix: str, raw: redis.Redis) -> None:
        """Cancelled at any moment, an append is whole or absent, and a retry completes it."""
        async with chatmem.connect(rest.url, token=TOKEN, prefix=prefix, ttl=60) as memory:
            await memory.ping()
            for step in range(0, 40, 4):
                history = memory.history(f"s{step}")
                messages = [lc.HumanMessage(str(n), id=f"m{n}") for n in range(3)]
                task = asyncio.create_task(history.append(*messages))
                for _ in range(step):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert await history.count() in (0, 3)
                await history.append(*messages)
                assert await history.count() == 3

    @pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
    def test_a_fork(self, rest: RestServer, prefix: str, raw: redis.Redis) -> None:
        """A child process opens connections of its own."""
        with chatmem.sync.connect(rest.url, token=TOKEN, prefix=prefix, ttl=60) as memory:
            history = memory.history("a")
            history.append("parent")
            child = multiprocessing.get_context("fork").Process(target=history.append, args=("child",))
            child.start()
            child.join(60)
            assert child.exitcode == 0
            history.append("parent")
            assert [message.content for message in history.messages()] == ["parent", "child", "parent"]
