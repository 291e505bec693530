"""The fixtures of the contract suite: {server} x {async, sync}, and the rule that no key is left without its TTL."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
import redis
import trustme
from hypothesis import HealthCheck, settings

import chatmem
import chatmem.sync
from chatmem.embedded.server import EmbeddedServer
from tests.coroutines import as_coroutines
from tests.servers import ADMINS, SERVERS, AbsentError, ImpossibleError, Server

pytest_plugins = ["pytester", "tests.peers.fixtures", "tests.ui.fixtures"]

settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # run in the background: children would ignore Ctrl-C too
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one authority, which signs nothing."""
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(file)
    return file


@pytest.fixture(autouse=True)
def no_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test talks to the server that the developer's own variables name.

    On all servers, tests trust no authorities of the machine: to load them takes each connection 40 ms.
    """
    if "server_url" in request.fixturenames:
        monkeypatch.setenv("SSL_CERT_FILE", str(request.getfixturevalue("authority")))
    for name in ("CHATMEM_URL", "CHATMEM_PREFIX", "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def start(server: Server, stack: ExitStack) -> str:
    try:
        return stack.enter_context(server.start())
    except AbsentError as absent:
        if os.environ.get("CI") and not isinstance(absent, ImpossibleError):
            pytest.fail(f"{server.name} is absent: {absent}")
        pytest.skip(f"{server.name} is absent: {absent}")


@pytest.fixture(scope="session", params=SERVERS, ids=lambda server: server.name)
def server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of each server of the table in turn."""
    with ExitStack() as stack:
        yield start(request.param, stack)


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The URL of one server, for tests that need not run on all."""
    with ExitStack() as stack:
        yield start(SERVERS[1], stack)


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


def client_of(url: str) -> redis.Redis:
    """Return a plain client for a URL, the embedded server's too."""
    if url.startswith("embedded://"):
        server = EmbeddedServer(url.removeprefix("embedded://"))
        return redis.Redis(unix_socket_path=server.acquire())
    if "+cluster" in url:
        cluster: Any = redis.RedisCluster.from_url(url.replace("+cluster", ""))
        return cluster  # type: ignore[no-any-return]
    return redis.Redis.from_url(ADMINS.get(url, url), protocol=2)  # Redis 5 knows no HELLO


def check_ttls(raw: redis.Redis, prefix: str) -> None:
    """Fail where a session with a TTL has a key without one, or keys that expire apart; then remove all keys."""
    deadlines: dict[bytes, set[int]] = {}
    keys = list(raw.scan_iter(f"{prefix}*", count=1000))
    pipeline: Any = raw.pipeline(transaction=False)
    for key in keys:
        pipeline.pttl(key)
    for key in keys:
        pipeline.unlink(key)
    for key, left in zip(keys, pipeline.execute(), strict=False):
        if key.startswith(f"{prefix}-forever".encode()):
            continue
        assert left >= 0, f"{key!r} was left without a TTL"
        deadlines.setdefault(key[:-2], set()).add(left // 1000)
    for session, seconds in deadlines.items():
        assert max(seconds) - min(seconds) <= 1, f"{session!r} expires in parts"


@pytest.fixture(scope="session")
def clients() -> Iterator[dict[str, redis.Redis]]:
    """Plain clients by URL. To make one for a cluster or over TLS takes longer than most tests."""
    made: dict[str, redis.Redis] = {}
    yield made
    for client in made.values():
        client.close()


@pytest.fixture
def raw(server_url: str, prefix: str, clients: dict[str, redis.Redis]) -> Iterator[redis.Redis]:
    """A plain client of the same server; after the test it checks every key's TTL."""
    if server_url not in clients or server_url.startswith("embedded://"):  # that server ends when nobody uses it
        clients[server_url] = client_of(server_url)
    yield clients[server_url]
    check_ttls(clients[server_url], prefix)


class Connect(Protocol):
    """Opens a memory on the test's server, in the test's facade; the synchronous one answers as coroutines."""

    def __call__(self, *, ttl: float | timedelta | None = 600, **options: Any) -> chatmem.ChatMemory: ...


@pytest.fixture(params=["async", "sync"])
async def connect(
    request: pytest.FixtureRequest, server_url: str, prefix: str, raw: redis.Redis
) -> AsyncIterator[Connect]:
    """Return what opens memories, which are closed after the test."""
    opened: list[chatmem.ChatMemory] = []

    def open_memory(*, ttl: float | timedelta | None = 600, **options: Any) -> chatmem.ChatMemory:
        options.setdefault("prefix", prefix if ttl is not None else f"{prefix}-forever")
        if request.param == "async":
            memory = chatmem.connect(server_url, ttl=ttl, **options)
        else:
            memory = as_coroutines(chatmem.sync.connect(server_url, ttl=ttl, **options))
        opened.append(memory)
        return memory

    yield open_memory
    for memory in opened:
        await memory.aclose()


@pytest.fixture
async def memory(connect: Connect) -> chatmem.ChatMemory:
    """A memory whose sessions live for ten minutes."""
    return connect()


@pytest.fixture
async def history(memory: chatmem.ChatMemory) -> chatmem.History:
    return memory.history("user-123")
