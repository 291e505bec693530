"""Run chatmem, redis-py alone and the peers side by side: `python -m benchmarks.run --quick`. See README.md."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import redis

from benchmarks import report
from benchmarks.environments import AbsentError
from benchmarks.process import Process, start_up
from benchmarks.rounds import Figures, alternate, summary
from benchmarks.scenarios import SIZES, Size, scenarios
from benchmarks.setting import corpus_file, database, drawn, machine, redis_stack, server
from benchmarks.systems import BY_NAME, ROWS, Row
from benchmarks.systems.base import cluster_and_url
from tests.clusters import cluster

RESULTS = Path(__file__).parent / "results"
IN_CLUSTERS = "chatmem,redis-py,valkey-glide,chatmem sync,redis-py sync"
STARTS = 15
"""The database of the processes whose start is timed; those of the systems are 1, 2, ..."""


class Run:
    """One run: what it was asked for, and what came out."""

    def __init__(
        self, size: Size, rows: list[Row], url: str, search_url: str | None, corpus: Path, only: tuple[str, ...] = ("",)
    ) -> None:
        self._size = size
        self._rows = rows
        self._url = url
        self._search_url = search_url
        self._corpus = corpus
        self._only = only
        self._shuffle = random.Random(0)
        self._processes: dict[str, Process] = {}
        self._result: dict[str, Any] = {"machine": machine(url), "systems": {}, "absent": {}, "scenarios": {}}

    def measure(self) -> dict[str, Any]:
        """Measure everything."""
        with ExitStack() as stack:
            self._stack = stack
            for row in self._rows:
                self._start(row)
            for scenario in scenarios(self._size):
                ask: dict[str, Callable[[], Figures]] = {
                    name: partial(process.ask, scenario.do, **scenario.request)
                    for name, process in self._processes.items()
                    if scenario.fits(process.row) and scenario.name.startswith(self._only)
                }
                rounds = {"memory": 1, "application": self._size.long_rounds}.get(scenario.do, self._size.rounds)
                self._alternate(scenario.name, ask, rounds, scenario.request)
            if "start".startswith(self._only):
                self._measure_starts()
        return self._result

    def _start(self, row: Row) -> None:
        try:
            process = self._stack.enter_context(Process(row, self._url_of(row), self._corpus))
        except AbsentError as error:
            self._result["absent"][row.name] = str(error)
        else:
            self._processes[row.name] = process
            self._result["systems"][row.name] = {"note": row.note, "versions": process.versions}

    def _url_of(self, row: Row) -> str:
        if cluster_and_url(self._url)[0]:
            return self._url
        if not row.needs_search:
            return database(self._url, 1 + ROWS.index(row))
        if self._search_url is None:
            self._search_url = self._stack.enter_context(redis_stack())
        return database(self._search_url, 0)  # RediSearch indexes no other

    def _measure_starts(self) -> None:
        ask: dict[str, Callable[[], Figures]] = {
            name: partial(self._start_up, BY_NAME[name]) for name in self._processes
        }
        self._alternate("start", ask, self._size.starts, {})

    def _start_up(self, row: Row) -> Figures:
        url = self._url_of(row) if row.needs_search else database(self._url, STARTS)
        try:
            return start_up(row, url, self._corpus)
        finally:
            with redis.Redis.from_url(url) as client:
                client.flushdb()

    def _alternate(
        self, name: str, ask: dict[str, Callable[[], Figures]], rounds: int, request: dict[str, Any]
    ) -> None:
        if not ask:
            return
        started = time.monotonic()
        figures, absent = alternate(ask, rounds=rounds, shuffle=self._shuffle)
        self._result["scenarios"][name] = {"request": request, "systems": summary(figures), "absent": absent}
        print(f"{name}: {time.monotonic() - started:.1f} s", file=sys.stderr)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    size = parser.add_mutually_exclusive_group()
    for name in ("smoke", "quick", "full"):
        size.add_argument(f"--{name}", action="store_const", const=name, dest="size")
    parser.add_argument("--systems", default="", help="names with commas between; all by default")
    parser.add_argument("--url", help="a Redis server whose databases 1 to 15 are empty; by default one is started")
    parser.add_argument("--search-url", help="Redis Stack, empty, for langchain-redis; by default one is started")
    parser.add_argument("--cluster", action="store_true", help=f"turns on a cluster of three masters: {IN_CLUSTERS}")
    parser.add_argument("--only", default="", metavar="A,B", help="only scenarios whose names begin so")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the results")
    parser.set_defaults(size="full")
    asked = parser.parse_args()
    if asked.cluster:
        asked.systems, asked.only = asked.systems or IN_CLUSTERS, asked.only or "turn/50,at_once/"
    names = asked.systems.split(",") if asked.systems else list(BY_NAME)
    if unknown := set(names) - set(BY_NAME):
        parser.error(f"no system {', '.join(sorted(unknown))}; there are {', '.join(BY_NAME)}")
    with ExitStack() as stack:
        if asked.cluster:
            url = stack.enter_context(cluster(replicas=False)).url
        else:
            url = stack.enter_context(server(asked.url))
        rows = [row for row in ROWS if row.name in names]
        only = tuple(asked.only.split(","))
        run = Run(SIZES[asked.size], rows, url, asked.search_url, stack.enter_context(corpus_file()), only)
        result = {"size": asked.size, **run.measure()}
    asked.output.mkdir(parents=True, exist_ok=True)
    name = asked.only.replace(",", "-").replace("/", "")
    file = asked.output / ("cluster.json" if asked.cluster else f"{asked.size}{'-' * bool(name)}{name}.json")
    file.write_text(json.dumps(result, indent=1) + "\n")
    report.show(result)
    plots = [] if asked.cluster else drawn("draw", result, asked.output)
    print(f"written: {', '.join(map(str, [file, *plots]))}")


if __name__ == "__main__":
    main()
