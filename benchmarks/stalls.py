"""How long one command keeps a server from everybody else: `python -m benchmarks.stalls`.

A Redis server runs one command at a time. For each operation on sessions of growing length, this shows the longest time
that a single command took, by the server's own clock (SLOWLOG).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis
from langchain_core.messages import HumanMessage, SystemMessage

import chatmem
from benchmarks.setting import drawn, machine, server

RESULTS = Path(__file__).parent / "results"
STEPS = (1_000, 10_000, 100_000, 1_000_000)
SESSIONS = 100_000
CHUNK = 1_000
"""Messages in each append while a session is filled."""
OPTIONS: dict[str, Any] = {"prefix": "stalls", "ttl": 86_400}
LISTS: dict[str, dict[str, Any]] = {
    "archived=True": {"archived": True},
    "archived=None": {"archived": None},
    "archived=None, pinned=False": {"archived": None, "pinned": False},
    "archived=True, pinned=True, tag=": {"archived": True, "pinned": True, "tag": "work"},
}
"""What the lists of a user are asked for."""
Operation = Callable[[chatmem.History], Awaitable[object]]


class Clock:
    """The server's own record of how long commands took."""

    def __init__(self, url: str) -> None:
        self._client: Any = redis.Redis.from_url(url)
        self._client.config_set("slowlog-log-slower-than", 0)
        self._client.config_set("slowlog-max-len", 100_000)

    def start(self) -> None:
        """Forget the commands so far."""
        self._client.slowlog_reset()

    def longest(self) -> float:
        """Return the milliseconds of the longest command since `start`."""
        found = self._client.slowlog_get(100_000)
        return max((one["duration"] for one in found if not one["command"].startswith(b"SLOWLOG")), default=0) / 1000

    def flush(self) -> None:
        """Erase all data of the server."""
        self._client.flushall()


def messages(first: int, count: int) -> list[HumanMessage]:
    return [HumanMessage(f"message number {n} of a long conversation", id=f"m{n}") for n in range(first, first + count)]


async def fill(history: chatmem.History, count: int) -> None:
    """Append so many messages, with ids and idempotency keys."""
    for first in range(0, count, CHUNK):
        await history.append(*messages(first, CHUNK), idempotency_key=f"key {first}")


def operations(count: int) -> dict[str, Operation]:
    """Return what is done to a session of so many messages, in an order that leaves its length until the last ones."""
    middle, new = count // 2, messages(count, 20)
    return {
        "append one": lambda history: history.append(new[0], idempotency_key="one"),
        "append the same": lambda history: history.append(new[0], idempotency_key="one"),
        "append 10": lambda history: history.append(*new[1:11]),
        "put": lambda history: history.put(new[0]),
        "replace by id": lambda history: history.replace(f"m{middle}", HumanMessage("another")),
        "replace by position": lambda history: history.replace(middle + 1, HumanMessage("another")),
        "delete in the middle": lambda history: history.delete(middle + 2),
        "get by id": lambda history: history.get(f"m{middle + 9}"),
        "messages(last=50)": lambda history: history.messages(last=50),
        "window(tokens=4000)": lambda history: history.window(tokens=4000),
        "page in the middle": lambda history: history.page(before=middle),
        "fork(up_to=10)": lambda history: history.fork("fork of 10", up_to=10),
        "compact(100)": lambda history: history.compact(up_to=100, replacement=[SystemMessage("summary")]),
        "fork": lambda history: history.fork("fork"),
        "truncate half": lambda history: history.truncate(after=f"m{middle + 10}"),
        "clear": lambda history: history.clear(),
    }


async def measured(clock: Clock, operation: Callable[[], Awaitable[object]], times: int) -> float:
    """Return the longest command of several runs, in milliseconds."""
    clock.start()
    for _ in range(times):
        await operation()
    return clock.longest()


async def of_length(url: str, clock: Clock, count: int) -> dict[str, float]:
    """Measure all operations on a session of so many messages."""
    clock.flush()
    found: dict[str, float] = {}
    async with chatmem.connect(url, **OPTIONS) as memory:
        history = memory.history("long", user="somebody")
        await measured(clock, lambda: fill(history, count), 1)
        found["append 1,000, on the way there"] = clock.longest()
        for name, operation in operations(count).items():
            once = name in ("fork", "compact(100)", "truncate half", "clear", "delete in the middle", "fork(up_to=10)")
            found[name] = await measured(clock, lambda run=operation: run(history), 1 if once else 20)  # type: ignore[misc]
            print(f"{count:>9,} {name:32} {found[name]:9.2f} ms", file=sys.stderr)
    found |= await with_retention(url, clock, count)
    return found


async def with_retention(url: str, clock: Clock, count: int) -> dict[str, float]:
    """Measure appends that keep so many messages, and one that cuts a session to a tenth."""
    clock.flush()
    found: dict[str, float] = {}
    async with chatmem.connect(url, **OPTIONS, max_messages=count) as memory:
        history = memory.history("kept")
        await fill(history, count)

        async def appends() -> None:
            for number in range(200):
                new = messages(count + 2 * number, 2)
                await history.append(*new, idempotency_key=f"kept {number}")

        found["append with max_messages"] = await measured(clock, appends, 1)
    async with chatmem.connect(url, **OPTIONS, max_messages=max(count // 10, 1)) as memory:
        last = messages(10 * count, 1)
        found["append that trims to a tenth"] = await measured(clock, lambda: memory.history("kept").append(*last), 1)
    return found


async def mark_all(memory: chatmem.ChatMemory, count: int) -> None:
    """Archive all sessions of the user, pin half of them, and give each two tags."""
    for first in range(0, count, CHUNK):
        ids = range(first, min(first + CHUNK, count))
        every = (memory.history(f"s{n}", user="somebody") for n in ids)
        tags = ["work", "home"]
        await asyncio.gather(
            *(one.update(archived=True, pinned=n % 2 == 0, tags=tags) for n, one in zip(ids, every, strict=True))
        )


async def of_user(url: str, clock: Clock, count: int) -> dict[str, float]:
    """Measure the lists of a user with so many sessions."""
    clock.flush()
    found: dict[str, float] = {}
    async with chatmem.connect(url, **OPTIONS) as memory:
        for first in range(0, count, CHUNK):
            ids = range(first, min(first + CHUNK, count))
            await asyncio.gather(*(memory.history(f"s{n}", user="somebody").append("hello there") for n in ids))
        found["sessions"] = await measured(clock, lambda: memory.sessions("somebody"), 20)
        found["append, listed"] = await measured(
            clock, lambda: memory.history("s0", user="somebody").append("hello again"), 20
        )
        if count <= 10_000:
            found["search"] = await measured(clock, lambda: memory.search("somebody", "again"), 1)
        found["update(archived=True, tags=2), all of them"] = await measured(clock, lambda: mark_all(memory, count), 1)
        for name, which in LISTS.items():
            found[f"sessions({name})"] = await measured(clock, lambda it=which: memory.sessions("somebody", **it), 20)  # type: ignore[misc]
            found[f"count({name})"] = await measured(clock, lambda it=which: memory.count("somebody", **it), 20)  # type: ignore[misc]
        found["append, archived and tagged"] = await measured(
            clock, lambda: memory.history("s0", user="somebody").append("hello again"), 20
        )
        found["forget"] = await measured(clock, lambda: memory.forget("somebody"), 1)
    return found


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a server whose data may go; by default a new one")
    parser.add_argument("--most", type=int, default=STEPS[-1], help="messages in the longest session")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="sessions of the user with the longest list")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the result and the plot")
    given = parser.parse_args()
    with ExitStack() as stack:
        url = stack.enter_context(server(given.url))
        clock = Clock(url)
        steps = [step for step in STEPS if step <= given.most]
        lengths = {step: asyncio.run(of_length(url, clock, step)) for step in steps}
        users = {n: asyncio.run(of_user(url, clock, n)) for n in STEPS if n <= given.sessions}
        about = machine(url)
    result = {"machine": about, "milliseconds by messages": lengths, "milliseconds by sessions of a user": users}
    given.output.mkdir(parents=True, exist_ok=True)
    (given.output / "stalls.json").write_text(json.dumps(result, indent=1) + "\n")
    for title, table in (("messages", lengths), ("sessions of a user", users)):
        columns = list(table)
        print(f"{title:34}" + "".join(f"{column:>12,}" for column in columns))
        for name in dict.fromkeys(name for column in table.values() for name in column):
            print(f"{name:34}" + "".join(f"{table[column].get(name, float('nan')):12.2f}" for column in columns))
    drawn("draw_stalls", result, given.output)


if __name__ == "__main__":
    main()
