"""Redis Sentinel on loopback: a master, a replica and those who watch them."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import redis

from tests.servers import answers, debian_binary, free_port, run_server, wait_until

PASSWORD = "s3cret"


def sentinel(stack: ExitStack, config: Path, master: int, password: str = "", *, patience: int = 500) -> int:
    """Start one that watches the master at a port, and return its own; see `Watched`."""
    port = free_port()
    lines = [
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {config.parent}",
        f"sentinel monitor chats 127.0.0.1 {master} 2",
        *([f"sentinel auth-pass chats {password}"] if password else []),
        f"sentinel down-after-milliseconds chats {patience}",
        "sentinel failover-timeout chats 3000",
    ]
    config.write_text("\n".join(lines))
    process = subprocess.Popen([debian_binary(), str(config), "--sentinel"], stdout=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)
    wait_until(lambda: answers(f"redis://127.0.0.1:{port}"))
    return port


class Watched:
    """A master, a replica and three sentinels on loopback."""

    def __init__(self, stack: ExitStack, *, patience: int = 500) -> None:
        """Start them.

        Args:
            stack: what ends them.
            patience: milliseconds of silence after which the master counts as down.
        """
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chatmem-")))
        self.ports = [free_port(), free_port()]
        auth = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
        self.master = stack.enter_context(ExitStack())
        self.master.enter_context(run_server(debian_binary(), *auth, port=self.ports[0]))
        replica = ["--replicaof", "127.0.0.1", str(self.ports[0])]
        stack.enter_context(run_server(debian_binary(), *auth, *replica, port=self.ports[1]))
        with self.client(1) as client:
            wait_until(lambda: client.execute_command("ROLE")[3] == b"connected")
        self.sentinels = [
            sentinel(stack, folder / f"{number}.conf", self.ports[0], PASSWORD, patience=patience)
            for number in range(3)
        ]

    def client(self, index: int) -> redis.Redis:
        return redis.Redis(port=self.ports[index], password=PASSWORD, protocol=2)

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/chats/0"
