"""A soak: `python -m tests.soak --minutes 10 --seed 1`.

In turns, 1,000 coroutines on one memory, 64 threads on one synchronous memory, and 8 processes append to, edit and read
sessions of a real server. Memory, open files and the server's connections are printed each minute; the run fails where
they grow by more than `Margins` after the first round, or where a message that was acknowledged is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import redis
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from tests.servers import debian_binary, run_server

COROUTINES, THREADS, PROCESSES = 1000, 64, 8
SESSIONS = 200
KEPT = 30
"""messages a session, so that the server does not grow either"""


class Margins(NamedTuple):
    """By how much a run may grow after its first round."""

    megabytes: float = 24.0
    files: int = 8
    connections: int = 8


class Reading(NamedTuple):
    """What the process and the server hold at a moment at which nobody asks for anything."""

    megabytes: float
    files: int
    connections: int
    server_megabytes: float

    def __str__(self) -> str:
        return (
            f"{self.megabytes:7.1f} MB resident, {self.files:3d} files, {self.connections:3d} connections, "
            f"server {self.server_megabytes:6.1f} MB"
        )


def reading(admin: redis.Redis) -> Reading:
    """Return what is held now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    info: Any = admin.info()
    return Reading(
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - a descriptor less than iterdir's
        info["connected_clients"],
        info["used_memory"] / 2**20,
    )


class Load:
    """One memory in each facade, and what was done with them."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.rng = random.Random(seed)
        self.turns = 0
        self.memory = chatmem.connect(url, max_messages=KEPT, ttl=3600)
        self.blocking = chatmem.sync.connect(url, max_messages=KEPT, ttl=3600)

    async def coroutines(self, seconds: float, count: int = COROUTINES) -> None:
        """Let so many coroutines work for so long."""
        until = time.monotonic() + seconds
        await asyncio.gather(*(self._coroutine(until, random.Random(self.rng.random())) for _ in range(count)))

    async def _coroutine(self, until: float, rng: random.Random) -> None:
        while time.monotonic() < until:
            history = self.memory.history(f"soak-{rng.randrange(SESSIONS)}", user="soaker")
            name = f"{rng.getrandbits(64):x}"
            await history.append(_turn(rng, name), ("ai", "an answer"), idempotency_key=name)
            chosen = rng.randrange(4)
            if chosen == 0:
                await history.messages(last=10)
            elif chosen == 1:
                await history.window(tokens=500)
            elif chosen == 2:
                await history.put(lc.HumanMessage("edited", id=name))
            else:
                await history.delete(name)
            self.turns += 1

    def threads(self, seconds: float, count: int = THREADS) -> None:
        """Let so many threads work for so long."""
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(count) as pool:
            seeds = [self.rng.random() for _ in range(count)]
            self.turns += sum(pool.map(lambda seed: work(self.blocking, until, random.Random(seed)), seeds))

    def open_all(self, admin: redis.Redis) -> None:
        """Open as many connections as there ever are: all threads at once ask a server that pauses."""
        admin.client_pause(300)
        with ThreadPoolExecutor(THREADS) as pool:
            assert all(pool.map(lambda _: self.blocking.history("soak-none").count() == 0, range(THREADS)))

    def processes(self, seconds: float, count: int = PROCESSES) -> None:
        """Let so many processes work for so long."""
        context = multiprocessing.get_context("spawn")
        arguments = [(self.url, seconds, self.rng.random()) for _ in range(count)]
        with context.Pool(count) as pool:
            self.turns += sum(pool.starmap(work_alone, arguments))

    async def check(self) -> None:
        """Fail where a session does not hold the last messages that were acknowledged."""
        history = self.memory.history("soak-last")
        await history.append(*(str(number) for number in range(KEPT)))
        read = [str(message.content) for message in await history.messages()]
        assert read == [str(number) for number in range(KEPT)], read

    async def aclose(self) -> None:
        self.blocking.close()
        await self.memory.aclose()


def _turn(rng: random.Random, name: str) -> lc.HumanMessage:
    return lc.HumanMessage("x" * rng.choice((20, 200, 2000)), id=name)


def work(memory: chatmem.sync.ChatMemory, until: float, rng: random.Random) -> int:
    """Append, check that it is there, read and edit; return how many turns there were."""
    turns = 0
    mine = f"soak-{rng.getrandbits(20):x}"
    while time.monotonic() < until:
        own = memory.history(mine)
        name = f"{rng.getrandbits(64):x}"
        own.append(_turn(rng, name), idempotency_key=name)
        entry = own.get(name)
        assert entry is not None, f"message {name} was acknowledged and is gone"
        shared = memory.history(f"soak-{rng.randrange(SESSIONS)}", user="soaker")
        shared.append("shared")
        shared.messages(last=5)
        turns += 1
    memory.history(mine).clear()
    return turns


def work_alone(url: str, seconds: float, seed: float) -> int:
    """Do a process' share."""
    with chatmem.sync.connect(url, max_messages=KEPT, ttl=3600) as memory:
        return work(memory, time.monotonic() + seconds, random.Random(seed))


def too_much(first: Reading, last: Reading, margins: Margins) -> list[str]:
    """Return what grew by more than it may."""
    grown = {
        "megabytes": last.megabytes - first.megabytes,
        "files": last.files - first.files,
        "connections": last.connections - first.connections,
    }
    most = margins._asdict()
    return [f"{name} grew by {by:g}, over {most[name]:g}" for name, by in grown.items() if by > most[name]]


async def soak(url: str, seconds: float, seed: int, *, share: float, processes: int = PROCESSES) -> list[Reading]:
    """Work in rounds for so long; return the readings after each.

    Args:
        url: the server's.
        seconds: how long in all, the first round not counted.
        seed: of what is done.
        share: how long coroutines, threads and processes work in each round.
        processes: how many.
    """
    load, readings = Load(url, seed), list[Reading]()
    with closing(redis.Redis.from_url(url)) as admin:
        print(f"start    {reading(admin)}", flush=True)
        await asyncio.to_thread(load.open_all, admin)
        until = time.monotonic() + seconds
        while not readings or time.monotonic() < until:
            await load.coroutines(share)
            await asyncio.to_thread(load.threads, share)
            await asyncio.to_thread(load.processes, share, processes)
            await load.check()
            readings.append(reading(admin))
            if len(readings) == 1:
                until = time.monotonic() + seconds
            print(f"round {len(readings):2d} {readings[-1]}, {load.turns:,} turns", flush=True)
        await load.aclose()
        print(f"closed   {reading(admin)}", flush=True)
    return readings


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args()
    margins = Margins()
    print(f"{COROUTINES:,} coroutines, {THREADS} threads, {PROCESSES} processes in turns; may grow by {margins}")
    with run_server(debian_binary()) as url:
        readings = asyncio.run(soak(url, 60 * given.minutes, given.seed, share=min(20.0, 20 * given.minutes)))
    if wrong := too_much(readings[0], readings[-1], margins):
        sys.exit("; ".join(wrong))
    print("flat")


if __name__ == "__main__":
    main()
