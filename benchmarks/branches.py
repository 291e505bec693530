"""Reads of a session with 100,000 messages on 20 branches, beside those of 1,000 messages without branches.

    python -m benchmarks.branches

It starts a server, and prints the medians of calls that take turns, and their ratio.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from statistics import median

from langchain_core.messages import AIMessage, HumanMessage

import chatmem

FEW, MANY, BRANCHES = 1000, 100_000, 20
ROUNDS = 300
CALLS: dict[str, Callable[[chatmem.History], Awaitable[object]]] = {
    "window(tokens=4000)": lambda history: history.window(tokens=4000),
    "page(limit=50)": lambda history: history.page(limit=50),
    "messages(last=50)": lambda history: history.messages(last=50),
    "append of two": lambda history: history.append(HumanMessage("a question"), AIMessage("an answer")),
}


async def fill(history: chatmem.History, count: int, branches: int) -> None:
    """Append so many messages; after each part but the last, go back by ten messages and begin a branch."""
    part = count // branches
    for number in range(branches):
        for start in range(0, part, 1000):
            texts = [f"message {number}.{start + n} of a conversation" for n in range(min(1000, part - start))]
            await history.append(*(HumanMessage(text) for text in texts))
        if number + 1 < branches:
            entry = (await history.page(limit=10)).entries[-1]
            await history.branch(after=entry.seq)


async def main() -> None:
    """Fill two sessions, then measure."""
    with tempfile.TemporaryDirectory() as folder:
        async with chatmem.connect(f"embedded://{folder}") as memory:
            short, branched = memory.history("short"), memory.history("branched")
            await fill(short, FEW, 1)
            await fill(branched, MANY, BRANCHES)
            print(f"{len(await branched.branches())} branches, {await branched.count():,} messages on the active one")
            for name, call in CALLS.items():
                times: dict[chatmem.History, list[float]] = {short: [], branched: []}
                for _ in range(ROUNDS):
                    for history, taken in times.items():
                        began = time.perf_counter()
                        await call(history)
                        taken.append(time.perf_counter() - began)
                one, other = (median(taken) * 1e6 for taken in times.values())
                print(f"{name:20} {one:6.0f} us without, {other:6.0f} us with branches: {other / one:.2f}x")


if __name__ == "__main__":
    asyncio.run(main())
