"""A real cluster on loopback: six Valkey nodes, three masters with a replica each."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from chatmem.embedded.server import _server_binary
from tests.servers import answers, free_port, wait_until

SLOTS = 16_384

needs_newer_client = pytest.mark.skipif(
    tuple(map(int, redis.__version__.split(".")[:2])) < (8, 1),
    reason="older cluster clients of redis-py fail in ways of their own while a cluster changes",
)


class Node:
    """One server of the cluster."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.port = free_port()
        folder.mkdir()
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": folder,
            "save": "",
            "cluster-enabled": "yes",
            "cluster-node-timeout": 1000,
            "cluster-port": free_port(),
            "cluster-allow-replica-migration": "no",
            "logfile": "log",
            "repl-diskless-sync-delay": 0,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self._bus = options["cluster-port"]
        self._command = [_server_binary(), *words, *more]
        self.client = redis.Redis(port=self.port, decode_responses=True, protocol=2)
        self.start()
        self.id = str(self.run("CLUSTER", "MYID"))

    def start(self) -> None:
        """Start it, for the first time or again, with what it had."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_until(lambda: answers(f"redis://127.0.0.1:{self.port}"))

    def run(self, *words: Any) -> Any:
        return self.client.execute_command(*words)

    def meet(self, other: Node) -> None:
        self.run("CLUSTER", "MEET", "127.0.0.1", other.port, other._bus)

    def is_ready(self, known: int) -> bool:
        info = str(self.run("CLUSTER", "INFO"))
        return "cluster_state:ok" in info and f"cluster_known_nodes:{known}\r" in info

    def knows(self, other: Node) -> bool:
        return other.id in str(self.run("CLUSTER", "NODES"))

    def is_master(self) -> bool:
        return str(self.run("ROLE")[0]) == "master"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.client.close()


class Cluster:
    """Six nodes, of which the first three are masters, or three masters without replicas."""

    def __init__(self, folder: Path, *options: str, replicas: bool = True) -> None:
        """Start them, with options beside those of a cluster."""
        self.nodes: list[Node] = []
        try:
            self._form(folder, 6 if replicas else 3, *options)
        except BaseException:
            self.close()
            raise

    def _form(self, folder: Path, count: int, *options: str) -> None:
        for number in range(count):
            self.nodes.append(Node(folder / str(number), *options))
        masters, replicas = self.nodes[:3], self.nodes[3:]
        borders = [SLOTS * part // 3 for part in range(4)]
        for index, master in enumerate(masters):
            master.run("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            master.run("CLUSTER", "ADDSLOTSRANGE", borders[index], borders[index + 1] - 1)
        for other in self.nodes[1:]:
            self.nodes[0].meet(other)
        wait_until(lambda: all(node.is_ready(count) for node in masters), seconds=30)
        for replica, master in zip(replicas, masters, strict=False):
            wait_until(partial(replica.knows, master))
            replica.run("CLUSTER", "REPLICATE", master.id)
        wait_until(lambda: all(node.is_ready(count) for node in self.nodes), seconds=30)
        wait_until(lambda: all(node.run("ROLE")[3] == "connected" for node in replicas), seconds=30)

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.nodes[0].port}"

    def masters(self) -> list[Node]:
        return [node for node in self.nodes if node.process.poll() is None and node.is_master()]

    def owner(self, slot: int) -> Node:
        """Return the master that serves a slot."""
        for first, last, (_, port, *_), *_ in self.masters()[0].run("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody serves slot {slot}")

    def move(self, slot: int, target: Node) -> None:
        """Move a slot and its keys to another master, as resharding does, key by key."""
        source = self.owner(slot)
        target.run("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.run("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        while keys := source.run("CLUSTER", "GETKEYSINSLOT", slot, 1):
            source.run("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 5000)
        for node in (target, source, *self.masters()):
            node.run("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def set_patience(self, milliseconds: int) -> None:
        """Let nodes be silent for longer before others take their place, which no test waits for then."""
        for node in self.nodes:
            node.run("CONFIG", "SET", "cluster-node-timeout", milliseconds)

    def slot_of(self, session_id: str) -> int:
        return int(key_slot(session_id.encode()))

    def close(self) -> None:
        for node in self.nodes:
            node.kill()


@contextmanager
def cluster(*, replicas: bool = True) -> Iterator[Cluster]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chatmem-", ignore_cleanup_errors=True))
        yield stack.enter_context(closing(Cluster(Path(folder), replicas=replicas)))
