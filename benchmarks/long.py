"""What long conversations cost: `python -m benchmarks.long`.

Windows and pages on a short session and on long ones, as ratios within one run; and a search through all of them.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage, messages_from_dict

import chatmem.sync
from benchmarks.corpus import Corpus
from benchmarks.setting import corpus_file, machine, server

RESULTS = Path(__file__).parent / "results"
LENGTHS = (1_000, 10_000, 100_000)
AT_ONCE = 5_000
QUERIES = {
    "a word that is not there": "zanzibar",
    "a common word": "flight",
    "three words": "cancel my reservation",
    "a phrase": '"gift card"',
}


def fill(history: chatmem.sync.History, messages: list[BaseMessage]) -> None:
    """Store the messages, with ids of their own in each session."""
    for start in range(0, len(messages), AT_ONCE):
        history.append(*messages[start : start + AT_ONCE])


def operations(history: chatmem.sync.History, length: int) -> dict[str, Callable[[], Any]]:
    """Return what is measured on one session."""
    middle = length // 2
    return {
        "window(tokens=4000)": lambda: history.window(tokens=4000),
        "window(messages=50)": lambda: history.window(messages=50),
        "page(limit=50)": lambda: history.page(limit=50),
        "page(before=the middle, limit=50)": lambda: history.page(before=middle, limit=50),
        "get(position in the middle)": lambda: history.get(middle),
    }


def alternate(calls: dict[str, Callable[[], Any]], rounds: int, repeats: int) -> dict[str, float]:
    """Return the median time of each call in microseconds; each round asks all of them, in another order."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    shuffle = random.Random(0)
    for number in range(rounds + 1):
        for name in shuffle.sample(list(calls), len(calls)):
            for _ in range(repeats):
                begin = time.perf_counter()
                calls[name]()
                if number:  # the first round is a warm-up
                    times[name].append((time.perf_counter() - begin) * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=LENGTHS[-1], help="messages in the longest session")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--url", help="an empty Redis server; by default one is started")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    lengths = [length for length in LENGTHS if length < options.most] + [options.most]
    with server(options.url) as url, corpus_file() as file, chatmem.sync.connect(url, ttl=86_400) as memory:
        messages = messages_from_dict(Corpus(file).history(lengths[-1]))
        histories = {length: memory.history(f"long-{length}") for length in lengths}
        for length, history in histories.items():
            fill(history, messages[:length])
        calls = {
            f"{name}/{length}": call
            for length, history in histories.items()
            for name, call in operations(history, length).items()
        }
        medians = alternate(calls, options.rounds, 10)
        searches = search(histories[lengths[-1]])
        result = {"machine": machine(url), "messages": lengths[-1], "microseconds": medians, "search_seconds": searches}
    show(medians, lengths, searches)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "long.json").write_text(json.dumps(result, indent=1) + "\n")


def search(history: chatmem.sync.History) -> dict[str, float]:
    """Return the median time of each query in seconds, and that of reading alone."""

    def read() -> None:
        for _ in history.entries():
            pass

    calls: dict[str, Callable[[], Any]] = {"reading alone": read}
    for name, query in QUERIES.items():
        calls[name] = lambda query=query: history.search(query)
    return {name: median / 1e6 for name, median in alternate(calls, 3, 1).items()}


def show(medians: dict[str, float], lengths: list[int], searches: dict[str, float]) -> None:
    """Print the table."""
    print(f"{'us, median':36}" + "".join(f"{length:>12,}" for length in lengths) + f"{'ratio':>8}")
    for name in dict.fromkeys(key.rpartition("/")[0] for key in medians):
        row = [medians[f"{name}/{length}"] for length in lengths]
        print(f"{name:36}" + "".join(f"{value:12,.0f}" for value in row) + f"{row[-1] / row[0]:8.2f}")
    for name, seconds in searches.items():
        print(f"search of {lengths[-1]:,} messages, {name}: {seconds:.2f} s")


if __name__ == "__main__":
    main()
