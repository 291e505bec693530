"""What a new process pays before its first answer: `python -m benchmarks.startup SYSTEM URL CORPUS`, one JSON line."""

from __future__ import annotations

import asyncio
import importlib
import json
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


def main() -> None:
    """Import the system and open its client, do its first turn, print both times in seconds."""
    name, url, corpus = sys.argv[1:]
    row = BY_NAME[name]
    messages = next(Corpus(Path(corpus)).pairs())
    start = time.perf_counter()
    system: Any = importlib.import_module(f"benchmarks.systems.{row.module}").System()
    system.open(url)  # chatmem loads its modules when they are first used
    imported = time.perf_counter() - start
    new = system.prepare(messages)
    if row.asynchronous:
        first = asyncio.run(_first_turn(system, new))
    else:
        start = time.perf_counter()
        system.turn("startup", new)
        first = time.perf_counter() - start
    print(json.dumps({"import": imported, "first_turn": first}))


if __name__ == "__main__":
    main()
