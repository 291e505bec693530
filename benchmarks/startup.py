"""What a new process takes for its first answer: `python -m benchmarks.startup SYSTEM URL CORPUS`, one JSON line."""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.corpus import Corpus
from benchmarks.systems import BY_NAME


async def _first_turn(system: Any, new: list[Any]) -> float:
    start = time.perf_counter()
    await system.turn("startup", new)
    took = time.perf_counter() - start
    await system.close()
    return took


def resident() -> int:
    """Return the memory that this process holds now, in bytes; 0 if the system does not tell."""
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * resource.getpagesize() if pages.exists() else 0


def main() -> None:
    """Import the system, open its client, do its first turn; print both times in seconds, the memory held in bytes."""
    name, url, corpus = sys.argv[1:]
    row = BY_NAME[name]
    messages = next(Corpus(Path(corpus)).pairs())
    start = time.perf_counter()
    system: Any = importlib.import_module(f"benchmarks.systems.{row.module}").System()
    system.open(url)  # chatmem loads its modules when they are first used
    imported = time.perf_counter() - start
    held = resident()
    new = system.prepare(messages)  # for redis-py, chatmem makes them, which is no part of this
    held -= resident()
    if row.asynchronous:
        first = asyncio.run(_first_turn(system, new))
    else:
        start = time.perf_counter()
        system.turn("startup", new)
        first = time.perf_counter() - start
    print(json.dumps({"import": imported, "first_turn": first, "resident": held + resident()}))


if __name__ == "__main__":
    main()
