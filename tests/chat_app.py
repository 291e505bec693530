"""The chat application of `examples/fastapi_chat`, run by uvicorn in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
    """A process of the application on a memory, at one address for all its life."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._port = free_port()
        self._closing = ExitStack()
        self.address = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, for the first time or after a kill."""
        command = [sys.executable, "-m", "uvicorn", "examples.fastapi_chat.app:app", "--port", str(self._port)]
        environment = {**os.environ, "CHATMEM_URL": self._url, "CHATMEM_DEMO_SECRET": "of the tests"}
        self._process = subprocess.Popen(
            [*command, "--log-level", "warning"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: is_healthy(self.address), seconds=60)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.wait()

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
def running(url: str) -> Iterator[ChatApp]:
    """Run the application, and kill it at the end."""
    app = ChatApp(url)
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

    def new(self, text: str = "A chat") -> str:
        """Make a chat and return its id."""
        made = self.http.post("/chats", json={"text": text}).raise_for_status()
        return str(made.json()["session_id"])

    @contextmanager
    def asking(self, chat: str, text: str, **more: Any) -> Iterator[Iterator[tuple[str, Any]]]:
        """Send a message, and yield the events of its answer as they come."""
        body = {"id": str(uuid.uuid4()), "text": text, **more}
        with self.streaming(f"/chats/{chat}/messages", body) as events:
            yield events

    @contextmanager
    def streaming(self, path: str, body: dict[str, Any]) -> Iterator[Iterator[tuple[str, Any]]]:
        with self.http.stream("POST", path, json=body) as response:
            if not response.is_success:
                response.read()
            response.raise_for_status()
            yield events_of(response)

    def ask(self, chat: str, text: str, **more: Any) -> str:
        """Send a message and return the whole answer."""
        with self.asking(chat, text, **more) as events:
            return whole(events)

    def page(self, chat: str, **query: int) -> Any:
        return self.http.get(f"/chats/{chat}/messages", params=query).raise_for_status().json()

    def texts(self, chat: str) -> list[str]:
        return [message["text"] for message in self.page(chat)["messages"]]

    def titles(self) -> list[str]:
        return [chat["title"] for chat in self.http.get("/chats").raise_for_status().json()["chats"]]


def whole(events: Iterator[tuple[str, Any]]) -> str:
    """Return the text of events that must come to an end."""
    *texts, (last, _) = events
    assert last == "end"
    return "".join(data for _, data in texts)


def events_of(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    event = ""
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            event = value
        elif name == "data":
            yield event, json.loads(value)
