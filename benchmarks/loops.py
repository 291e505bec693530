"""How long one step of chatmem keeps an event loop from everybody else: `python -m benchmarks.loops`.

For operations on sessions of growing length, and on single messages of growing size, this shows the longest callback of
the loop in milliseconds of CPU, without the garbage collector's part.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import time
from asyncio import events
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

import chatmem
from benchmarks.setting import server

LENGTHS = (1_000, 10_000, 100_000)
MEGABYTES = (1, 5, 10, 50)
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "encrypted": {"encryption": chatmem.KeyRing({"k": bytes(range(32))})},
    "compressed": {"compression": "zstd"},
}
Operation = Callable[[chatmem.History], Awaitable[object]]


class Clock:
    """Times the callbacks of all event loops from now on."""

    def __init__(self) -> None:
        self._longest = self._collector = self._since = 0.0
        handle: Any = events.Handle  # nothing public sees single callbacks
        run = handle._run

        def timed(one: events.Handle) -> None:
            start, collector = time.thread_time(), self._collector
            run(one)
            self._longest = max(self._longest, time.thread_time() - start - self._collector + collector)

        handle._run = timed
        gc.callbacks.append(self._note_collection)

    def _note_collection(self, phase: str, _: dict[str, int]) -> None:
        now = time.thread_time()
        if phase == "start":
            self._since = now
        else:
            self._collector += now - self._since

    async def of(self, operation: Operation, history: chatmem.History) -> float:
        """Return the milliseconds of an operation's longest callback, without what freeing its result takes."""
        await asyncio.sleep(0)
        self._longest = 0.0
        task = asyncio.ensure_future(operation(history))
        await asyncio.wait([task])
        longest = self._longest
        task.result()
        return longest * 1000


def conversation(count: int) -> list[BaseMessage]:
    """Return so many messages with ids."""
    kinds = (HumanMessage, AIMessage)
    return [kinds[n % 2](f"message number {n} of a long conversation", id=f"m{n}") for n in range(count)]


def text(megabytes: int) -> str:
    """Return words that take so many bytes, one of 100 with a letter of two bytes."""
    drawn = random.Random(1)
    words = [f"word{drawn.randrange(5000)}" if drawn.random() < 0.99 else "größer" for _ in range(megabytes * 121_000)]
    return " ".join(words)


def on_length(count: int) -> dict[str, Operation]:
    """Return what is done to a session, in this order."""
    messages = conversation(count)
    return {
        "append of all": lambda history: history.append(*messages),
        "messages": lambda history: history.messages(),
        "window(tokens=640_000)": lambda history: history.window(tokens=640_000),
        "window of all": lambda history: history.window(messages=count),
        "page(limit=1000)": lambda history: history.page(limit=1000),
        "search": lambda history: history.search("number 7"),
        "fork": lambda history: history.fork(f"{history.session_id}-fork"),
        "truncate": lambda history: history.truncate(after=10),
        "clear": lambda history: history.clear(),
    }


def on_size(megabytes: int) -> dict[str, Operation]:
    """Return what is done with one message, in this order."""
    content = text(megabytes)
    return {
        "append": lambda history: history.append(HumanMessage(content, id="a")),
        "append again": lambda history: history.append(HumanMessage(content, id="a")),
        "put": lambda history: history.put(HumanMessage(content + ".", id="a")),
        "messages": lambda history: history.messages(),
        "window": lambda history: history.window(tokens=10**9),
        "search": lambda history: history.search("word7"),
        "fork": lambda history: history.fork(f"{history.session_id}-fork"),
    }


async def measured(
    url: str, clock: Clock, options: dict[str, Any], operations: dict[str, Operation]
) -> dict[str, float]:
    """Return the milliseconds of each operation's longest callback."""
    async with chatmem.connect(url, prefix="loops", ttl=3600, **options) as memory:
        for warming in (on_length(10), on_size(0), operations):
            history = memory.history("measured")
            found = {name: await clock.of(operation, history) for name, operation in warming.items()}
            await history.clear()
            await memory.history("measured-fork").clear()
    return found


def printed(title: str, table: dict[str, dict[str, float]]) -> None:
    """Print a table, given by columns."""
    print(f"\n{title:34}" + "".join(f"{column:>12}" for column in table))
    for name in next(iter(table.values())):
        print(f"{name:34}" + "".join(f"{column[name]:12.1f}" for column in table.values()))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a server; by default a new one")
    given = parser.parse_args()
    clock = Clock()
    with server(given.url) as url:
        for way, options in WAYS.items():
            lengths = {f"{n:,}": asyncio.run(measured(url, clock, options, on_length(n))) for n in LENGTHS}
            printed(f"{way}, ms by messages", lengths)
            sizes = {f"{n} MB": asyncio.run(measured(url, clock, options, on_size(n))) for n in MEGABYTES}
            printed(f"{way}, ms by size of one message", sizes)


if __name__ == "__main__":
    main()
