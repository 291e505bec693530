"""The servers of a run, and what happens to them."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import redis
from redis.sentinel import Sentinel

from chatmem.embedded.server import _server_binary
from tests.chaos.nodes import DURABLE, Server
from tests.clusters import Cluster, Node
from tests.faults import WEIGHTS, Address, FaultProxy, Schedule, failing
from tests.sentinels import sentinel
from tests.servers import debian_binary, wait_until

PATIENCE = 0.4
"""Seconds that workers' clients wait for an answer."""
SHARE = 0.01
"""Of the commands that the proxies cut, hold back or answer by half."""
FULL_FOR, PAUSED_FOR = 0.3, 0.7
HELD_FOR = 1.5
"""Seconds; half as long again a proxy holds back a command: longer than its caller tries."""
STUBBORN_FOR = 3.0
"""Seconds: longer than a caller tries; after that the same command, a read for example, is another."""

Disturbance = Callable[[], object]


@dataclass
class Site:
    """Servers, and how to get there.

    Attributes:
        how: what a worker opens its memory with; see `worker.opened`.
        raw: opens a plain client that gets past the proxies.
        url: where a memory gets past them too.
        proxies: what stands before the servers.
        disturbances: what may happen to them, by name.
        loses: whether a failover loses what was not confirmed by a replica.
        evicts: whether keys are evicted at any time.
    """

    how: dict[str, Any]
    raw: Callable[[], Any]
    url: str
    proxies: list[FaultProxy]
    disturbances: dict[str, Disturbance]
    loses: bool = False
    evicts: bool = False

    def settle(self) -> None:
        """Wait until nothing is on its way to the servers any more."""
        for proxy in self.proxies:
            proxy.settle()
        if not self.proxies:
            time.sleep(PATIENCE)  # what a client sent before it ended lies in the server's own queue


class Stubborn(Schedule):
    """Draws faults for as long as a run goes on. What it holds back once, it holds back when it is sent again.

    So its caller gives it up, and then all its copies arrive.
    """

    def __init__(self, seed: str) -> None:
        super().__init__(seed, 10**9, share=SHARE, weights={**WEIGHTS, "delay": 0})
        self._held: dict[bytes, float] = {}

    def draw(self, request: bytes) -> str | None:
        now = time.monotonic()
        if self._held.get(request, 0) > now:
            return "stall"
        kind = super().draw(request)
        if kind == "stall":
            self._held = {one: until for one, until in self._held.items() if until > now}
            self._held[request] = now + STUBBORN_FOR
        return kind


@contextmanager
def single(binary: Callable[[], str | Path], seed: str) -> Iterator[Site]:
    """One server, which keeps what it acknowledged when it is killed."""
    with ExitStack() as stack:
        server = Server(stack, binary())
        proxy = stack.enter_context(failing(lambda: server.address, Stubborn(seed), patience=HELD_FOR))

        def kill() -> None:
            server.kill()
            server.restart()

        yield Site(
            how={"url": f"redis://127.0.0.1:{proxy.port}/0?{_times()}"},
            raw=partial(redis.Redis, port=server.port, protocol=2),
            url=f"redis://127.0.0.1:{server.port}/0",
            proxies=[proxy],
            disturbances={"kill": kill, **_disturbing(lambda: server.client, server.signal)},
        )


@contextmanager
def evicting(seed: str) -> Iterator[Site]:
    """A server that is full now and then, and evicts what it likes."""
    with ExitStack() as stack:
        server = Server(stack, debian_binary())
        proxy = stack.enter_context(failing(lambda: server.address, Stubborn(seed), patience=HELD_FOR))
        yield Site(
            how={"url": f"redis://127.0.0.1:{proxy.port}/0?{_times()}"},
            raw=partial(redis.Redis, port=server.port, protocol=2),
            url=f"redis://127.0.0.1:{server.port}/0",
            proxies=[proxy],
            disturbances={"evict": partial(_evict, server)},
            evicts=True,
        )


def _evict(server: Server) -> None:
    """Have it evict a third of its keys: a little memory less each time, until it did."""
    client: Any = server.client
    client.config_set("maxmemory-policy", "allkeys-random")
    keys = client.dbsize()
    for more in range(60_000, -60_000, -200):  # commands themselves take some
        client.config_set("maxmemory", client.info("memory")["used_memory"] + more)
        client.config_set("maxmemory", 0)
        if client.dbsize() < 0.7 * keys:
            return


def _times() -> str:
    return f"socket_timeout={PATIENCE}&socket_connect_timeout={PATIENCE}"


def _disturbing(client: Callable[[], Any], send: Callable[[signal.Signals], None]) -> dict[str, Disturbance]:
    """Return what happens to a server that lives on."""

    def pause() -> None:
        send(signal.SIGSTOP)
        time.sleep(PAUSED_FOR)
        send(signal.SIGCONT)

    def fill() -> None:
        one = client()
        one.config_set("maxmemory", "1")
        time.sleep(FULL_FOR)
        one.config_set("maxmemory", "0")

    return {
        "pause": pause,
        "fill": fill,
        "flush scripts": lambda: client().script_flush(),
        "hold clients": lambda: client().client_pause(300),
        "cut clients": lambda: client().client_kill_filter(_type="normal", skipme=True),
    }


@contextmanager
def cluster(seed: str) -> Iterator[Site]:
    """Six nodes, each behind a proxy. Masters fail over, and come back as replicas."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chatmem-", ignore_cleanup_errors=True))
        running = Cluster(Path(folder), *DURABLE)
        stack.callback(running.close)
        rng, faults = random.Random(seed), Stubborn(seed)
        proxies = {
            node.port: stack.enter_context(failing(partial(_address, node.port), faults, patience=HELD_FOR))
            for node in running.nodes
        }

        def fail_over() -> None:
            replica = rng.choice([node for node in running.nodes if not node.is_master()])
            replica.run("CLUSTER", "FAILOVER")
            wait_until(replica.is_master, seconds=30)
            _wait_for(running)

        def kill(*, master: bool) -> None:
            node = rng.choice([node for node in running.nodes if node.is_master() is master])
            masters = len(running.masters())
            node.process.kill()
            node.process.wait()
            if master:
                wait_until(lambda: len(running.masters()) == masters, seconds=60)
            node.start()
            _wait_for(running)

        def some() -> Node:
            return rng.choice(running.masters())

        yield Site(
            how={"ports": {port: proxy.port for port, proxy in proxies.items()}, "wait_replicas": 1},
            raw=partial(redis.RedisCluster, host="127.0.0.1", port=running.nodes[0].port, protocol=2),
            url=running.url,
            proxies=list(proxies.values()),
            disturbances={
                "fail over": fail_over,
                "kill master": partial(kill, master=True),
                "kill replica": partial(kill, master=False),
                **_disturbing(lambda: some().client, lambda number: _pause(some(), number)),
            },
            loses=True,
        )


def _pause(node: Node, number: signal.Signals) -> None:
    """Stop a node for less than it takes to be failed over, and let it go on, whichever it was."""
    if number is signal.SIGSTOP:
        node.process.send_signal(signal.SIGSTOP)
        time.sleep(PAUSED_FOR)
        node.process.send_signal(signal.SIGCONT)


def _address(port: int) -> Address:
    return "127.0.0.1", port


def _wait_for(running: Cluster) -> None:
    """Wait until all nodes serve again, each master with a replica that has all it has."""
    wait_until(lambda: all(node.is_ready(6) for node in running.nodes), seconds=60)
    replicas = [node for node in running.nodes if not node.is_master()]
    wait_until(lambda: all(node.run("ROLE")[3] == "connected" for node in replicas), seconds=60)


@contextmanager
def watched(seed: str) -> Iterator[Site]:
    """A master and a replica that three sentinels watch; they change places, and the master is killed."""
    with ExitStack() as stack:
        pair = [Server(stack, debian_binary(), "--repl-diskless-sync-delay", "0") for _ in range(2)]
        pair[1].client.replicaof(*map(str, pair[0].address))
        _wait_for_replica(pair)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chatmem-")))
        ports = [sentinel(stack, folder / f"{number}.conf", pair[0].port) for number in range(3)]
        asking = [stack.enter_context(redis.Redis(port=port, protocol=2, decode_responses=True)) for port in ports]

        def master() -> Server:
            return next(one for one in pair if one.client.execute_command("ROLE")[0] == "master")

        def other_is_master(old: Server) -> bool:
            (new,) = [one for one in pair if one is not old]
            found: list[Any] = [one.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "chats") for one in asking]
            return {int(port) for _, port in found} == {new.port} and new.client.execute_command("ROLE")[0] == "master"

        def can_fail_over() -> bool:
            """Return whether each sentinel knows of the replica, and that it follows."""
            known: list[Any] = [one.sentinel_slaves("chats") for one in asking]
            return all(
                len(replicas) == 1 and replicas[0]["flags"] == "slave" and replicas[0]["master-link-status"] == "ok"
                for replicas in known
            )

        def accepts() -> bool:
            try:
                return bool(asking[0].execute_command("SENTINEL", "FAILOVER", "chats"))
            except redis.ResponseError:  # of the last one something is left to do
                return False

        def fail_over() -> None:
            old = master()
            wait_until(accepts, seconds=60)
            wait_until(partial(other_is_master, old), seconds=60)
            _wait_for_replica(pair)

        def kill() -> None:
            old = master()
            old.kill()
            wait_until(partial(other_is_master, old), seconds=60)
            old.restart()
            _wait_for_replica(pair)

        def settled(disturb: Disturbance) -> Disturbance:
            def done() -> None:
                _wait_for_replica(pair)
                wait_until(can_fail_over, seconds=60)
                disturb()

            return done

        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        some = _disturbing(lambda: master().client, lambda number: None)
        del some["pause"]  # it is a failover, or nothing
        yield Site(
            how={"url": f"redis+sentinel://{hosts}/chats/0?{_times()}", "wait_replicas": 1},
            raw=partial(_master, ports),
            url=f"redis+sentinel://{hosts}/chats/0",
            proxies=[],
            disturbances={"fail over": settled(fail_over), "kill": settled(kill), **some},
            loses=True,
        )


def _master(sentinels: list[int]) -> redis.Redis:
    """Return a client that follows the master."""
    watching: Any = Sentinel([("127.0.0.1", port) for port in sentinels])
    client: redis.Redis = watching.master_for("chats", protocol=2)
    return client


def _wait_for_replica(pair: list[Server]) -> None:
    """Wait until one is the master, and the other has all it has."""

    def is_there() -> bool:
        roles: list[Any] = [one.client.execute_command("ROLE") for one in pair]
        names = sorted(role[0] for role in roles)
        return names == ["master", "slave"] and all(role[3] == "connected" for role in roles if role[0] == "slave")

    wait_until(is_there, seconds=60)


ROWS: dict[str, Callable[[str], AbstractContextManager[Site]]] = {
    "Redis": partial(single, debian_binary),
    "Valkey": partial(single, _server_binary),
    "Cluster": cluster,
    "Sentinel": watched,
    "Evicting": evicting,
}
