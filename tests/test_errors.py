"""Servers that are gone, slow, locked or full: chatmem's own errors, from the original, and no secret in them."""

from __future__ import annotations

import asyncio
import logging
import pickle
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from tests.coroutines import Connect, as_coroutines
from tests.servers import debian_binary, free_port, run_server

SECRET = "s3cret-p4ssw0rd"


@pytest.fixture(params=["async", "sync"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Opens a memory in either facade."""

    def open_memory(url: str | None = None, **options: Any) -> chatmem.ChatMemory:
        if request.param == "async":
            return chatmem.connect(url, **options)
        return as_coroutines(chatmem.sync.connect(url, **options))

    return open_memory


@pytest.fixture(scope="module")
def locked() -> Iterator[str]:
    """A server with a password, and an ACL user who may only read."""
    with run_server(debian_binary()) as url:
        with redis.Redis.from_url(url) as admin:
            admin.acl_setuser("reader", enabled=True, passwords=[f"+{SECRET}"], keys=["*"], commands=["+lrange"])
            admin.config_set("requirepass", SECRET)
        yield url.removeprefix("redis://")


async def check(
    memory: chatmem.ChatMemory,
    kind: type[chatmem.ChatMemError],
    text: str,
    operation: Callable[[Any], Any] = lambda history: history.append("hi"),
) -> None:
    """Assert that an operation raises this error, and that nothing shows the secret."""
    with pytest.raises(kind, match=text) as caught:
        await operation(memory.history("alice"))
    error = caught.value
    assert error.session == "alice"
    assert isinstance(error.__cause__, Exception)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.session, type(again)) == (str(error), "alice", type(error))
    assert SECRET not in "".join(traceback.format_exception(error)) + repr(memory) + repr(error)
    await memory.aclose()


async def test_nobody_listens(connect: Connect) -> None:
    await check(
        connect(f"redis://:{SECRET}@127.0.0.1:{free_port()}/0"), chatmem.UnavailableError, "could not be reached"
    )


async def test_unknown_host(connect: Connect) -> None:
    await check(connect(f"redis://:{SECRET}@nowhere.invalid/0"), chatmem.UnavailableError, "could not be reached")


async def test_no_such_socket(connect: Connect) -> None:
    await check(connect("unix:///nowhere/redis.sock"), chatmem.UnavailableError, "could not be reached")


async def test_a_server_that_never_answers(connect: Connect) -> None:
    """A server that takes the command and says nothing is a time-out, not a hang."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as deaf:
        port = deaf.getsockname()[1]
        memory = connect(f"redis://127.0.0.1:{port}/0?socket_timeout=0.05")
        await check(memory, chatmem.UnavailableError, "could not be reached")


async def test_a_server_that_speaks_another_protocol(connect: Connect) -> None:
    """An HTTP server at the address is UnavailableError, not a crash."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(8):
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(1000)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        await check(connect(f"redis://127.0.0.1:{listener.getsockname()[1]}/0"), chatmem.UnavailableError, "reached")
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("login", ["", f":{SECRET}x@", f"nobody:{SECRET}@"])
async def test_wrong_passwords(connect: Connect, locked: str, login: str) -> None:
    await check(connect(f"redis://{login}{locked}"), chatmem.UnavailableError, "refused")


async def test_missing_rights(connect: Connect, locked: str) -> None:
    """A user who may not write can read."""
    memory = connect(f"redis://reader:{SECRET}@{locked}")
    assert await memory.history("alice").messages() == []
    await check(memory, chatmem.UnavailableError, "refused")


async def test_out_of_memory(connect: Connect) -> None:
    """A full server refuses the whole append; nothing of it is stored."""
    with run_server(debian_binary(), "--maxmemory", "2mb", "--maxmemory-policy", "noeviction") as url:
        memory = connect(url)
        with pytest.raises(chatmem.UnavailableError, match="out of memory"):
            for number in range(100):
                await memory.history(f"s{number}").append(
                    *(lc.HumanMessage("x" * 50_000, id=f"m{n}") for n in range(3))
                )
        counts = [await memory.history(f"s{n}").count() for n in range(100)]
        assert set(counts) == {0, 3}
        await check(memory, chatmem.UnavailableError, "out of memory", lambda history: history.append("x" * 2_000_000))


async def test_read_only_replica(connect: Connect) -> None:
    with run_server(debian_binary(), "--replicaof", "127.0.0.1", str(free_port())) as url:
        await check(connect(url), chatmem.UnavailableError, "cannot serve this now|MASTERDOWN|READONLY")


async def test_a_server_without_scripts(connect: Connect) -> None:
    """A server that lacks a command is named as such."""
    commands = ["--rename-command", "EVAL", "", "--rename-command", "EVALSHA", ""]
    with run_server(debian_binary(), *commands) as url:
        await check(connect(url), chatmem.UnsupportedError, "lacks a command")


async def test_a_server_that_comes_back(connect: Connect) -> None:
    """Connections that a restart of the server cut are replaced without an error."""
    port = free_port()
    memory = connect(f"redis://127.0.0.1:{port}/0")
    for _ in range(2):
        with run_server(debian_binary(), port=port):
            await _until_up(memory)
            assert (await memory.history("a").append("x")).first == 0
    await memory.aclose()


async def _until_up(memory: chatmem.ChatMemory) -> None:
    for _ in range(100):
        try:
            await memory.ping()
        except chatmem.UnavailableError:
            await asyncio.sleep(0.05)
        else:
            return


class TestResends:
    """Promise 3 where the client sends again: a reply that was lost does not double an append."""

    @pytest.fixture
    def lossy(self, url: str) -> Iterator[str]:
        """A proxy that passes the first request of each of the first connections on and then hangs up."""
        with closing(LossyProxy(url, 2)) as proxy:
            yield proxy.url

    async def test_an_append_is_stored_once(self, connect: Connect, lossy: str, url: str, prefix: str) -> None:
        """Two replies are lost, chatmem sends three times, one message is stored, and the answer is the first one's."""
        memory = connect(lossy, prefix=prefix, ttl=60)
        assert await memory.history("a").append("x", "y") == chatmem.Appended(1, 0, 1, 0)
        assert await memory.history("a").count() == 2
        await memory.history("a").clear()
        await memory.aclose()

    async def test_with_an_expected_version(self, connect: Connect, lossy: str, prefix: str) -> None:
        """The resend of an append that succeeded is no conflict with itself."""
        memory = connect(lossy, prefix=prefix, ttl=60)
        assert (await memory.history("a").append("x", expected_version=0)).version == 1
        await memory.history("a").clear()
        await memory.aclose()


class LossyProxy:
    """Passes one request of each of the first connections on, swallows the reply and hangs up; then behaves."""

    def __init__(self, server_url: str, losses: int) -> None:
        self._server = ("127.0.0.1", int(server_url.rsplit(":", 1)[1].split("/", maxsplit=1)[0]))
        self._losses = losses
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client, self._losses > 0), daemon=True).start()
            self._losses -= 1

    def _pass(self, client: socket.socket, lose: bool) -> None:
        with client, socket.create_connection(self._server) as server:
            threading.Thread(target=_forward, args=(client, server), daemon=True).start()
            while reply := server.recv(1 << 16):
                if lose:
                    client.shutdown(socket.SHUT_RDWR)  # closing alone tells nobody while `_forward` reads
                    return
                client.sendall(reply)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _forward(client: socket.socket, server: socket.socket) -> None:
    """Pass on what a client sends: a request may come in several parts."""
    with suppress(OSError):  # one of them has hung up
        while part := client.recv(1 << 16):
            server.sendall(part)
        server.shutdown(socket.SHUT_WR)


def test_nothing_is_logged_with_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    """No log line of any library in use shows the password."""
    with caplog.at_level(logging.DEBUG):
        memory = chatmem.sync.connect(f"redis://:{SECRET}@127.0.0.1:{free_port()}/0")
        with pytest.raises(chatmem.UnavailableError):
            memory.ping()
    assert SECRET not in caplog.text
    assert SECRET not in repr(vars(memory))


class TestSize:
    """`max_message_bytes`."""

    def test_a_large_message(self, url: str, prefix: str) -> None:
        """It is an error that says how large it is and how large it may be; nothing of the append is sent."""
        with chatmem.sync.connect(url, prefix=prefix, ttl=60, max_message_bytes=1000) as memory:
            history = memory.history("a")
            with pytest.raises(
                chatmem.MessageTooLargeError, match=r"message 1 \(HumanMessage\) takes .* 1,000 are"
            ) as caught:
                history.append("small", "x" * 1000)
            assert (caught.value.index, history.count()) == (1, 0)
            history.append("x" * 900)
            with pytest.raises(chatmem.MessageTooLargeError):
                history.replace(0, "x" * 1000)
            assert [len(message.content) for message in history.messages()] == [900]

    @pytest.mark.parametrize("wrong", [0, -1, None, True, 2**40])
    def test_wrong_limits(self, wrong: object) -> None:
        with pytest.raises(ValueError, match="max_message_bytes must be"):
            chatmem.sync.connect("redis://localhost", max_message_bytes=wrong)  # type: ignore[arg-type]
