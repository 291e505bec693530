"""What readers of an answer cost its producer: `python -m benchmarks.readers`.

A producer writes an answer of 2,000 chunks in ten seconds, while none, 10, 100 or 1,000 readers follow it in other
processes. This shows the producer's CPU time, and how long after the write of a chunk its readers have it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from contextlib import closing
from typing import cast

import redis

import chatmem
from benchmarks.setting import machine, server

READERS = (0, 10, 100, 1000)
PROCESSES = 4
CHUNKS, SECONDS = 2000, 10.0


async def produce(url: str, answer: str) -> float:
    """Write an answer, each chunk the time at which it is written; return the seconds of CPU that took."""
    async with chatmem.connect(url, prefix="readers", ttl=600) as memory:
        await memory.ping()
        begun = time.process_time()
        async with memory.history("a").answer("Why?", id=answer) as draft:
            for _ in range(CHUNKS):
                await draft.write(f"{time.time():.6f} ")
                await asyncio.sleep(SECONDS / CHUNKS)
        return time.process_time() - begun


async def read(url: str, answer: str, readers: int) -> list[float]:
    """Follow an answer so many times; return the milliseconds after which each part's last chunk was there."""
    ages = list[float]()

    async def follow() -> None:
        async for part in memory.history("a").follow(answer):
            now = time.time()
            if part.status is None:
                ages.append(1000 * (now - float(part.messages[-1].text.split()[-1])))

    async with chatmem.connect(url, prefix="readers") as memory:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(follow() for _ in range(readers)))
    return ages


async def measure(url: str, readers: int) -> tuple[float, list[float]]:
    """Return the producer's seconds of CPU beside so many readers, and their delays."""
    answer, started = f"x{readers}", []
    for _ in range(min(readers, PROCESSES)):
        command = [sys.executable, "-m", "benchmarks.readers", url, answer, str(readers // PROCESSES)]
        pipe = asyncio.subprocess.PIPE
        started.append(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=2**26))
    for one in started:
        await cast("asyncio.StreamReader", one.stdout).readline()
    producing = asyncio.create_task(produce(url, answer))
    await asyncio.sleep(0.3)
    outputs = await asyncio.gather(*(one.communicate(b"go\n") for one in started))
    ages = [age for output, _ in outputs for age in json.loads(output)]
    return await producing, ages


def _delays(ages: list[float]) -> str:
    if not ages:
        return ""
    return f", parts after {statistics.median(ages):.1f} ms, 99% of them after {ages[len(ages) * 99 // 100]:.1f} ms"


def main() -> None:
    """Print a line for each number of readers; with arguments, be a process of readers."""
    if len(sys.argv) > 1:
        url, answer, count = sys.argv[1:]
        print(json.dumps(asyncio.run(read(url, answer, int(count)))))
        return
    with server(None) as url, closing(redis.Redis.from_url(url)) as admin:
        print(machine(url))
        for readers in READERS:
            cpu, ages = asyncio.run(measure(url, readers))
            print(f"{readers:5d} readers: {cpu:.2f} s of the producer's CPU{_delays(sorted(ages))}", flush=True)
            admin.flushall()


if __name__ == "__main__":
    main()
