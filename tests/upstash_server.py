"""Upstash's REST API over a real server: what its own clients, of Python and of JavaScript, need to work."""

from __future__ import annotations

import json
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO
from urllib.parse import urlsplit

TOKEN = "AX-s3cret_t0ken=="


class ReplyError(Exception):
    """An error reply, with its code."""


class Status(str):
    """A simple string, such as OK."""

    __slots__ = ()


class Backend:
    """A connection to the real server, which speaks RESP2: no reply is converted in any way."""

    def __init__(self, server_url: str) -> None:
        parts = urlsplit(server_url)
        self._socket = socket.create_connection((str(parts.hostname), int(parts.port or 6379)))
        self._replies: BinaryIO = self._socket.makefile("rb")

    def run(self, command: list[str]) -> Any:
        """Run a command and return its reply; an error is returned, not raised."""
        parts = [f"*{len(command)}\r\n".encode()]
        for argument in command:
            data = argument.encode()
            parts += [b"$%d\r\n" % len(data), data, b"\r\n"]
        self._socket.sendall(b"".join(parts))
        return self._read()

    def _read(self) -> Any:
        line = self._replies.readline()
        kind, rest = line[:1], line[1:-2]
        match kind:
            case b"+":
                return Status(rest.decode())
            case b"-":
                return ReplyError(rest.decode())
            case b":":
                return int(rest)
            case b"$":
                return None if rest == b"-1" else self._replies.read(int(rest) + 2)[:-2]
            case b"*":
                return None if rest == b"-1" else [self._read() for _ in range(int(rest))]
        raise ConnectionError("the server is gone")

    def close(self) -> None:
        self._replies.close()
        self._socket.close()


class Refused(Exception):  # noqa: N818 - it is an answer
    """A whole request is answered with this status and error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class RestServer(ThreadingHTTPServer):
    """The REST API, on a loopback port.

    Attributes:
        url: where it is.
        requests: each request's path and the names of its commands, those that were refused included.
        headers: those of the last request.
        lose: how many of the next answers are lost after their commands ran.
        answers: bodies that the next requests get instead, without anything being run.
        delay: seconds that every answer takes.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, server_url: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.server_url = server_url
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[tuple[str, list[str]]] = []
        self.headers: Any = {}
        self.lose = 0
        self.answers: list[bytes] = []
        self.delay = 0.0
        self._sockets: list[Any] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._sockets.append(request)
        super().process_request(request, client_address)

    def close(self) -> None:
        """Stop, and cut all connections."""
        self.shutdown()
        self.server_close()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """One HTTP connection, and one to the real server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: RestServer

    def setup(self) -> None:
        super().setup()
        self._backend: Backend | None = None

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()
        if self._backend is not None:
            self._backend.close()

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client left, or the test cut the connection
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.headers = self.headers
        try:
            status, answer = 200, self._answer(body)
        except Refused as refused:
            status, answer = refused.status, {"error": str(refused)}
        time.sleep(self.server.delay)
        if self.server.lose:
            self.server.lose -= 1
            self.close_connection = True
            return
        data = self.server.answers.pop(0) if self.server.answers else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Upstash-Sync-Token", "1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answer(self, body: bytes) -> Any:
        commands = _commands(body, many=self.path != "/")
        self.server.requests.append((self.path, [command[0].upper() for command in commands]))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refused(401, "WRONGPASS invalid or missing auth token")
        if self.server.answers:
            return None
        if self._backend is None:
            self._backend = Backend(self.server.server_url)
        match self.path:
            case "/":
                reply = self._backend.run(commands[0])
                if isinstance(reply, ReplyError):
                    raise Refused(400, str(reply))
                return self._entry(reply)
            case "/pipeline":
                return [self._entry(self._backend.run(command)) for command in commands]
            case "/multi-exec":
                return [self._entry(reply) for reply in self._transaction(self._backend, commands)]
        raise Refused(404, "ERR no such path")

    @staticmethod
    def _transaction(backend: Backend, commands: list[list[str]]) -> Any:
        for command in [["MULTI"], *commands]:
            backend.run(command)
        replies = backend.run(["EXEC"])
        if isinstance(replies, ReplyError):
            raise Refused(400, str(replies))
        return replies

    def _entry(self, reply: Any) -> dict[str, Any]:
        if isinstance(reply, ReplyError):
            return {"error": str(reply)}
        return {"result": self._value(reply)}

    def _value(self, reply: Any) -> Any:
        """Return what JSON says for a reply; nothing but the status OK stays plain where base64 was asked for."""
        if isinstance(reply, list):
            return [{"error": str(one)} if isinstance(one, ReplyError) else self._value(one) for one in reply]
        if reply is None or isinstance(reply, int) or (isinstance(reply, Status) and reply == "OK"):
            return reply
        data = reply.encode() if isinstance(reply, Status) else reply
        if self.headers.get("Upstash-Encoding") == "base64":
            return b64encode(data).decode()
        return data.decode("utf-8", "replace")


def _commands(body: bytes, *, many: bool) -> list[list[str]]:
    try:
        parsed = json.loads(body, parse_int=str, parse_float=str)
    except ValueError:
        raise Refused(400, "ERR failed to parse the request's body") from None
    commands = parsed if many else [parsed]
    if not isinstance(commands, list) or not all(isinstance(one, list) and one for one in commands):
        raise Refused(400, "ERR a command is an array that is not empty")
    return [[_argument(value) for value in command] for command in commands]


def _argument(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        raise Refused(400, "ERR an argument is a string, a number or a boolean")
    return value


@contextmanager
def serving(server_url: str) -> Iterator[RestServer]:
    """Run the REST API over a redis:// server."""
    with closing(RestServer(server_url)) as server:
        yield server


@contextmanager
def upstash(server_url: str) -> Iterator[tuple[str, str]]:
    """Run the REST API over a redis:// server; yield its URL and token."""
    with serving(server_url) as server:
        yield server.url, TOKEN
