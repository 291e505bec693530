"""A server that can be killed, paused and started again with what it had."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import redis

from tests.servers import answers, free_port, wait_until

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
"""So that what was acknowledged is there after a `kill -9`."""


class Server:
    """One process on a port of its own."""

    def __init__(self, stack: ExitStack, binary: str | Path, *options: str) -> None:
        self.port = free_port()
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chatmem-", ignore_cleanup_errors=True))
        base = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--logfile", "log"]
        self._command = [str(binary), *base, *DURABLE, *options]
        self.client = stack.enter_context(redis.Redis(port=self.port, protocol=2, decode_responses=True))
        self._start()
        stack.callback(self.kill)

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(lambda: answers(f"redis://127.0.0.1:{self.port}"), seconds=60)

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Start it after a kill."""
        self._start()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
