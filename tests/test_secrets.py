"""Passwords and tokens are in no error, traceback, representation or log, whatever goes wrong: looked for as text."""

from __future__ import annotations

import logging
import pickle
import socket
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest
import redis
import redis.asyncio
from langchain_core import messages as lc
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.credentials import UsernamePasswordCredentialProvider
from redis.retry import Retry

import chatmem
import chatmem.backends.sentinel
import chatmem.sync
from chatmem.core.keys import session_keys
from tests.coroutines import Connect, as_coroutines
from tests.servers import debian_binary, free_port, run_server
from tests.upstash_server import RestServer, serving

SECRET = "s3cret-p4ssw0rd"
WRITTEN = "what Alice wrote"
"""The text of a message, which no error shows either."""


@pytest.fixture(scope="module")
def locked() -> Iterator[str]:
    """The address of a server that wants the password."""
    with run_server(debian_binary()) as url:
        with redis.Redis.from_url(url) as admin:
            admin.config_set("requirepass", SECRET)
        yield url.removeprefix("redis://").partition("/")[0]


@pytest.fixture(params=["async", "sync"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Return what opens memories, which are closed after the test."""
    opened: list[chatmem.ChatMemory] = []

    def open_memory(url: str | None = None, **options: Any) -> chatmem.ChatMemory:
        if request.param == "async":
            memory = chatmem.connect(url, **options)
        else:
            memory = as_coroutines(chatmem.sync.connect(url, **options))
        opened.append(memory)
        return memory

    yield open_memory
    for memory in opened:
        await memory.aclose()


class Seen:
    """All that a reader of errors, logs and representations would see."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        self.texts: list[str] = []
        self.errors = 0
        self._log = log

    def error(self, error: BaseException) -> None:
        """Take an error as str, repr, arguments, pickle and traceback, and those that it came from."""
        self.errors += 1
        self.texts += ["".join(traceback.format_exception(error)), repr(pickle.dumps(error))]
        chain: BaseException | None = error
        while chain is not None:
            self.texts += [str(chain), repr(chain), repr(chain.args), repr(vars(chain))]
            chain = chain.__cause__ or chain.__context__

    def objects(self, memory: chatmem.ChatMemory) -> None:
        """Take what the memory and all that is chatmem's below it say of themselves."""
        whole, found = getattr(memory, "_wrapped", memory), list[Any]()
        pending = [whole, whole.history("a"), whole.core.policy, whole.core.connection]
        while pending:
            one = pending.pop()
            if any(one is other for other in found):
                continue
            found.append(one)
            self.texts.append(repr(one))
            pending += [part for part in getattr(one, "__dict__", {}).values() if _is_ours(part)]
        assert len(found) > 4

    def check(self, *secrets: str, errors: int) -> None:
        """Fail where one of them shows, or where there were fewer errors than that to look at."""
        assert self.errors >= errors
        logged = [f"{one.getMessage()} {one.args!r} {one.exc_text}" for one in self._log.records]
        for secret in secrets:
            for text in (*self.texts, *logged, self._log.text):
                assert secret not in text


def _is_ours(part: object) -> bool:
    return type(part).__module__.startswith("chatmem")


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> Seen:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="chatmem")
    return Seen(caplog)


async def provoke(memory: chatmem.ChatMemory, seen: Seen, *, more: bool = False, once: bool = False) -> None:
    """Try operations of one round trip and of several, and keep what they raise."""
    seen.objects(memory)
    history = memory.history("a")
    calls: list[Callable[[], Any]] = [history.count, history.info, lambda: history.append(WRITTEN)]
    if once:  # where each takes seconds
        del calls[1:]
    if more:
        calls += [lambda: history.append(WRITTEN, expected_version=7), lambda: history.messages(strict=True)]
        calls += [
            lambda: history.delete("none", expected_version=7),
            lambda: history.append(lc.HumanMessage(WRITTEN, x=seen)),
        ]
    for call in calls:
        try:
            await call()
        except (chatmem.ChatMemError, ValueError) as error:
            seen.error(error)
    seen.objects(memory)


def urls(address: str, secret: str) -> list[str]:
    return [
        *(f"{scheme}://:{secret}@{address}/0" for scheme in ("redis", "rediss")),
        f"redis://default:{secret}@{address}/0",
        f"redis://{address}/0?password={secret}",
        f"redis+cluster://:{secret}@{address}",
        f"rediss+cluster://:{secret}@{address}",
        f"redis+sentinel://:{secret}@{address}/service/0?sentinel_password={secret}",
    ]


@pytest.mark.parametrize("kind", range(7))
async def test_nobody_listens(connect: Connect, seen: Seen, kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection, with every scheme; the sentinel's own password is looked for too."""
    monkeypatch.setattr(chatmem.backends.sentinel, "RETRIES", 0)
    await provoke(connect(urls(f"127.0.0.1:{free_port()}", SECRET)[kind]), seen, once=True)
    seen.check(SECRET, WRITTEN, errors=1)


@pytest.mark.parametrize("kind", [0, 2, 3, 4])
async def test_a_wrong_password(connect: Connect, seen: Seen, locked: str, kind: int) -> None:
    """A server that wants another password."""
    await provoke(connect(urls(locked, f"{SECRET}-wrong")[kind]), seen, once=True)
    seen.check(SECRET, WRITTEN, errors=1)


@pytest.mark.parametrize("answer", [b"", b"*9\r\n"])
@pytest.mark.parametrize("kind", [0, 4])
async def test_a_bad_reply(connect: Connect, seen: Seen, kind: int, answer: bytes) -> None:
    """Silence, and half a reply."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as held:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    if answer:
                        client.sendall(answer)
                        client.close()
                    else:
                        held.enter_context(client)

        threading.Thread(target=serve, daemon=True).start()
        url = urls(f"127.0.0.1:{listener.getsockname()[1]}", SECRET)[kind]
        quick = "socket_timeout=0.05&socket_connect_timeout=0.05"
        await provoke(connect(f"{url}{'&' if '?' in url else '?'}{quick}"), seen, once=True)
        listener.shutdown(socket.SHUT_RDWR)
    seen.check(SECRET, WRITTEN, errors=1)


@pytest.mark.parametrize("kind", [0, 2, 3])
async def test_on_a_server_that_serves(connect: Connect, seen: Seen, locked: str, kind: int) -> None:
    """Conflicts, corrupt records, what cannot be stored, a key of a wrong type."""
    url = (f"redis://:{SECRET}@{locked}/0", *urls(locked, SECRET)[1:])[kind]
    keys = session_keys("chatmem", "a")
    with closing(redis.Redis.from_url(f"redis://:{SECRET}@{locked}/0")) as admin:
        admin.flushall()
        admin.rpush(
            keys.messages,
            b"0:" + WRITTEN.encode(),
            b'{"type": "human", "data": {"content": {"x": "%b"}}}' % WRITTEN.encode(),
        )
        await provoke(connect(url), seen, more=True)
        admin.flushall()
        admin.set(keys.messages, WRITTEN)
        await provoke(connect(url), seen, more=True)
    seen.check(SECRET, WRITTEN, errors=7)


@pytest.mark.parametrize("how", ["password", "provider"])
async def test_a_callers_client(
    connect: Connect, seen: Seen, locked: str, how: str, request: pytest.FixtureRequest
) -> None:
    """A client of redis-py's with a password, or with a provider of credentials, that the server refuses."""
    is_async = request.node.callspec.params["connect"] == "async"
    host, _, port = locked.partition(":")
    wrong = f"{SECRET}-wrong"
    given: dict[str, Any] = (
        {"password": wrong}
        if how == "password"
        else {"credential_provider": UsernamePasswordCredentialProvider("default", wrong)}
    )
    retry: Any = (AsyncRetry if is_async else Retry)(NoBackoff(), 0)
    client: Any = (redis.asyncio.Redis if is_async else redis.Redis)(host=host, port=int(port), retry=retry, **given)
    await provoke(connect(client=client), seen)
    await client.aclose() if is_async else client.close()
    seen.check(SECRET, WRITTEN, errors=3)


@pytest.fixture
def rest(url: str) -> Iterator[RestServer]:
    with serving(url) as server:
        yield server


@pytest.mark.parametrize("place", ["url", "argument", "nowhere"])
async def test_upstashs_token(connect: Connect, seen: Seen, rest: RestServer, place: str) -> None:
    """A wrong token in the URL or beside it, and a right one where nobody listens."""
    if place == "url":
        memory = connect(rest.url.replace("//", f"//:{SECRET}@"))
    else:
        address = rest.url if place == "argument" else f"http://127.0.0.1:{free_port()}"
        memory = connect(address, token=SECRET)
    await provoke(memory, seen, once=True)
    seen.check(SECRET, WRITTEN, errors=1)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@127.0.0.1:99999999/0",
        f"redis://:{SECRET}@[::1/0",
        f"redis://user:{SECRET}/#@host/0",
        f"redis://:{SECRET}@host:port/0",
        f"redis://:{SECRET}@host/0?socket_timeout=soon",
        f"redis+cluster://:{SECRET}@[host",
        f"redis+sentinel://:{SECRET}@host:port/service/0",
        f"redis+sentinel://:{SECRET}@host",
        f"upstash://:{SECRET}@",
        f"upstash://{SECRET}",
        f"mysql://:{SECRET}@host",
        f":{SECRET}@host",
    ],
)
async def test_urls_that_are_none(connect: Connect, seen: Seen, url: str) -> None:
    """A mistake in the URL is told without the URL, and so is what it leads to on first use."""
    try:
        memory = connect(url)
    except ValueError as error:
        seen.error(error)
    else:
        await provoke(memory, seen, once=True)
    seen.check(SECRET, errors=1)
