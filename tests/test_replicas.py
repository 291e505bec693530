"""`wait_replicas`: an append returns when so many replicas have it, or says that they have not."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import redis
import redis.exceptions
from langchain_core.messages import HumanMessage

import chatmem
import chatmem.sync
from chatmem.transports import replicated
from tests.clusters import Cluster, Node, cluster
from tests.coroutines import Connect, as_coroutines
from tests.servers import debian_binary, free_port, run_server, wait_until
from tests.upstash_server import TOKEN, serving


class Pair:
    """A master and its replica, the second of which can be stopped for a while."""

    def __init__(self, stack: ExitStack) -> None:
        self.port, self.replica_port = free_port(), free_port()
        self.url = stack.enter_context(run_server(debian_binary(), "--repl-diskless-sync-delay", "0", port=self.port))
        options = ("--replicaof", "127.0.0.1", str(self.port))
        replica_url = stack.enter_context(run_server(debian_binary(), *options, port=self.replica_port))
        self.master = stack.enter_context(redis.Redis.from_url(self.url))
        self.replica_url = replica_url
        with redis.Redis.from_url(replica_url) as replica:
            info: Any = replica.info("server")
            self.pid = int(info["process_id"])
        wait_until(lambda: self.master.wait(1, 1000) == 1)

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        yield Pair(stack)


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture(params=["async", "sync"])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    opened: list[chatmem.ChatMemory] = []

    def open_memory(url: str | None = None, **options: Any) -> chatmem.ChatMemory:
        options = {"ttl": 600, "wait_replicas": 1, "wait_timeout": 0.3, **options}
        if request.param == "async":
            memory = chatmem.connect(url, **options)
        else:
            memory = as_coroutines(chatmem.sync.connect(url, **options))
        opened.append(memory)
        return memory

    yield open_memory
    for memory in opened:
        await memory.aclose()


async def patiently(history: chatmem.History, message: HumanMessage) -> Any:
    """Append until it is confirmed: replicas that went on have to catch up."""
    for _ in range(50):
        with suppress(chatmem.UnavailableError):
            return await history.append(message)
    raise AssertionError("no replica ever confirmed")


async def check(open_memory: Callable[[], Any], stop: Callable[[], None], go_on: Callable[[], None]) -> None:
    """A stopped replica confirms nothing, however often the append is done; when it goes on, it does."""
    history = open_memory().history("one")
    with_id, with_key = HumanMessage("b", id="b"), {"idempotency_key": "c"}
    await patiently(history, HumanMessage("a", id="a"))
    stop()
    try:
        for _ in range(3):
            for message, options in ((with_id, {}), ("c", with_key)):
                other = open_memory().history("one")  # a connection that wrote nothing yet
                with pytest.raises(chatmem.UnavailableError, match="0 of 1 replicas confirmed") as caught:
                    await other.append(message, **options)
                assert caught.value.session == "one"
        assert [message.content for message in await history.messages()] == ["a", "b", "c"]
    finally:
        go_on()
    done = await patiently(history, with_id)
    assert (done.version, done.duplicates) == (3, 1)
    await history.clear()


@pytest.mark.parametrize("ttl", [600, None])
async def test_one_server(pair: Pair, connect: Connect, ttl: int | None) -> None:
    """A master with one replica."""
    await check(lambda: connect(pair.url, ttl=ttl), pair.stop, pair.go_on)


async def test_a_master_that_has_become_a_replica(pair: Pair, connect: Connect) -> None:
    """It may take a write and then not the WAIT behind it, which is no answer that replicas have it."""
    with redis.Redis.from_url(pair.replica_url) as replica:
        replica.config_set("replica-read-only", "no")
        try:
            with pytest.raises(chatmem.UnavailableError, match="WAIT"):
                await connect(pair.replica_url).history("demoted").append("x")
        finally:
            replica.config_set("replica-read-only", "yes")


async def test_more_replicas_than_there_are(pair: Pair, connect: Connect) -> None:
    """Two are not reached where there is one."""
    history = connect(pair.url, wait_replicas=2, wait_timeout=1).history("two")
    with pytest.raises(chatmem.UnavailableError, match="1 of 2 replicas confirmed"):
        await history.append("a")
    await history.clear()


async def test_a_forgotten_script(pair: Pair, connect: Connect) -> None:
    """Where the script has to be sent again, what is confirmed is what that wrote."""
    memory = connect(pair.url, wait_timeout=4)
    await memory.history("script").append("a")
    pair.master.script_flush()
    assert (await memory.history("script").append("b")).version == 2
    await memory.history("script").clear()


def replica_of(running: Cluster, master: Node) -> Node:
    return next(node for node in running.nodes if not node.is_master() and node.run("ROLE")[2] == master.port)


@pytest.mark.parametrize("ttl", [600, None])
async def test_a_cluster(running: Cluster, connect: Connect, ttl: int | None) -> None:
    """The replica of the session's own node counts, and no other."""
    replica = replica_of(running, running.owner(running.slot_of("one")))
    await check(
        lambda: connect(running.url, ttl=ttl),
        lambda: os.kill(replica.process.pid, signal.SIGSTOP),
        lambda: os.kill(replica.process.pid, signal.SIGCONT),
    )


async def test_a_slot_that_moved(running: Cluster, connect: Connect) -> None:
    """After a slot moved it is the new node's replica that confirms."""
    history = connect(running.url).history("moved")
    await patiently(history, HumanMessage("a", id="a"))
    slot = running.slot_of("moved")
    target = next(node for node in running.masters() if node is not running.owner(slot))
    running.move(slot, target)
    replica = replica_of(running, target)
    os.kill(replica.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(chatmem.UnavailableError, match="0 of 1 replicas confirmed"):
            await history.append("b", idempotency_key="b")
    finally:
        os.kill(replica.process.pid, signal.SIGCONT)
    assert [message.content for message in await history.messages()] == ["a", "b"]
    await history.clear()


async def test_upstash(pair: Pair, connect: Connect) -> None:
    """REST cannot wait; nothing is stored."""
    with serving(pair.url) as rest:
        history = connect(rest.url, token=TOKEN).history("rest")
        with pytest.raises(chatmem.UnsupportedError, match="wait_replicas"):
            await history.append("a")
        assert await history.count() == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"wait_replicas": -1}, "wait_replicas must be a whole number"),
        ({"wait_replicas": True}, "wait_replicas must be a whole number"),
        ({"wait_replicas": 1, "wait_timeout": 0}, "wait_timeout must be seconds"),
    ],
)
def test_arguments(connect: Connect, options: dict[str, Any], said: str) -> None:
    """What makes no sense is a ValueError that names the argument."""
    with pytest.raises(ValueError, match=said):
        connect("redis://localhost", **options)


async def test_a_slot_that_moves_between_two_writes() -> None:
    """All commands are sent again to where the slot is now, not only if it was the first that was refused."""
    moved = redis.exceptions.MovedError("1234 127.0.0.1:7001")
    answers: list[list[Any]] = [[1, moved, 0], [moved, moved, 0], [1, 2, 1]]
    followed = 0

    async def on_node() -> list[Any]:
        return answers.pop(0)

    async def follow() -> None:
        nonlocal followed
        followed += 1

    assert await replicated.send_to_owner(on_node, follow) == [1, 2, 1]
    assert (followed, answers) == (2, [])
