"""A proxy that fails by a seeded schedule: it knows where commands and replies begin and end, and fails in between."""

from __future__ import annotations

import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis

from tests.servers import debian_binary, run_server, wait_until

Address = tuple[str, int]

WEIGHTS = {
    "cut before": 4,
    "cut within": 4,
    "cut after": 6,
    "half a reply": 4,
    "refuse": 2,
    "delay": 4,
    "swallow": 2,
    "stall": 2,
    "fail over": 0,
}
"""What may happen to a command, and how often beside the others.

cut before: the connection is cut before the server gets the command; within: when it has got half of it; after: when
it has answered. half a reply: the client gets half the answer, then the connection is cut. refuse: as "cut before", and
the next connections are refused. delay: less than the client waits. swallow: the server does it, and the client hears
nothing. stall: the client hears nothing, and the server gets the command after the client has given up. fail over:
another server becomes the master; this one refuses the command as a replica does, and all connections are cut.
"""
FAILING_OVER = {**WEIGHTS, "fail over": 0.4}
_REFUSED = 3
_ASKING = re.compile(rb"\r\n(CLUSTER|COMMAND|CLIENT|HELLO|READONLY)\r\n")
_ASKING_SHARE = 0.1
"""How often a client fails that asks where things are, beside one that reads or writes: else it hardly gets to that."""
_TEXTS = (b"$", b"=", b"!")
_PARTS = {b"*": 1, b"~": 1, b">": 1, b"%": 2}
"""How many values follow for each that the first line counts."""
_RESET = struct.pack("ii", 1, 0)


class Schedule:
    """Draws a fault, or none, for each command, until so many were drawn; then nothing fails any more.

    Attributes:
        drawn: how often each fault was.
        rests: whether nothing fails for now.
    """

    def __init__(
        self, seed: object, count: int, *, share: float = 0.35, weights: dict[str, float] | None = None
    ) -> None:
        self._rng = random.Random(str(seed))
        self._count = count
        self._share = share
        self._weights: dict[str, float] = {**(weights or WEIGHTS)}
        self._lock = threading.Lock()
        self.drawn: Counter[str] = Counter()
        self.rests = False

    @property
    def is_over(self) -> bool:
        return self.drawn.total() >= self._count

    def draw(self, request: bytes) -> str | None:
        share = self._share * (_ASKING_SHARE if _ASKING.search(request[:60]) else 1)
        with self._lock:
            if self.rests or self.is_over or self._rng.random() >= share:
                return None
            (kind,) = self._rng.choices(list(self._weights), list(self._weights.values()))
            self.drawn[kind] += 1
            return kind


def resp_end(data: bytes, start: int = 0) -> int | None:
    """Return where the command or reply (RESP2 or 3) that begins at `start` ends, or None while it is not whole."""
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        return None
    kind, rest, end = data[start : start + 1], data[start + 1 : line_end], line_end + 2
    if kind in _TEXTS and rest != b"-1":
        end += int(rest) + 2
        return end if end <= len(data) else None
    for _ in range(int(rest) * _PARTS[kind] if kind in _PARTS else 0):
        inner = resp_end(data, end)
        if inner is None:
            return None
        end = inner
    return end


def http_end(data: bytes) -> int | None:
    """Return where the HTTP message with which the data begins ends, or None while it is not whole."""
    head, found, _ = data.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    end = len(head) + len(found) + (int(length[1]) if length else 0)
    return end if found and end <= len(data) else None


class _Frames:
    """A socket's messages, one by one."""

    def __init__(self, source: socket.socket, end: Callable[[bytes], int | None]) -> None:
        self._source = source
        self._end = end
        self._data = b""

    def is_whole(self) -> bool:
        return self._end(self._data) is not None

    def read(self) -> bytes:
        """Return the next message; nothing where the other side has hung up."""
        while (end := self._end(self._data)) is None:
            more = self._source.recv(1 << 16)
            if not more:
                return b""
            self._data += more
        message, self._data = self._data[:end], self._data[end:]
        return message


def _has_gone(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


@dataclass(eq=False)
class UnderWay:
    """A command that came to a proxy, or the last of several in a row: how it begins, its fault, what it waits for."""

    request: bytes = b""
    fault: str | None = None
    waits: str = ""


class FaultProxy:
    """Stands between clients and one server at a time; of pipelined commands, each gets its own fault.

    Attributes:
        port: where clients connect, on loopback.
    """

    def __init__(
        self,
        server: Callable[[], Address],
        schedule: Schedule,
        *,
        patience: float,
        end: Callable[[bytes], int | None] = resp_end,
        fail_over: Callable[[], None] | None = None,
    ) -> None:
        """Listen.

        Args:
            server: returns where a new connection leads.
            schedule: what happens to each command.
            patience: the seconds that clients wait for an answer.
            end: returns where a message ends.
            fail_over: makes another server the one where new connections lead.
        """
        self._server = server
        self._schedule = schedule
        self._patience = patience
        self._end = end
        self._fail_over = fail_over
        self._refusals = 0
        self._under_way: set[UnderWay] = set()
        self._lock, self._switching = threading.Lock(), threading.Lock()
        self._closed = threading.Event()
        self._clients: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def settle(self) -> None:
        """Wait until no command that has come here is on its way to the server any more."""
        with self._lock:
            begun = set(self._under_way)
        try:
            wait_until(lambda: not begun & self._under_way, seconds=30)
        except AssertionError:
            left = "; ".join(map(str, begun & self._under_way))
            raise AssertionError(f"commands did not settle in 30 s: {left}; faults: {self._schedule.drawn}") from None

    def close(self) -> None:
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut_all()

    def _cut_all(self) -> None:
        with self._lock:
            for client in self._clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusals > 0:
                self._refusals -= 1
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                client.close()
            else:
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._clients.add(client)
        try:
            with client, socket.create_connection(self._server()) as server:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._relay(client, server)
        except OSError:
            pass  # the client gave up, or the test is over
        finally:
            with self._lock:
                self._clients.discard(client)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        requests, replies = _Frames(client, self._end), _Frames(server, self._end)
        while request := requests.read():
            with self._counted() as command:
                if _has_gone(client):  # before this was read: `settle` did not count it, so it must not arrive now
                    return
                going_on = self._pass(request, client, server, replies, command)
                while going_on and requests.is_whole():
                    going_on = self._pass(requests.read(), client, server, replies, command)
            if not going_on:
                return

    @contextmanager
    def _counted(self) -> Iterator[UnderWay]:
        command = UnderWay()
        with self._lock:
            self._under_way.add(command)
        try:
            yield command
        finally:
            with self._lock:
                self._under_way.discard(command)

    def _pass(
        self, request: bytes, client: socket.socket, server: socket.socket, replies: _Frames, command: UnderWay
    ) -> bool:
        """Treat a command as the schedule says; return whether the connection goes on."""
        command.request, command.fault, command.waits = request[:80], None, "for its turn"
        command.fault = kind = self._schedule.draw(request)
        match kind:
            case "cut before":
                return False
            case "cut within":
                server.sendall(request[: len(request) // 2])
                return False
            case "refuse":
                self._refusals = _REFUSED
                return False
            case "delay":
                self._closed.wait(self._patience / 4)
            case "stall":
                self._closed.wait(self._patience * 1.5)
            case "fail over":
                self._switch()
        command.waits = "for the server"
        server.sendall(request)
        reply = replies.read()
        command.waits = "for the client"
        match kind:
            case "cut after" | "stall":
                return False
            case "swallow":
                while client.recv(1 << 16):  # until the client gives up
                    pass
                return False
            case "half a reply":
                client.sendall(reply[: len(reply) // 2])
                return False
        client.sendall(reply)
        if kind == "fail over":
            self._cut_all()
            return False
        return bool(reply)

    def _switch(self) -> None:
        assert self._fail_over is not None
        with self._switching:
            self._fail_over()


class Pair:
    """A master and its replica, which change places without losing a write."""

    def __init__(self, stack: ExitStack) -> None:
        urls = [stack.enter_context(run_server(debian_binary(), "--repl-diskless-sync-delay", "0")) for _ in range(2)]
        self._clients = [stack.enter_context(redis.Redis.from_url(url, decode_responses=True)) for url in urls]
        self._urls = urls
        self._master = 0
        self._clients[1].replicaof(*map(str, self.address()))
        self._wait_for_replica()

    @property
    def url(self) -> str:
        """Where the master is."""
        return self._urls[self._master]

    def address(self) -> Address:
        return "127.0.0.1", int(self.url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])

    def fail_over(self) -> None:
        """Let the replica become the master, and the master its replica."""
        old, new = self._master, 1 - self._master
        self._clients[old].execute_command("FAILOVER")
        wait_until(partial(self._is, new, "master"))
        wait_until(partial(self._is, old, "slave"))
        self._master = new
        self._wait_for_replica()

    def _is(self, index: int, role: str) -> bool:
        found: Any = self._clients[index].execute_command("ROLE")
        return str(found[0]) == role

    def _wait_for_replica(self) -> None:
        master: Any = self._clients[self._master]
        wait_until(lambda: "state=online" in str(master.info("replication").get("slave0", "")).replace("': '", "="))


@contextmanager
def failing(
    server: Callable[[], Address], schedule: Schedule, *, patience: float, **options: Any
) -> Iterator[FaultProxy]:
    with closing(FaultProxy(server, schedule, patience=patience, **options)) as proxy:
        yield proxy
