"""Redis Sentinel: the master is found, and found again after a failover."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

import chatmem
import chatmem.sync
from tests.coroutines import AsCoroutines
from tests.servers import answers, debian_binary, free_port, run_server, wait_until

PASSWORD = "s3cret"


class Watched:
    """A master, a replica and three sentinels on loopback."""

    def __init__(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chatmem-")))
        self.ports = [free_port(), free_port()]
        auth = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
        self.master = stack.enter_context(ExitStack())
        self.master.enter_context(run_server(debian_binary(), *auth, port=self.ports[0]))
        replica = ["--replicaof", "127.0.0.1", str(self.ports[0])]
        stack.enter_context(run_server(debian_binary(), *auth, *replica, port=self.ports[1]))
        with self.client(1) as client:
            wait_until(lambda: client.execute_command("ROLE")[3] == b"connected")
        self.sentinels = [self._sentinel(stack, folder / f"{number}.conf") for number in range(3)]

    def client(self, index: int) -> redis.Redis:
        return redis.Redis(port=self.ports[index], password=PASSWORD, protocol=2)

    def _sentinel(self, stack: ExitStack, config: Path) -> int:
        port = free_port()
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {config.parent}",
            f"sentinel monitor chats 127.0.0.1 {self.ports[0]} 2",
            f"sentinel auth-pass chats {PASSWORD}",
            "sentinel down-after-milliseconds chats 500",
            "sentinel failover-timeout chats 3000",
        ]
        config.write_text("\n".join(lines))
        process = subprocess.Popen([debian_binary(), str(config), "--sentinel"], stdout=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.kill)
        wait_until(lambda: answers(f"redis://127.0.0.1:{port}"))
        return port

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/chats/0"


@pytest.fixture
def watched() -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(stack)


@pytest.mark.parametrize("facade", ["async", "sync"])
async def test_failover(watched: Watched, facade: str) -> None:
    """The master is killed; the next append goes to the new one, and nothing that was replicated is lost or doubled."""
    memory: Any = (
        chatmem.connect(watched.url, ttl=60)
        if facade == "async"
        else AsCoroutines(chatmem.sync.connect(watched.url, ttl=60))
    )
    history = memory.history("a")
    for number in range(5):
        await history.append(str(number), idempotency_key=f"k{number}")
    with watched.client(0) as master, watched.client(1) as replica:
        wait_until(lambda: master.execute_command("ROLE")[1] == replica.execute_command("ROLE")[4])
        sentinel = redis.Redis(port=watched.sentinels[0], protocol=2)
        wait_until(lambda: len(sentinel.execute_command("SENTINEL", "SENTINELS", "chats")) == 2)
        sentinel.close()
        watched.master.close()
        wait_until(lambda: replica.execute_command("ROLE")[0] == b"master", seconds=20)
    for number in range(4, 8):
        await history.append(str(number), idempotency_key=f"k{number}")
    assert [message.content for message in await history.messages()] == [str(number) for number in range(8)]
    await memory.aclose()


@pytest.mark.parametrize("connect", [chatmem.connect, chatmem.sync.connect])
@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis+sentinel://host:26379", "service's name"),
        ("redis+sentinel:///service/0", "names no sentinel"),
        ("redis+sentinel://host:x/service/0", "names no sentinel"),
        ("redis+sentinel://:s3cret@host/service/x", "database must be a number"),
    ],
)
def test_wrong_urls(connect: Any, url: str, text: str) -> None:
    """What is missing is named, and the password is not shown."""
    with pytest.raises(ValueError, match=text) as caught:
        connect(url)
    assert "s3cret" not in str(caught.value)


async def test_no_sentinel_answers() -> None:
    """It is UnavailableError in both facades."""
    url = f"redis+sentinel://127.0.0.1:{free_port()}/chats"
    with pytest.raises(chatmem.UnavailableError, match="could not be reached"):
        await chatmem.connect(url).ping()
    with pytest.raises(chatmem.UnavailableError, match="could not be reached"):
        chatmem.sync.connect(url).ping()
