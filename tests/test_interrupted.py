"""Calls that come in the middle of another call of the same thread, as signal handlers make them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import redis

import chatmem
import chatmem.sync
from tests.servers import AbsentError, redis_7, upstash_rest, valkey_cluster

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no timers that signal")

HANDLER = """
import random, signal, sys
import redis
import chatmem.sync

url, prefix, how = sys.argv[1:]
clients = {"url": {"url": url}, "pool": {"client": redis.Redis.from_url(url)} if how == "pool" else {}}
memory = chatmem.sync.connect(**clients[how], prefix=prefix, ttl=60)
memory.history("first").append("x")  # what is imported on first use must not be interrupted
memory.history("first").messages(last=2)
memory.history("first").clear()
handled = []  # a number may be counted up by two at once
outer = depth = 0

def arm():
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.002))

def handle(number, frame):
    global depth
    depth += 1
    if depth < 3:  # a handler may be interrupted too
        arm()
    memory.history("handler").append("x")
    memory.history("handler").messages(last=2)
    handled.append(number)
    depth -= 1
    arm()

signal.signal(signal.SIGALRM, handle)
arm()
while len(handled) < 300 or outer < 300:
    memory.history("loop").append("x")
    memory.history("loop").messages(last=2)
    outer += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert memory.history("handler").count() == len(handled), len(handled)
assert memory.history("loop").count() == outer, outer
memory.history("handler").clear()
memory.history("loop").clear()
memory.close()
print("done")
"""


@pytest.mark.parametrize(
    ("start", "how"), [(redis_7, "url"), (redis_7, "pool"), (valkey_cluster, "url"), (upstash_rest, "url")]
)
def test_a_signal_handler(start: Callable[[], Any], how: str, prefix: str) -> None:
    """It may call wherever the interrupted call is, even in its client's pool; each gets its own answers."""
    try:
        with start() as url:
            command = [sys.executable, "-W", "ignore", "-c", HANDLER, url, prefix, how]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except AbsentError as absent:
        pytest.skip(str(absent))
    assert done.stdout + done.stderr == "done\n"


class Interrupting(redis.Redis):
    """A client in whose calls another call comes."""

    inner: Callable[[], object] | None = None

    def execute_command(self, *args: Any, **options: Any) -> Any:
        call, self.inner = self.inner, None
        if call is not None:
            call()
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("how", ["single connection", "blocking pool"])
def test_a_client_that_does_not_bear_it(url: str, prefix: str, how: str) -> None:
    """A caller's client whose pool has a lock, or that has one connection: an error, and no waiting for oneself."""
    pool = redis.BlockingConnectionPool.from_url(url)
    options: Any = {"connection_pool": pool, "single_connection_client": how == "single connection"}
    with (
        closing(Interrupting(**options)) as client,
        chatmem.sync.connect(client=client, prefix=prefix, ttl=60) as memory,
    ):
        client.inner = lambda: memory.history("b").append("y")
        with pytest.raises(chatmem.UnsupportedError, match="in the middle of another"):
            memory.history("a").append("x")
        memory.history("a").append("x")
        assert (memory.history("a").count(), memory.history("b").count()) == (1, 0)
    pool.disconnect()
