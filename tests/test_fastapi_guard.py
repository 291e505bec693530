"""What the chat application lets in, and how much of it: names, origins, sizes, times, answers at once."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from fastapi import FastAPI, HTTPException, Request

from tests.chat_app import ChatApp, is_healthy, running
from tests.servers import embedded, wait_until

guard: Any = importlib.import_module("examples.fastapi_chat.guard")
limits: Any = importlib.import_module("examples.fastapi_chat.limits")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with embedded() as url:
        yield url


@pytest.fixture(scope="module")
def app(url: str) -> Iterator[ChatApp]:
    with running(url) as app:
        yield app


@pytest.fixture
def http(app: ChatApp) -> Iterator[httpx.Client]:
    """The requests of somebody who has signed in."""
    with httpx.Client(base_url=app.address, timeout=60, trust_env=False) as http:
        http.post("/sign-in", json={"name": f"user {uuid.uuid4()}"}).raise_for_status()
        yield http


def new(http: httpx.Client, text: str = "A chat") -> str:
    """Begin a chat and return its id."""
    return str(http.post("/chats", json={"text": text}).raise_for_status().json()["session_id"])


def titles(http: httpx.Client) -> list[str]:
    return [chat["title"] for chat in http.get("/chats").raise_for_status().json()["sessions"]]


FOREIGN = [
    *(
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:localhost",
    ),
    *(
        "localhost.",
        "notlocalhost",
        "127.0.0.1@evil.example",
        "localhost:80:evil",
        "localhost evil",
        "[localhost]",
        "1",
        "",
    ),
    *("2130706433", "0x7f000001", "[::1].evil.example", "::1", "localhost:８０"),
]
OWN = ["localhost", "LocalHost:9", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000", "192.168.1.5:80", "0.0.0.0:1"]


class TestNames:
    @pytest.mark.parametrize("host", [one for one in FOREIGN if one.isascii()])
    def test_another_name(self, http: httpx.Client, host: str) -> None:
        """A name that somebody let point here reads nothing, not even the page."""
        new(http, "Secret plans")
        for path in ("/", "/me", "/chats", "/static/js/main.js", "/healthz", "/nothing"):
            answer = http.get(path, headers={"host": host})
            assert answer.status_code == 400
            assert "ecret" not in answer.text

    @pytest.mark.parametrize("host", OWN)
    def test_its_own(self, http: httpx.Client, host: str) -> None:
        """`localhost`, and addresses, which nobody can let point elsewhere."""
        assert http.get("/me", headers={"host": host}).status_code == 200

    @pytest.mark.parametrize(("host", "own"), [*((one, False) for one in FOREIGN), *((one, True) for one in OWN)])
    async def test_each(self, host: str, own: bool) -> None:
        assert await status(guard.Guard(answering, frozenset(["localhost"])), host=host) == (200 if own else 400)

    def test_without_one(self, app: ChatApp) -> None:
        """As HTTP 1.0 allows."""
        assert said(app.address, b"GET /chats HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 400 ")

    def test_two(self, app: ChatApp) -> None:
        request = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
        assert said(app.address, request).startswith(b"HTTP/1.1 400 ")

    async def test_more_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CHATMEM_DEMO_HOSTS", "Chat.example  other")
        guarded = guard.Guard(answering, guard.own_names())
        given = {
            host: await status(guarded, host=host) for host in ("chat.example:80", "OTHER", "localhost", "example")
        }
        assert given == {"chat.example:80": 200, "OTHER": 200, "localhost": 200, "example": 400}

    async def test_a_web_socket(self) -> None:
        """There are none."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await guard.Guard(answering, frozenset())({"type": "websocket"}, send, send)
        assert [one["type"] for one in sent] == ["websocket.close"]


class TestOrigins:
    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "http://evil.example"},
            {"origin": "http://127.0.0.1:1"},
            {"origin": "http://localhost"},
            {"origin": "null"},
            {"origin": ""},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ],
        ids=str,
    )
    def test_a_page_elsewhere_changes_nothing(self, http: httpx.Client, headers: dict[str, str]) -> None:
        """Not even one of another port on this machine, with which cookies are shared."""
        chat = new(http, "Mine")
        message = {"text": "x"}
        for method, path, body in (
            ("POST", "/sign-in", {"name": "another"}),
            ("POST", "/sign-out", None),
            ("POST", "/chats", {"text": "x"}),
            ("POST", f"/chats/{chat}/messages", message),
            ("POST", f"/chats/{chat}/regenerate", {"after": 0}),
            ("PATCH", f"/chats/{chat}", {"title": "x"}),
            ("PUT", f"/chats/{chat}/branch", {"branch": 0}),
            ("DELETE", f"/chats/{chat}", None),
        ):
            assert http.request(method, path, json=body, headers=headers).status_code == 403
        assert (titles(http), http.get("/me").status_code) == (["Mine"], 200)

    def test_what_it_reads_it_is_not_shown(self, http: httpx.Client) -> None:
        answer = http.get("/chats", headers={"origin": "http://evil.example"})
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"

    def test_its_own_page(self, app: ChatApp, http: httpx.Client) -> None:
        headers = {"origin": app.address, "sec-fetch-site": "same-origin"}
        assert http.post("/chats", json={"text": "x"}, headers=headers).status_code == 201

    @pytest.mark.parametrize("path", ["/", "/chats", "/static/js/main.js", "/nothing"])
    def test_headers(self, http: httpx.Client, path: str) -> None:
        """Scripts only from here, no frame around it, types as they are said."""
        headers = http.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"

    def test_no_page_with_scripts_from_elsewhere(self, http: httpx.Client) -> None:
        assert {http.get(path).status_code for path in ("/docs", "/redoc")} == {404}


MEGABYTE = 2**20


class TestSizes:
    @pytest.mark.parametrize("declared", [True, False], ids=["with a length", "in chunks"])
    @pytest.mark.parametrize("path", ["/sign-in", "/chats", "/chats/{}/messages", "/healthz"])
    def test_a_body_of_300_megabytes(self, app: ChatApp, http: httpx.Client, path: str, declared: bool) -> None:
        """It is refused, however it is sent, and takes no memory."""
        chat, before = new(http), resident(app)
        body = (b" " * MEGABYTE for _ in range(300))
        headers = {"content-type": "application/json"}
        if declared:
            headers["content-length"] = str(300 * MEGABYTE)
        try:
            answer = http.post(path.format(chat), content=body, headers=headers)
            assert answer.status_code in (405, 413)
        except httpx.TransportError:  # the connection ended before all was sent
            pass
        assert resident(app) - before < 30 * MEGABYTE
        assert is_healthy(app.address)

    def test_a_body_that_is_nested_deep(self, http: httpx.Client) -> None:
        """Whatever is wrong with a body is the client's fault."""
        headers = {"content-type": "application/json"}
        for body in (b"[" * MEGABYTE, b'{"name":' * 100_000, b"\xff", b"1" * MEGABYTE, b'"\\ud800"', b"NaN", b""):
            assert 400 <= http.post("/sign-in", content=body, headers=headers).status_code < 500

    @pytest.mark.parametrize(
        "request_",
        [b"GET /%b HTTP/1.1\r\n" % (b"x" * 4_000_000), b"GET / HTTP/1.1\r\nCookie: %b\r\n" % (b"x" * 4_000_000)],
    )
    def test_a_head_that_is_too_long(self, app: ChatApp, request_: bytes) -> None:
        before = resident(app)
        answer = said(app.address, request_ + b"Host: localhost\r\n\r\n")
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        assert resident(app) - before < 3 * MEGABYTE
        assert is_healthy(app.address)

    def test_many_cookies(self, http: httpx.Client) -> None:
        """Those of other applications on this machine, and more of the same name, change nothing."""
        cookies = "; ".join(f"c{number}=v" for number in range(1000))
        own = f"chatmem_demo={http.cookies['chatmem_demo']}"
        assert http.get("/me", headers={"cookie": f"{cookies}; {own}"}).status_code == 200
        assert http.get("/me", headers={"cookie": f"{own}; chatmem_demo=junk"}).status_code in (200, 401)


class TestLoad:
    def test_so_many_requests_at_once(self, app: ChatApp, http: httpx.Client) -> None:
        """The next is a 429; another user's is answered; when one ends there is room again."""
        chat = new(http)
        with ExitStack() as stack:
            for _ in range(limits.EACH):
                stack.enter_context(http.stream("GET", f"/chats/{chat}/changes")).raise_for_status()
            refused = http.get("/chats")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
            with httpx.Client(base_url=app.address, trust_env=False) as other:
                other.post("/sign-in", json={"name": str(uuid.uuid4())})
                assert other.get("/chats").status_code == 200
        wait_until(lambda: http.get("/chats").is_success)

    def test_what_fails_leaves_room(self, http: httpx.Client) -> None:
        for _ in range(2 * limits.EACH):
            assert http.get("/chats/nothing").status_code == 404
        assert http.get("/chats").status_code == 200

    def test_so_many_questions_a_minute(self, app: ChatApp, http: httpx.Client) -> None:
        """The next is a 429 and stores nothing; reading goes on."""
        for _ in range(limits.QUESTIONS):
            assert http.post("/chats/nothing/messages", json={"text": "x"}).status_code == 404
        refused = http.post("/chats", json={"text": "one more"})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
        assert titles(http) == []

    def test_so_many_in_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is kept of users who are gone."""
        load = limits.Load()
        with ExitStack() as stack:
            for number in range(limits.IN_ALL):
                stack.enter_context(load.request(f"user {number}"))
            with pytest.raises(HTTPException), load.request("one more"):
                pass
        assert not load._running
        load.question("a")
        monkeypatch.setattr(limits, "MINUTE", 0.0)
        load.question("b")
        assert list(load._asked) == ["b"]


class TestSlowClients:
    """Against a small application behind the same middleware."""

    @pytest.fixture
    def patient(self, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
        monkeypatch.setattr(limits, "READ_WITHIN", 0.2)
        monkeypatch.setattr(limits, "WRITE_WITHIN", 0.2)
        app = FastAPI()
        app.add_middleware(limits.Patience)

        @app.post("/")
        async def echo(body: list[int]) -> list[int]:
            return body

        @app.post("/raw")
        async def raw(request: Request) -> int:
            return len(await request.body())

        return app

    @pytest.mark.parametrize("path", ["/", "/raw"])
    async def test_a_body_that_does_not_come(self, patient: FastAPI, path: str) -> None:
        """408, whether the application reads it itself or not; one that does is answered."""

        async def body() -> AsyncIterator[bytes]:
            yield b"[1,"
            await anyio.sleep_forever()

        transport = httpx.ASGITransport(patient)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            headers = {"content-type": "application/json"}
            assert (await http.post(path, content=body(), headers=headers)).status_code == 408
            assert (await http.post(path, content=b"[1,2]", headers=headers)).json() in ([1, 2], 5)

    async def test_an_answer_that_nobody_takes(self, patient: FastAPI) -> None:
        """It ends as if the client had gone."""

        async def receive() -> Any:
            return {"type": "http.request", "body": b"[1]"}

        async def send(message: Any) -> None:
            await anyio.sleep_forever()

        scope = {"type": "http", "method": "POST", "path": "/raw", "headers": [], "query_string": b""}
        with pytest.raises(OSError):
            await patient(scope, receive, send)


class TestDemo:
    """As `chatmem demo` serves it."""

    @pytest.fixture
    def demo(self, url: str) -> Iterator[Callable[..., str]]:
        """Starts it; returns its address."""
        environment = {**os.environ, "CHATMEM_DEMO_SECRET": "of the tests"}
        pipe = subprocess.PIPE
        with ExitStack() as stack:

            def start(*options: str) -> str:
                command = [sys.executable, "-m", "chatmem.cli", "demo", "--port", "0", "--url", url, *options]
                process = stack.enter_context(subprocess.Popen(command, stdout=pipe, text=True, env=environment))
                stack.callback(process.kill)
                assert process.stdout is not None
                address = process.stdout.readline().split()[0]
                wait_until(lambda: is_healthy(address.replace("0.0.0.0", "127.0.0.1")), seconds=30)
                return address

            yield start

    def test_the_name_that_it_was_given(self, demo: Callable[..., str]) -> None:
        address = demo("--host", "localhost")
        port = urlsplit(address).port
        for host, status_code in (
            (f"localhost:{port}", 401),
            (f"127.0.0.1:{port}", 401),
            (f"evil.example:{port}", 400),
        ):
            assert httpx.get(f"{address}/me", headers={"host": host}, trust_env=False).status_code == status_code

    def test_open_connections(self, demo: Callable[..., str]) -> None:
        """Beyond so many each is refused, and when they are gone it answers again."""
        address = demo()
        where = (str(urlsplit(address).hostname), int(urlsplit(address).port or 0))
        with ExitStack() as stack:
            for _ in range(220):
                stack.enter_context(closing(socket.create_connection(where)))
            assert httpx.get(f"{address}/healthz", trust_env=False).status_code == 503
        wait_until(lambda: is_healthy(address))
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(lambda _: is_healthy(address), range(32)))


def resident(app: ChatApp) -> int:
    """Return how many bytes of memory the application's process has."""
    if sys.platform != "linux":
        pytest.skip("it reads /proc")
    pages = Path(f"/proc/{app.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def said(address: str, request: bytes) -> bytes:
    """Return what is answered to the bytes of a request, until the connection ends."""
    parts = urlsplit(address)
    with socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=20) as connection:
        found = b""
        try:
            connection.sendall(request)
            while more := connection.recv(65_536):
                found += more
                if b"\r\n\r\n" in found:
                    break
        except (BrokenPipeError, ConnectionResetError):
            pass
        return found


async def answering(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


async def status(app: Any, *, host: str) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": "GET", "headers": [(b"host", host.encode())]}, None, send)
    return int(sent[0]["status"])
