"""Whatever a server, a cluster, a gateway or a proxy may answer in place of a reply is a leaf that says what to do."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

import chatmem
import chatmem.sync
from chatmem.transports.errors import Retry, retry_of, translate
from tests.coroutines import Connect, as_coroutines
from tests.faults import resp_end
from tests.servers import debian_binary, run_server, wait_until

UNAVAILABLE, UNSUPPORTED = chatmem.UnavailableError, chatmem.UnsupportedError
REPLIES = [
    ("NOAUTH Authentication required.", UNAVAILABLE, "refused this user or password", Retry.NO),
    ("WRONGPASS invalid username-password pair or user is disabled.", UNAVAILABLE, "correct the login", Retry.NO),
    ("ERR invalid password", UNAVAILABLE, "correct the login", Retry.NO),
    ("ERR Client sent AUTH, but no password is set", UNAVAILABLE, "correct the login", Retry.NO),
    (
        "NOPERM User x has no permissions to run the 'evalsha' command",
        UNAVAILABLE,
        "lacks a right",
        Retry.NO,
    ),
    (
        "ERR ACL failure in script: User x has no permissions to run",
        UNAVAILABLE,
        "lacks a right",
        Retry.NO,
    ),
    (
        "ERR The user executing the script can't run this command or",
        UNAVAILABLE,
        "lacks a right",
        Retry.NO,
    ),
    ("NOPERM No permissions to access a key", UNAVAILABLE, "lacks a right", Retry.NO),
    ("DENIED Redis is running in protected mode because", UNAVAILABLE, "until it has a password", Retry.NO),
    ("OOM command not allowed when used memory > 'maxmemory'.", UNAVAILABLE, "raise its maxmemory", Retry.NO),
    ("ERR Error running script (call to f_1): @user_script:3: -OOM command", UNAVAILABLE, "maxmemory", Retry.NO),
    ("MISCONF Redis is configured to save RDB snapshots, but", UNAVAILABLE, "cannot save to its disk", Retry.NO),
    ("MISCONF Errors writing to the AOF file: No space left on device", UNAVAILABLE, "to its disk", Retry.NO),
    ("LOADING Redis is loading the dataset in memory", UNAVAILABLE, "reading its data", Retry.LATER),
    ("BUSY Redis is busy running a script. You can only", UNAVAILABLE, "long script", Retry.LATER),
    ("READONLY You can't write against a read only replica.", UNAVAILABLE, "its master", Retry.LATER),
    ("ERR script: 1, on @user_script:1. -READONLY You can't", UNAVAILABLE, "its master", Retry.LATER),
    ("REDIRECT 127.0.0.1:6380", UNAVAILABLE, "its master", Retry.LATER),
    ("MASTERDOWN Link with MASTER is down and", UNAVAILABLE, "failing over", Retry.LATER),
    ("NOMASTERLINK Can't SYNC while failing over", UNAVAILABLE, "failing over", Retry.LATER),
    ("INPROG Failover already in progress", UNAVAILABLE, "failing over", Retry.LATER),
    ("NOREPLICAS Not enough good replicas to write.", UNAVAILABLE, "fewer replicas", Retry.LATER),
    ("UNBLOCKED client unblocked via CLIENT UNBLOCK", UNAVAILABLE, "not confirmed", Retry.LATER),
    ("UNBLOCKED force unblock from blocking operation, instance state", UNAVAILABLE, "not confirmed", Retry.LATER),
    ("ERR WAIT cannot be used with replica instances.", UNAVAILABLE, "its master", Retry.LATER),
    ("CLUSTERDOWN The cluster is down", UNAVAILABLE, "failing over or moves slots", Retry.LATER),
    ("CLUSTERDOWN Hash slot not served", UNAVAILABLE, "failing over or moves slots", Retry.LATER),
    ("TRYAGAIN Multiple keys request during rehashing of slot", UNAVAILABLE, "moves slots", Retry.LATER),
    ("MOVED 12182 127.0.0.1:7002", UNSUPPORTED, r"redis\+cluster://", Retry.NO),
    ("ASK 12182 127.0.0.1:7002", UNSUPPORTED, r"redis\+cluster://", Retry.NO),
    ("CROSSSLOT Keys in request don't hash to the same slot", UNSUPPORTED, "behind a proxy", Retry.NO),
    ("ERR max number of clients reached", UNAVAILABLE, "maxclients", Retry.LATER),
    ("ERR max number of clients + cluster connections reached", UNAVAILABLE, "maxclients", Retry.LATER),
    ("ERR max concurrent connections exceeded", UNAVAILABLE, "maxclients", Retry.LATER),
    ("NOPROTO unsupported protocol version", UNSUPPORTED, "protocol=2", Retry.NO),
    ("ERR unknown command `HELLO`, with args beginning with: `3`,", UNSUPPORTED, "protocol=2", Retry.NO),
    ("ERR unknown command 'EVAL', with args beginning with: 'x'", UNSUPPORTED, "lacks a command", Retry.NO),
    ("ERR unknown command `WAIT`, with args beginning with: `1`", UNSUPPORTED, "lacks a command", Retry.NO),
    ("ERR unknown subcommand 'X'. Try SCRIPT HELP.", UNSUPPORTED, "lacks a command", Retry.NO),
    ("unsupported command 'eval'", UNSUPPORTED, "lacks a command", Retry.NO),
    ("ERR command 'EVAL' is not supported", UNSUPPORTED, "lacks a command", Retry.NO),
    ("ERR DB index is out of range", UNSUPPORTED, "database of this number", Retry.NO),
    ("ERR SELECT is not allowed in cluster mode", UNSUPPORTED, "database of this number", Retry.NO),
    ("ERR Protocol error: invalid bulk length", UNSUPPORTED, "of this size", Retry.NO),
    ("ERR Protocol error: too big mbulk count string", UNSUPPORTED, "of this size", Retry.NO),
    ("ERR string exceeds maximum allowed size (proto-max-bulk-len)", UNSUPPORTED, "of this size", Retry.NO),
    ("ERR max request size exceeded. Limit: 1048576 bytes", UNSUPPORTED, "of this size", Retry.NO),
    ("ERR Error running script (call to f_1): Script killed by user with SCRIPT KILL", UNAVAILABLE, "ended", Retry.NO),
    ("ERR max daily request limit exceeded. Limit: 10000", UNAVAILABLE, "plan allows no more", Retry.NO),
    ("LIMITED try later", UNAVAILABLE, "plan allows no more", Retry.NO),
    ("no upstream host", UNAVAILABLE, "the proxy before it", Retry.LATER),
    ("upstream failure", UNAVAILABLE, "the proxy before it", Retry.LATER),
    ("ERR Connection timed out", UNAVAILABLE, "the proxy before it", Retry.LATER),
    ("ERR Connection refused", UNAVAILABLE, "the proxy before it", Retry.LATER),
    ("ERR Host is down", UNAVAILABLE, "the proxy before it", Retry.LATER),
    ("Service Unavailable", UNAVAILABLE, "the proxy before it", Retry.LATER),
    ("service temporarily unavailable, try again", UNAVAILABLE, "the proxy before it", Retry.LATER),
    ("502 Bad Gateway", UNAVAILABLE, "the proxy before it", Retry.LATER),
    ("Gateway Timeout", UNAVAILABLE, "the proxy before it", Retry.LATER),
    ("Internal Server Error", UNAVAILABLE, "the proxy before it", Retry.LATER),
    ("EXECABORT Transaction discarded because of previous errors.", UNSUPPORTED, "does not know", Retry.NO),
    ("BUSYKEY Target key name already exists.", UNSUPPORTED, "does not know", Retry.NO),
    ("NOTBUSY No scripts in execution right now.", UNSUPPORTED, "does not know", Retry.NO),
    ("UNKILLABLE Sorry the script already executed write commands", UNSUPPORTED, "does not know", Retry.NO),
    ("IOERR error or timeout writing to target instance", UNSUPPORTED, "does not know", Retry.NO),
    ("ERR value is not an integer or out of range", UNSUPPORTED, "does not know", Retry.NO),
    ("ERR user_script:12: attempt to index a nil value", UNSUPPORTED, "does not know", Retry.NO),
    ("something else", UNSUPPORTED, "does not know", Retry.NO),
]


class Answering:
    """Stands before a server; answers what it is told to, in place of the server, to the commands of that name."""

    def __init__(self, server_url: str) -> None:
        self._server = ("127.0.0.1", int(server_url.rsplit(":", 1)[1].split("/", maxsplit=1)[0]))
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.name, self.answer, self.times, self.hangs_up = b"", b"", 0, False
        self.asked = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def say(self, text: str, times: int = 1000, *, to: bytes = b"EVAL", hangs_up: bool = False) -> None:
        self.name, self.answer, self.times, self.hangs_up = to, f"-{text}\r\n".encode(), times, hangs_up
        self.asked = 0

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server) as server, suppress(OSError):
            data = b""
            while more := client.recv(1 << 16):
                data += more
                while (end := resp_end(data)) is not None:
                    if not self._pass(data[:end], client, server):
                        return
                    data = data[end:]

    def _pass(self, command: bytes, client: socket.socket, server: socket.socket) -> bool:
        if self.times and command.split(b"\r\n")[2].startswith(self.name):
            self.asked += 1
            self.times -= 1
            client.sendall(self.answer)
            return not self.hangs_up
        server.sendall(command)
        reply = b""
        while resp_end(reply) is None:
            reply += server.recv(1 << 16)
        client.sendall(reply)
        return True

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(scope="module")
def answering(url: str) -> Iterator[Answering]:
    with closing(Answering(url)) as answering:
        yield answering
        answering.times = 0


@pytest.fixture(params=["async", "sync"])
def connect(request: pytest.FixtureRequest) -> Connect:
    def open_memory(url: str | None = None, **options: Any) -> chatmem.ChatMemory:
        if request.param == "async":
            return chatmem.connect(url, ttl=60, **options)
        return as_coroutines(chatmem.sync.connect(url, ttl=60, **options))

    return open_memory


@pytest.mark.parametrize(("text", "kind", "said", "then"), REPLIES, ids=[reply[0][:24] for reply in REPLIES])
def test_each_reply(text: str, kind: type[Exception], said: str, then: Retry) -> None:
    """An error reply is translated to the same error, whether redis-py or the multiplexer read it."""
    from redis._parsers.base import BaseParser

    from chatmem.transports.replies import error_of

    for error in (BaseParser.parse_error(text), error_of(text)):
        found = translate(error)
        found.__cause__ = error
        assert type(found) is kind
        assert said.replace("\\", "") in str(found)
        assert retry_of(found) is then
        assert "stored" not in str(found)


@given(st.text())
def test_any_reply(text: str) -> None:
    """Nothing ends as the bare root."""
    assert type(translate(redis.ResponseError(text))) is not chatmem.ChatMemError


@pytest.mark.parametrize(("text", "kind", "said"), [reply[:3] for reply in REPLIES if reply[3] is Retry.NO])
async def test_what_no_other_try_helps(
    answering: Answering, connect: Connect, prefix: str, text: str, kind: type[Exception], said: str
) -> None:
    """The caller gets the error at once."""
    memory = connect(answering.url, prefix=prefix)
    answering.say(text)
    with pytest.raises(kind, match=said) as caught:
        await memory.history("a").append("x")
    assert type(caught.value) is kind
    assert answering.asked == 1
    await memory.aclose()


@pytest.mark.parametrize("text", [reply[0] for reply in REPLIES if reply[3] is Retry.LATER])
async def test_what_passes(answering: Answering, connect: Connect, prefix: str, text: str) -> None:
    """Nothing was done, or it is recognised: the call is tried again, and served once."""
    memory = connect(answering.url, prefix=prefix)
    answering.say(text, 3)
    assert (await memory.history("a").append("x")).version == 1
    assert answering.asked == 3
    assert await memory.history("a").count() == 1
    await memory.aclose()


async def test_what_does_not_pass(answering: Answering, connect: Connect, prefix: str) -> None:
    """The caller gets the error after some seconds, and not after a long time."""
    memory = connect(answering.url, prefix=prefix)
    answering.say("BUSY Redis is busy running a script.")
    begun = time.monotonic()
    with pytest.raises(chatmem.UnavailableError, match="long script"):
        await memory.history("a").append("x")
    assert 5 < time.monotonic() - begun < 15
    await memory.aclose()


async def test_a_server_that_answers_and_hangs_up(answering: Answering, connect: Connect, prefix: str) -> None:
    """Of a call of several commands, the error that came before the connection ended is the one to tell."""
    answering.times = 0
    memory = connect(answering.url, prefix=prefix)
    history = memory.history("a", user="u")
    await history.append("x")
    answering.say("ERR invalid password", hangs_up=True)
    with pytest.raises(chatmem.UnavailableError, match="invalid password"):
        await history.append("y")
    answering.times = 0
    await memory.forget("u")
    await memory.aclose()


@contextmanager
def held(url: str, count: int) -> Iterator[None]:
    """Hold connections to a server."""
    port = int(url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
    sockets = []
    for _ in range(count):
        sockets.append(socket.create_connection(("127.0.0.1", port)))
        sockets[-1].sendall(b"PING\r\n")
        sockets[-1].recv(20)
    try:
        yield
    finally:
        for one in sockets:
            one.close()


async def test_as_many_connections_as_the_server_takes(connect: Connect) -> None:
    """Both facades say so; a call during which one ends is served."""
    with run_server(debian_binary(), "--maxclients", "4") as url:
        memory = connect(url)
        with held(url, 4), pytest.raises(chatmem.UnavailableError, match="maxclients"):
            await memory.history("a").append("x")
        wait_until(lambda: _has_room(url))
        stack = held(url, 4)
        stack.__enter__()
        threading.Timer(0.3, lambda: stack.__exit__(None, None, None)).start()
        assert (await memory.history("a").append("x")).version == 1
        await memory.aclose()


def _has_room(url: str) -> bool:
    with redis.Redis.from_url(url) as client, suppress(redis.ConnectionError):
        return bool(client.info("clients")["connected_clients"] == 1)
    return False


async def test_a_wait_that_is_ended(connect: Connect, prefix: str) -> None:
    """CLIENT UNBLOCK ends a WAIT with an error: it is done again, and what was written stays written once."""
    with run_server(debian_binary()) as url, redis.Redis.from_url(url) as admin:
        memory = connect(url, prefix=prefix, wait_replicas=1, wait_timeout=2.0)
        stop = threading.Event()

        def unblock() -> None:
            while not stop.wait(0.02):
                for client in admin.client_list():
                    if client["cmd"] == "wait":
                        admin.client_unblock(int(client["id"]), error=True)

        thread = threading.Thread(target=unblock)
        thread.start()
        with pytest.raises(chatmem.UnavailableError, match="not confirmed"):
            await asyncio.to_thread(_waits, memory)
        stop.set()
        thread.join()
        assert await memory.history("a").count() == 1
        await memory.aclose()


def _waits(memory: chatmem.ChatMemory) -> None:
    asyncio.run(memory.history("a").append("x"))
