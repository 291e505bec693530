"""The chat application of `examples/fastapi_chat`, run by uvicorn in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def running(url: str, *, workers: int = 1) -> Iterator[ChatApp]:
    """Run the application, and kill it at the end."""
    app = ChatApp(url, workers=workers)
    app.start()
    try:
        yield app
    finally:
        app.kill()


def is_healthy(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", trust_env=False).is_success
    except httpx.TransportError:
        return False
