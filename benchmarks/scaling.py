"""Cost against the length of a history and against the number of sessions: `python -m benchmarks.scaling`."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.environments import AbsentError
from benchmarks.process import Process
from benchmarks.rounds import Figures, alternate, summary
from benchmarks.setting import corpus_file, database, drawn, machine, server
from benchmarks.systems import BY_NAME, ROWS, Row

RESULTS = Path(__file__).parent / "results"
DEFAULT = "chatmem,redis-py,openai-agents,chatmem sync,langchain-community,memorystore"
STEPS = (10, 100, 1_000, 10_000, 100_000)
MOST_READ = 10_000
"""Longer histories are not measured on systems that read all of them each turn."""
LAST = 20
SHORT = 2
"""Messages in each of many sessions, taken after the system prompt, so that many fit into the memory."""


def requests(row: Row, steps: list[int], sessions: int) -> dict[str, dict[str, Any]]:
    """Return what is asked of a system, by `curve/step`."""
    asked: dict[str, dict[str, Any]] = {}
    for step in steps:
        if row.reads_tail or step <= MOST_READ:
            few = {"sessions": 1, "repeats": sessions} if step > 1_000 else {"sessions": sessions}
            asked[f"turn/{step}"] = {"action": "turn", "history": step, **few}
            asked[f"last20/{step}"] = {
                "action": "read",
                "last": LAST,
                "history": step,
                "sessions": 1,
                "passes": sessions,
            }
        short = {"history": SHORT, "skip": 1, "sessions": 10, "passes": max(sessions // 10, 1)}
        asked[f"sessions/{step}"] = {"action": "turn", "others": step, **short}
    return asked


def measure(processes: list[Process], steps: list[int], sessions: int, rounds: int) -> dict[str, Any]:
    """Return all curves' points."""
    asked = {process.row.name: requests(process.row, steps, sessions) for process in processes}
    shuffle = random.Random(0)
    points: dict[str, Any] = {}
    for name in asked[processes[0].row.name]:
        ask: dict[str, Callable[[], Figures]] = {
            process.row.name: partial(process.ask, "round", **asked[process.row.name][name])
            for process in processes
            if name in asked[process.row.name]
        }
        figures, absent = alternate(ask, rounds=rounds, shuffle=shuffle)
        points[name] = {"systems": summary(figures), "absent": absent}
        shown = {system: f"{found['p50']['median'] * 1e6:,.0f} us" for system, found in points[name]["systems"].items()}
        print(name, shown, *absent.values(), file=sys.stderr)
    return points


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", default=DEFAULT, help="names with commas between")
    parser.add_argument("--most", type=int, default=STEPS[-1], help="the longest history and the most sessions")
    parser.add_argument("--sessions", type=int, default=40, help="turns a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--url", help="a Redis server whose databases 1 to 15 are empty; by default one is started")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the results")
    asked = parser.parse_args()
    steps = [step for step in STEPS if step <= asked.most]
    result: dict[str, Any] = {"systems": {}, "absent": {}}
    with server(asked.url) as url, corpus_file() as corpus, ExitStack() as stack:
        result["machine"] = machine(url)
        processes: list[Process] = []
        for name in asked.systems.split(","):
            row = BY_NAME[name]
            try:
                processes.append(stack.enter_context(Process(row, database(url, 1 + ROWS.index(row)), corpus)))
            except AbsentError as error:
                result["absent"][name] = str(error)
        result["systems"] = {process.row.name: {"versions": process.versions} for process in processes}
        result["scenarios"] = measure(processes, steps, asked.sessions, asked.rounds)
    asked.output.mkdir(parents=True, exist_ok=True)
    file = asked.output / "scaling.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written: {', '.join(map(str, [file, *drawn('draw_scaling', result, asked.output)]))}")


if __name__ == "__main__":
    main()
