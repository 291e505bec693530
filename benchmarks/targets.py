"""What chatmem's speed must show, each figure beside its target, in one run: `python -m benchmarks.targets`."""

from __future__ import annotations

import argparse
import asyncio
import json
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
from benchmarks.report import Column, ratio, value
from benchmarks.run import RESULTS, Run
from benchmarks.scenarios import USUAL
from benchmarks.setting import corpus_file, machine, server
from benchmarks.systems import BY_NAME
from tests.samples import conversations

SYSTEMS = ("chatmem", "redis-py", "openai-agents", "chatmem sync", "langchain-community")
SIZE = replace(USUAL, sessions=300, histories=(50, 1000), at_once=(50,))
IDS = 40_000
TIMES = 400
"""How many appends to a session with so many ids, of which the longest counts."""
STARTS = 9


@dataclass(frozen=True)
class Target:
    """One row."""

    what: str
    target: float
    found: float | None
    more_is_better: bool = False

    def is_met(self) -> bool:
        """Return whether the figure is at least as good as the target."""
        if self.found is None:
            return False
        return self.found >= self.target if self.more_is_better else self.found <= self.target


def of_turns(result: dict[str, Any]) -> list[Target]:
    """Return what the usual scenarios say."""
    turns = Column("", "at_once/50", "per_second")
    frozen = Column("", "application/50", "frozen_per_second")

    def faster(column: Column, than: str) -> float | None:
        found = ratio(result, column, than, "chatmem")
        return 1 / found if found else None

    beside, alone = (
        value(result, Column("", scenario, "p99"), "chatmem") for scenario in ("appends_beside_reads", "appends_alone")
    )
    return [
        Target("turns a second, 50 at once, redis-py alone = 1", 1.2, faster(turns, "redis-py"), True),
        Target("the same in a chat server with gc.freeze()", 1.5, faster(frozen, "redis-py"), True),
        Target("the same, OpenAI's session = 1", 8, faster(turns, "openai-agents"), True),
        Target("the same, langchain-community = 1", 18, faster(turns, "langchain-community"), True),
        Target(
            "speed of a read of 1,000, OpenAI's session = 1",
            6,
            ratio(result, Column("", "read/1000"), "openai-agents", "chatmem"),
            True,
        ),
        Target(
            "CPU a turn, 50 threads, sync, async = 1",
            2,
            ratio(result, Column("", "at_once/50", "cpu"), "chatmem sync", "chatmem"),
        ),
        Target("p99 of small appends beside 5 MB reads, alone = 1", 4, beside / alone if beside and alone else None),
    ]


def of_stalls() -> Target:
    """Return how long one append keeps the server, where a session holds many ids and keys."""

    async def longest(url: str) -> float:
        clock = stalls.Clock(url)
        async with chatmem.connect(url, **stalls.OPTIONS, max_messages=IDS) as memory:
            history = memory.history("long")
            await stalls.fill(history, IDS)
            clock.start()
            for number in range(TIMES):
                new = stalls.messages(IDS + 2 * number, 2)
                await history.append(*new, idempotency_key=f"another {number}")
            return clock.longest()

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


def measure(rounds: int, systems: Sequence[str]) -> dict[str, Any]:
    """Measure everything; return all rows, and the scenarios behind them."""
    with ExitStack() as stack:
        url, corpus = stack.enter_context(server(None)), stack.enter_context(corpus_file())
        rows = [BY_NAME[name] for name in systems]
        size = replace(SIZE, rounds=rounds, long_rounds=max(rounds // 3, 1))
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
        found = "-" if one["found"] is None else f"{one['found']:.2f}"
        bound = "at least" if one["more_is_better"] else "at most"
        table.add_row(one["what"], found, f"{bound} {one['target']:g}", "yes" if one["met"] else "no")
    Console(width=120).print(table)
    for name, reason in result["absent"].items():
        print(f"absent: {name}: {reason}")


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="what chatmem is compared with")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the result")
    asked = parser.parse_args()
    result = measure(asked.rounds, asked.systems.split(","))
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "targets.json").write_text(json.dumps(result, indent=1) + "\n")
    show(result)


if __name__ == "__main__":
    main()
