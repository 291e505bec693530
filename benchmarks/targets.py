"""What chatmem's speed must show, each figure beside its target, in one run: `python -m benchmarks.targets`."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

import chatmem
from benchmarks import compression, stalls
from benchmarks.report import Column, value
from benchmarks.run import RESULTS, Run
from benchmarks.scenarios import SIZES, USUAL, Size
from benchmarks.setting import corpus_file, machine, server
from benchmarks.systems import BY_NAME
from tests.samples import conversations

SYSTEMS = ("chatmem", "redis-py", "openai-agents", "chatmem sync", "langchain-community")
SIZE = replace(USUAL, sessions=100, histories=(50, 1000), at_once=(50,), passes=20)
IDS = 40_000
TIMES, TRIES = 200, 5
"""How many appends to a session with so many ids, of which the longest counts, and how often: the best try counts."""
STARTS = 9


@dataclass(frozen=True)
class Target:
    """One row."""

    what: str
    target: float
    found: float
    """Not a number if a system was absent."""
    more_is_better: bool = False

    def is_met(self) -> bool:
        """Return whether the figure is at least as good as the target."""
        return self.found >= self.target if self.more_is_better else self.found <= self.target


def of_turns(result: dict[str, Any]) -> list[Target]:
    """Return what the usual scenarios say, by the best round of each system: other load only ever costs."""

    def best(scenario: str, metric: str, system: str) -> float:
        found = value(result, Column("", scenario, metric), system, "max" if metric.endswith("per_second") else "min")
        return math.nan if found is None else found

    def faster(scenario: str, metric: str, than: str) -> float:
        return best(scenario, metric, "chatmem") / best(scenario, metric, than)

    turns, read = ("at_once/50", "per_second"), ("read/1000", "p50")
    cpu = best("at_once/50", "cpu", "chatmem sync") / best("at_once/50", "cpu", "chatmem")
    beside = best("appends_beside_reads", "p99", "chatmem") / best("appends_alone", "p99", "chatmem")
    frozen = faster("application/50", "frozen_per_second", "redis-py")
    return [
        Target("turns a second, 50 at once, redis-py alone = 1", 1.2, faster(*turns, "redis-py"), True),
        Target("the same in a chat server with gc.freeze()", 1.5, frozen, True),
        Target("the same, OpenAI's session = 1", 8, faster(*turns, "openai-agents"), True),
        Target("the same, langchain-community = 1", 18, faster(*turns, "langchain-community"), True),
        Target("reads of 1,000 a second, OpenAI's session = 1", 6, 1 / faster(*read, "openai-agents"), True),
        Target("CPU a turn, 50 threads, sync, async = 1", 2, cpu),
        Target("p99 of small appends beside 5 MB reads, alone = 1", 4, beside),
    ]


def of_stalls() -> Target:
    """Return how long one append keeps the server, where a session holds many ids and keys."""

    async def longest(url: str) -> float:
        clock = stalls.Clock(url)
        async with chatmem.connect(url, **stalls.OPTIONS, max_messages=IDS) as memory:
            history = memory.history("long")
            await stalls.fill(history, IDS)
            tries = []
            for start in range(0, TRIES * TIMES, TIMES):
                clock.start()
                for number in range(start, start + TIMES):
                    new = stalls.messages(IDS + 2 * number, 2)
                    await history.append(*new, idempotency_key=f"another {number}")
                tries.append(clock.longest())
            return min(tries)

    with server(None) as url:
        return Target(f"longest time for one append, {IDS:,} ids, ms", 2, asyncio.run(longest(url)))


def of_bytes() -> Target:
    """Return what the dictionary that ships with chatmem saves, on conversations of another domain."""
    measured = list(conversations().values())
    used = compression.in_server(measured, {"none": None, "zstd": "zstd"})
    return Target('bytes in the server, compression="zstd", none = 1', 0.5, used["zstd"] / used["none"])


def of_starts() -> list[Target]:
    """Return what a new process takes; what else the machine does only ever adds, so the least of several counts."""
    programs = {
        "nothing": "pass",
        "chatmem": "import chatmem",
        "langchain": "import langchain_core.messages",
        "help": "import sys; from chatmem.cli import main; sys.argv = ['chatmem', '--help']; main()",
    }
    best = dict.fromkeys(programs, float("inf"))
    for _ in range(STARTS):
        for name, program in programs.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ours
            best[name] = min(best[name], time.perf_counter() - start)
    imports = (best["chatmem"] - best["nothing"]) / (best["langchain"] - best["nothing"])
    return [
        Target("import chatmem, import langchain_core.messages = 1", 1, imports),
        Target("chatmem --help, s", 0.25, best["help"]),
    ]


def measure(size: Size, systems: Sequence[str]) -> dict[str, Any]:
    """Measure everything; return all rows, and the scenarios behind them."""
    with ExitStack() as stack:
        url, corpus = stack.enter_context(server(None)), stack.enter_context(corpus_file())
        rows = [BY_NAME[name] for name in systems]
        result = Run(size, rows, url, None, corpus, ("at_once/50", "read/1000", "appends_")).measure()
        frozen = Run(size, [row for row in rows if row.name in SYSTEMS[:2]], url, None, corpus, ("application",))
        result["scenarios"]["application/50"] = frozen.measure()["scenarios"]["application/50"]
        result["machine"] = machine(url)
    targets = [*of_turns(result), of_stalls(), of_bytes(), *of_starts()]
    return {**result, "targets": [{**asdict(one), "met": one.is_met()} for one in targets]}


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(box=box.MARKDOWN)
    for head in ("", "now", "target", "met"):
        table.add_column(head, justify="left" if not head else "right")
    for one in result["targets"]:
        bound = "at least" if one["more_is_better"] else "at most"
        table.add_row(one["what"], f"{one['found']:.2f}", f"{bound} {one['target']:g}", "yes" if one["met"] else "no")
    Console(width=120).print(table)
    for name, reason in result["absent"].items():
        print(f"absent: {name}: {reason}")


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--smoke", action="store_true", help="one round of few turns, to see that it runs")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="what chatmem is compared with")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the result")
    asked = parser.parse_args()
    size = SIZES["smoke"] if asked.smoke else replace(SIZE, rounds=asked.rounds, long_rounds=asked.rounds)
    result = measure(size, asked.systems.split(","))
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "targets.json").write_text(json.dumps(result, indent=1) + "\n")
    show(result)


if __name__ == "__main__":
    main()
