"""Threads beside coroutines, by how many there are: `python -m benchmarks.threads`. See README.md."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.process import Process
from benchmarks.rounds import Figures, alternate
from benchmarks.setting import corpus_file, database, machine, server
from benchmarks.systems import BY_NAME

RESULTS = Path(__file__).parent / "results"
SYSTEMS = ("chatmem", "redis-py", "chatmem sync", "redis-py sync", "hiredis sync")
BASE = "chatmem"
"""What the ratios are to: coroutines, as many as the others have threads."""
AT_ONCE = (1, 2, 10, 50, 200)


def request(at_once: int, turns: int) -> dict[str, Any]:
    """Return what a system is asked for: that each of its threads takes many turns on a session of its own."""
    repeats = max(turns // at_once, 2)
    return {"action": "turn", "history": 50, "sessions": at_once, "at_once": at_once, "repeats": repeats}


def medians(figures: dict[str, list[Figures]]) -> dict[str, Figures]:
    """Return each system's medians, and of its CPU the ratio to the base's in the same round."""
    found = {
        name: {metric: statistics.median(one[metric] for one in rounds) for metric in rounds[0]}
        for name, rounds in figures.items()
    }
    for name, rounds in figures.items():
        pairs = zip(rounds, figures[BASE], strict=True)
        found[name]["cpu_ratio"] = statistics.median(own["cpu"] / base["cpu"] for own, base in pairs)
    return found


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at-once", type=lambda text: tuple(map(int, text.split(","))), default=AT_ONCE)
    parser.add_argument("--turns", type=int, default=2000, help="turns a round, all threads together")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--url", help="a Redis server whose databases 1 to 5 are empty; by default one is started")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the results")
    asked = parser.parse_args()
    shuffle, result = random.Random(0), dict[str, Any](at_once={})
    with server(asked.url) as url, corpus_file() as corpus, ExitStack() as stack:
        result["machine"] = machine(url)
        processes = {
            name: stack.enter_context(Process(BY_NAME[name], database(url, number), corpus))
            for number, name in enumerate(SYSTEMS, start=1)
        }
        for at_once in asked.at_once:
            ask: dict[str, Callable[[], Figures]] = {
                name: partial(process.ask, "round", **request(at_once, asked.turns))
                for name, process in processes.items()
            }
            figures, absent = alternate(ask, rounds=asked.rounds, shuffle=shuffle)
            if absent:
                sys.exit(f"not measured: {absent}")
            result["at_once"][at_once] = medians(figures)
            show(at_once, result["at_once"][at_once])
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "threads.json").write_text(json.dumps(result, indent=1) + "\n")


def show(at_once: int, systems: dict[str, Figures]) -> None:
    """Print a table."""
    print(f"\n{at_once:>4} at once  {'CPU a turn':>12} {'of ' + BASE:>10} {'turns/s':>9} {'p50':>9} {'p99':>9}")
    for name, one in systems.items():
        times = f"{one['p50'] * 1e3:6.2f} ms {one['p99'] * 1e3:6.2f} ms"
        print(f"{name:>14} {one['cpu'] * 1e6:9.0f} us {one['cpu_ratio']:10.2f} {one['per_second']:9,.0f} {times}")


if __name__ == "__main__":
    main()
