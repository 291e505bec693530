"""The chat application of `examples/fastapi_chat`, run by uvicorn in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.servers import free_port, wait_until

ROOT = Path(__file__).parent.parent
LONG = " ".join(f"word{number}" for number in range(60))
"""After this, the answer to `RECALL` takes some three seconds."""
RECALL = "What did I say?"


class ChatApp:
    """The application on a memory, at one address for all its life: one process, or a parent and its workers."""

    def __init__(self, url: str, *, workers: int = 1) -> None:
        self.url = url
        self._workers = workers
        self._port = free_port()
        self._closing = ExitStack()
        self.address = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, for the first time or after a kill."""
        command = [sys.executable, "-m", "uvicorn", "examples.fastapi_chat.app:app", "--port", str(self._port)]
        environment = {**os.environ, "CHATMEM_URL": self.url, "CHATMEM_DEMO_SECRET": "of the tests"}
        self._process = subprocess.Popen(
            [*command, "--workers", str(self._workers), "--log-level", "warning"],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: is_healthy(self.address), seconds=60)

    @property
    def pid(self) -> int:
        """Of its process, or of its workers' parent."""
        return self._process.pid

    def workers(self) -> list[int]:
        """Return the processes that its own process has begun."""
        found = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True)
        return [int(pid) for pid in found.stdout.split()]

    def kill_workers(self) -> None:
        """`kill -9` all workers at once; their parent begins others."""
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
        wait_until(lambda: is_healthy(self.address), seconds=60)

    def kill(self) -> None:
        """`kill -9`."""
        workers = self.workers() if self._workers > 1 else []
        self._process.kill()
        self._process.wait()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)

    def user(self, name: str = "") -> User:
        """Sign in, as somebody new by default."""
        user = User(self.address, name or f"user {uuid.uuid4()}")
        self._closing.callback(user.http.close)
        return user

    def close(self) -> None:
        """End the process, and the connections to it."""
        self._closing.close()
        self.kill()


@contextmanager
def running(url: str, *, workers: int = 1) -> Iterator[ChatApp]:
    """Run the application, and kill it at the end."""
    app = ChatApp(url, workers=workers)
    app.start()
    try:
        yield app
    finally:
        app.close()


def is_healthy(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", trust_env=False).is_success
    except httpx.TransportError:
        return False


class User:
    """A browser's requests, without the browser."""

    def __init__(self, address: str, name: str) -> None:
        self.http = httpx.Client(base_url=address, timeout=60, trust_env=False)
        self.http.post("/sign-in", json={"name": name}).raise_for_status()

    def begin(self, text: str, **more: Any) -> dict[str, Any]:
        """Begin a chat with a question; return what the server says of it and its answer."""
        return self._post("/chats", text=text, **more)

    def send(self, chat: str, text: str, **more: Any) -> dict[str, Any]:
        """Send a question, whose answer begins."""
        return self._post(f"/chats/{chat}/messages", text=text, **more)

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        answered: dict[str, Any] = self.http.post(path, json=body).raise_for_status().json()
        return answered

    @contextmanager
    def following(self, begun: dict[str, Any], after: str | None = None) -> Iterator[Iterator[Any]]:
        """Follow an answer, and yield its chunks as they come."""
        path = f"/chats/{begun['session_id']}/answers/{begun['answer']}"
        with self.http.stream("GET", path, params={"after": after} if after else {}) as response:
            if not response.is_success:
                response.read()
            response.raise_for_status()
            yield events_of(response)

    def answer(self, begun: dict[str, Any]) -> str:
        """Wait for the end of an answer that must be whole, and return its text."""
        with self.following(begun) as chunks:
            *_, last = chunks
        assert last["status"] == "complete"
        return "".join(message["content"] for message in last["messages"])

    def new(self, text: str = "Hi") -> str:
        """Begin a chat, wait for its first answer, and return its id."""
        begun = self.begin(text)
        self.answer(begun)
        return str(begun["session_id"])

    def ask(self, chat: str, text: str, **more: Any) -> str:
        """Send a question and return the whole answer."""
        return self.answer(self.send(chat, text, **more))

    def page(self, chat: str, **query: int) -> Any:
        return self.http.get(f"/chats/{chat}/messages", params=query).raise_for_status().json()

    def texts(self, chat: str) -> list[str]:
        """Return what a chat shows, oldest first."""
        return [entry["message"]["content"] for entry in reversed(self.page(chat)["entries"])]

    def titles(self) -> list[str]:
        return [chat["title"] for chat in self.http.get("/chats").raise_for_status().json()["sessions"]]


def events_of(response: httpx.Response) -> Iterator[Any]:
    """Yield the data of events, as JSON."""
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name == "data":
            yield json.loads(value)
