"""The caller's own clients, whatever their options, and what happens when they cannot serve."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from langchain_core import messages as lc
from redis.backoff import NoBackoff
from redis.cache import CacheConfig
from redis.retry import Retry

import chatmem
import chatmem.sync
from tests import samples
from tests.samples import same

OPTIONS: dict[str, dict[str, Any]] = {
    "RESP2": {"protocol": 2},
    "RESP3": {"protocol": 3},
    "decoding": {"decode_responses": True},
    "decoding RESP3": {"decode_responses": True, "protocol": 3},
    "another encoding": {"decode_responses": True, "encoding": "latin-1"},
    "retrying": {"retry_on_timeout": True, "retry": Retry(NoBackoff(), 3)},
    "one connection": {"single_connection_client": True},
}


def async_options(options: dict[str, Any]) -> dict[str, Any]:
    if "retry" not in options:
        return options
    return {**options, "retry": redis.asyncio.retry.Retry(NoBackoff(), 3)}


async def exercise(history: chatmem.History) -> None:
    """Everything there is, through an async `History`."""
    messages = [message for name, message in samples.kinds().items() if name != "custom subclass"]
    await history.append(*messages)
    assert all(map(same, await history.messages(), messages))
    assert [entry.seq async for entry in history.entries()] == list(range(len(messages)))
    assert (await history.info()).count == await history.count() == len(messages)
    assert await history.touch(ttl=5) is True
    with pytest.raises(chatmem.ConflictError):
        await history.append("x", expected_version=99)
    await history.clear()
    assert await history.messages() == []


@pytest.mark.parametrize("name", OPTIONS)
async def test_an_async_client(url: str, prefix: str, name: str) -> None:
    """A redis.asyncio client with any options serves, and stays open."""
    async with redis.asyncio.Redis.from_url(url, **async_options(OPTIONS[name])) as client:
        async with chatmem.connect(client=client, prefix=prefix) as memory:
            await exercise(memory.history("a"))
        assert await client.ping()


@pytest.mark.parametrize("name", OPTIONS)
async def test_a_blocking_client_in_async_code(url: str, prefix: str, name: str) -> None:
    """A blocking client serves async callers through worker threads, and stays open."""
    with redis.Redis.from_url(url, **OPTIONS[name]) as client:
        async with chatmem.connect(client=client, prefix=prefix) as memory:
            await exercise(memory.history("a"))
            await asyncio.gather(*(memory.history("b").append(str(n)) for n in range(20)))
            assert await memory.history("b").count() == 20
            await memory.history("b").clear()
        assert client.ping()


@pytest.mark.parametrize("name", OPTIONS)
def test_a_blocking_client(url: str, prefix: str, name: str) -> None:
    """A blocking client with any options serves synchronous callers, and stays open."""
    with redis.Redis.from_url(url, **OPTIONS[name]) as client:
        with chatmem.sync.connect(client=client, prefix=prefix) as memory:
            history = memory.history("a")
            history.append(lc.HumanMessage("h\ud800", id="1"), lc.ToolMessage("x", tool_call_id="1", artifact=b"\xff"))
            assert [entry.id for entry in history.entries()] == ["1", None]
            assert history.info().count == len(history.messages()) == 2
            history.clear()
        assert client.ping()


@pytest.mark.parametrize("decode", [False, True])
async def test_a_client_that_caches(url: str, prefix: str, monkeypatch: pytest.MonkeyPatch, decode: bool) -> None:
    """Reads of a client with redis-py's client-side cache go past it: they see what others wrote a moment ago."""
    monkeypatch.setattr(redis.connection.CacheProxyConnection, "MIN_ALLOWED_VERSION", "6.0.0")
    options: Any = {"protocol": 3, "decode_responses": decode, "cache_config": CacheConfig()}
    with redis.Redis.from_url(url, **options) as client, chatmem.sync.connect(url, prefix=prefix) as other:
        with chatmem.sync.connect(client=client, prefix=prefix) as memory:
            for count in range(1, 30):
                other.history("a").append("x")
                assert len(memory.history("a").messages()) == memory.history("a").count() == count
            memory.history("a").clear()
        async with chatmem.connect(client=client, prefix=prefix) as in_threads:
            await exercise(in_threads.history("a"))


class NoToken(redis.CredentialProvider):
    """Its service is down."""

    def get_credentials(self) -> tuple[str]:
        raise LookupError("no token for s3cret")

    async def get_credentials_async(self) -> tuple[str]:
        return self.get_credentials()


async def test_credentials_that_cannot_be_had(url: str, prefix: str, caplog: pytest.LogCaptureFixture) -> None:
    """Callers and listeners hear of it at once, with the provider's error as a cause, and no log tells more."""
    async with redis.asyncio.Redis.from_url(url, credential_provider=NoToken()) as client:
        memory = chatmem.connect(client=client, prefix=prefix)
        for call in (memory.ping(), anext(memory.history("a").changes())):
            with pytest.raises(chatmem.UnavailableError, match=r"set up \(LookupError\)") as caught:
                await call
            causes: list[BaseException] = [caught.value]
            while (cause := causes[-1].__cause__) is not None:
                causes.append(cause)
            assert isinstance(causes[-1], LookupError)
        await memory.aclose()
    gc.collect()
    assert caplog.text == ""


def test_blocking_calls_leave_the_loop_free(url: str, prefix: str) -> None:
    """While a blocking client waits for a stalled server, the event loop goes on."""

    async def main() -> int:
        with redis.Redis.from_url(url) as client:
            memory = chatmem.connect(client=client, prefix=prefix)
            await memory.ping()
            client.execute_command("CLIENT", "PAUSE", "500")
            waiting = asyncio.create_task(memory.ping())
            ticks = 0
            while not waiting.done():
                ticks += 1
                await asyncio.sleep(0.01)
            return ticks

    assert asyncio.run(main()) > 5


def test_a_sync_caller_with_an_async_client() -> None:
    """It is told what to pass, when it connects."""
    with pytest.raises(ValueError, match=r"pass a redis\.Redis as client=, or a URL"):
        chatmem.sync.connect(client=redis.asyncio.Redis())


async def test_langchains_sync_names_with_an_async_client(url: str, prefix: str) -> None:
    """They say what to pass; the async names serve."""
    async with redis.asyncio.Redis.from_url(url) as client:
        history = chatmem.connect(client=client, prefix=prefix).langchain("a")
        await history.aadd_messages([lc.HumanMessage("x")])
        assert len(await history.aget_messages()) == 1
        with pytest.raises(ValueError, match="pass a redis"):
            _ = history.messages
        with pytest.raises(ValueError, match="pass a redis"):
            history.add_messages([lc.HumanMessage("x")])
        await history.aclear()


@pytest.mark.parametrize("connect", [chatmem.connect, chatmem.sync.connect])
class TestArguments:
    """Wrong ways to say where the server is."""

    def test_both(self, connect: Callable[..., object]) -> None:
        with pytest.raises(ValueError, match="not both"):
            connect("redis://localhost", client=redis.Redis())

    @pytest.mark.parametrize("client", [5, "redis://localhost", object()])
    def test_no_client(self, connect: Callable[..., object], client: Any) -> None:
        with pytest.raises(ValueError, match=r"client must be a redis\.Redis"):
            connect(client=client)

    @pytest.mark.parametrize("url", ["localhost:6379", "ftp://localhost", "redis:/localhost", "REDIS://s3cret@x"])
    def test_no_url_of_ours(self, connect: Callable[..., object], url: str) -> None:
        with pytest.raises(ValueError, match="url must begin with one of redis://, rediss://") as caught:
            connect(url)
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize("given", [{"url": b"redis://localhost"}, {"url": Path("/tmp")}, {"token": 5}])
    def test_no_text(self, connect: Any, given: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be a str, not"):
            connect(**given)

    @pytest.mark.parametrize("url", ["localhost", "10.0.0.1:6380/2", "[::1]:6379", "redis.internal:6379"])
    def test_a_url_without_its_scheme(self, connect: Any, url: str) -> None:
        """The error suggests the whole URL."""
        with pytest.raises(ValueError, match="Did you mean") as caught:
            connect(url)
        assert str(caught.value).endswith(f"Did you mean redis://{url}?")

    @pytest.mark.parametrize("url", [":s3cret@localhost:6379", "user:s3cret@host:6379", "s3cret"])
    def test_a_password_is_not_repeated(self, connect: Any, url: str) -> None:
        """What may be a password is in no suggestion."""
        with pytest.raises(ValueError, match="url must begin") as caught:
            connect(url)
        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize(
        "url", ["redis://user:s3cret/x@host:port/0", "redis://:s3cret@host:99999/0", "redis://:s3c#ret@host/0"]
    )
    def test_a_malformed_url(self, connect: Callable[..., object], url: str) -> None:
        """What is wrong with it is said without showing the password."""
        with pytest.raises(ValueError, match="percent-encoded") as caught:
            connect(url)
        assert "s3cret" not in str(caught.value)
        assert caught.value.__context__ is None


def test_the_variable(url: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without URL and client, CHATMEM_URL says where the server is."""
    monkeypatch.setenv("CHATMEM_URL", url)
    with chatmem.sync.connect(prefix=prefix) as memory, redis.Redis.from_url(url) as raw:
        memory.history("a").append("x")
        assert raw.exists(f"{prefix}:{{a}}:m")
        memory.history("a").clear()


def test_url_options_reach_redis_py(url: str, prefix: str) -> None:
    """A query option that redis-py knows is used, and wins over chatmem's own."""
    with chatmem.sync.connect(f"{url}?socket_timeout=1.5&client_name=chatmem-test&max_connections=3") as memory:
        memory.ping()
        transport: Any = memory.core.connection.blocking()
        pool = transport._transport._clients._clients[os.getpid(), 0].client.connection_pool
        assert pool.connection_kwargs["socket_timeout"] == 1.5
        assert pool.max_connections == 3


async def test_event_loops_do_not_share_connections(url: str, prefix: str) -> None:
    """One memory serves several event loops, one after the other and at once."""
    memory = chatmem.connect(url, prefix=prefix)

    async def main(n: int) -> int:
        await memory.history("a").append(str(n))
        return await memory.history("a").count()

    counts = await asyncio.gather(*(asyncio.to_thread(asyncio.run, main(n)) for n in range(8)))
    assert max(counts) == 8
    await memory.history("a").clear()
    await memory.aclose()
    with pytest.raises(chatmem.UnavailableError, match="was closed"):
        await memory.ping()


async def test_a_cancelled_caller_disturbs_nobody(url: str, prefix: str) -> None:
    """Cancelled at any moment, an append is whole or absent, a retry completes it, and others get their own replies."""
    async with chatmem.connect(url, prefix=prefix) as memory:
        for step in range(60):
            history = memory.history(f"s{step}")
            messages = [lc.HumanMessage(str(n), id=f"m{n}") for n in range(3)]
            task = asyncio.create_task(history.append(*messages))
            others = [asyncio.create_task(memory.history(f"o{step}-{n}").append("x")) for n in range(3)]
            for _ in range(step):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert [(await other).first for other in others] == [0, 0, 0]
            assert await history.count() in (0, 3)
            await history.append(*messages)
            assert await history.count() == 3
    with redis.Redis.from_url(url) as raw:
        raw.unlink(*raw.scan_iter(f"{prefix}*", count=1000))
