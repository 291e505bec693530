"""A process that works: in coroutines over the asynchronous memory, or in threads over the synchronous one."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import RedisClusterException

import chatmem
import chatmem.sync
from chatmem.codec import record
from tests.chaos import shared
from tests.chaos.evicted import ROUNDS, Evicted
from tests.chaos.journal import Journal, Left
from tests.chaos.sites import PATIENCE
from tests.chaos.story import AGAIN, LENGTH, Story, Tally, told, until_done
from tests.chaos.victim import Raw, Victim, raw_of
from tests.coroutines import as_coroutines

PREFIX = "chaos"
TTL = 3600
SHARED, VICTIM = 0.25, 0.01
"""How often a lane appends to a shared session, and plays with a victim; else it goes on with its story."""
A_VICTIM = 10
"""Operations."""


@dataclass(frozen=True)
class Task:
    """What a process is to do.

    Attributes:
        number: which of the processes it is.
        folder: where the journals are.
        how: what it opens its memory with.
        raw: opens a plain client that gets past the proxies.
        blocking: over the synchronous memory.
        lanes: how many coroutines or threads.
        operations: for each of them, those before a kill included.
        seed: of what is drawn.
        skew: seconds by which its clock is wrong.
        loses: whether a failover loses what no replica has confirmed.
        evicts: whether the server evicts keys of its own choice.
    """

    number: int
    folder: Path
    how: dict[str, Any]
    raw: Callable[[], Any]
    blocking: bool
    lanes: int
    operations: int
    seed: str
    skew: float
    loses: bool
    evicts: bool


class Settling:
    """Asks the main process to wait until nothing is on its way to the servers any more."""

    def __init__(self, main: Connection) -> None:
        self._main = main
        self._lock = threading.Lock()

    async def __call__(self) -> None:
        await asyncio.to_thread(self._wait)

    def _wait(self) -> None:
        with self._lock:
            self._main.send("settle")
            self._main.recv()


def journal_path(folder: Path, number: int, lane: int) -> Path:
    return folder / f"{number}.{lane}.jsonl"


def work(task: Task, main: Connection) -> None:
    """Do a process's share."""
    logging.getLogger("chatmem").setLevel(logging.ERROR)  # victims are mended
    record.now = lambda: time.time_ns() // 1000 + int(task.skew * 1_000_000)
    asyncio.run(_work(task, Settling(main)))


async def _work(task: Task, settle: Settling) -> None:
    memory, client = opened(task)
    plain = _once_it_answers(task.raw)
    reached = as_coroutines(memory) if task.blocking else memory
    lanes = [Lane(task, number, reached, raw_of(plain), settle) for number in range(task.lanes)]
    if task.blocking:
        await asyncio.gather(*(asyncio.to_thread(asyncio.run, lane.run()) for lane in lanes))
    else:
        await asyncio.gather(*(lane.run() for lane in lanes))
    await reached.aclose()
    plain.close()
    if isinstance(client, redis.RedisCluster):
        client.close()
    elif client is not None:
        await client.aclose()


def opened(task: Task) -> tuple[Any, Any]:
    """Return a memory, and the client that it was given, if any."""
    connect = chatmem.sync.connect if task.blocking else chatmem.connect
    options: dict[str, Any] = {"prefix": PREFIX, "ttl": TTL, "wait_replicas": task.how.get("wait_replicas", 0)}
    options["wait_timeout"] = PATIENCE / 2
    if "url" in task.how:
        return connect(task.how["url"], **options), None
    ports: dict[int, int] = task.how["ports"]
    kind: Any = redis.RedisCluster if task.blocking else redis.asyncio.RedisCluster
    times = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
    port = next(iter(ports.values()))
    remap = {"address_remap": lambda address: ("127.0.0.1", ports[address[1]])}
    client = _once_it_answers(lambda: kind(host="127.0.0.1", port=port, **remap, **times))
    return connect(client=client, **options), client


def _once_it_answers(open_client: Callable[[], Any]) -> Any:
    """Return a client; a blocking one of a cluster connects at once."""
    while True:
        try:
            return open_client()
        except (redis.RedisError, RedisClusterException):
            time.sleep(AGAIN)


class Lane:
    """One of those who work at once in a process: its story, its shared appends, its victims."""

    def __init__(self, task: Task, number: int, memory: chatmem.ChatMemory, raw: Raw, settle: Settling) -> None:
        path = journal_path(task.folder, task.number, number)
        self._left = Left(path)
        self._journal = Journal(path)
        self._tally = Tally(self._journal)
        self._task, self._name = task, f"{task.number}.{number}"
        self._memory, self._raw, self._settle = memory, raw, settle
        self._rng = random.Random(f"{task.seed} {self._name} {self._left.lines}")  # draws nothing twice
        self._number = self._left.story

    async def run(self) -> None:
        """Work until all operations are done."""
        await (self._lose() if self._task.evicts else self._work())
        self._journal.close()

    async def _lose(self) -> None:
        for _ in range(self._left.done, self._task.operations, ROUNDS):
            name = f"evicted {self._name} {self._rng.getrandbits(32):x}"
            await Evicted(self._memory, name, self._rng, self._tally).run(self._settle)
            self._journal.write(counted=ROUNDS)

    async def _work(self) -> None:
        story, steps = await self._go_on(), 0
        for _ in range(self._left.done, self._task.operations):
            kind = self._rng.random()
            if kind < VICTIM:
                name = f"victim {self._name} {self._rng.getrandbits(32):x}"
                victim = Victim(self._memory, PREFIX, name, self._raw, self._rng, self._tally, loses=self._task.loses)
                await victim.run(self._settle)
                self._journal.write(counted=A_VICTIM)
            elif kind < VICTIM + SHARED:
                await shared.append(self._memory, self._rng, self._journal, self._tally)
            else:
                await story.do(story.draw())
                steps += 1
            if steps == LENGTH:
                await self._end(story)
                story, steps = self._begin(), 0
        await story.check()

    def _open(self, number: int) -> Story:
        user = f"user {self._name}" if number % 2 else None
        name = f"own {self._name} {number}"
        rng, exact = self._rng, not self._task.loses
        return Story(self._memory, name, user, rng, self._journal, self._tally, exact=exact)

    def _begin(self) -> Story:
        self._number += 1
        self._journal.write(story=self._number)
        return self._open(self._number)

    async def _go_on(self) -> Story:
        """Begin, or go on where a killed process was."""
        if self._number < 0:
            return self._begin()
        left, story = self._left, self._open(self._number)
        story.go_on(left)
        if left.open is None:
            return story
        if left.open["do"] == "clear":
            await until_done(self._tally, self._memory.history(story.name).clear)
            return self._begin()
        await (story.do if left.open["do"] == "update" else story.find_out)(left.open)
        return story

    async def _end(self, story: Story) -> None:
        """Copy the session, then clear it, forget its user, or leave it."""
        await story.check()
        await self._fork(story)
        await self._settle()
        chosen = self._rng.choice(["clear", "forget", "leave"])
        if chosen == "leave" or (chosen == "forget" and story.user is None):
            return
        self._journal.write(**{"try": {"do": "clear"}})
        history = self._memory.history(story.name)
        user = story.user
        erase = history.clear if chosen == "clear" or user is None else lambda: self._memory.forget(user)
        await self._until_gone(story.name, erase)
        if story.user is not None and not self._task.loses:
            listed = {one.session_id for one in (await until_done(self._tally, self._listed(story.user))).sessions}
            if story.name in listed or (chosen == "forget" and listed):
                self._tally.wrong(f"{story.name}: after {chosen} {story.user!r} has {listed}")

    def _listed(self, user: str) -> Callable[[], Any]:
        return lambda: self._memory.sessions(user, limit=1000)

    async def _until_gone(self, name: str, erase: Callable[[], Any]) -> None:
        """Erase a session; where a failover may undo that, until it is gone."""
        while True:
            await until_done(self._tally, erase)
            await self._settle()
            left = [part for part in "mis" if await self._raw("exists", f"{PREFIX}:{{{name}}}:{part}")]
            if not left:
                return
            if not self._task.loses:
                self._tally.wrong(f"{name}: was erased, and {left} are left")
                return

    async def _fork(self, story: Story) -> None:
        name = f"fork {self._rng.getrandbits(32):x} of {story.name}"
        source = self._memory.history(story.name, user=story.user)
        try:
            fork = await until_done(self._tally, lambda: source.fork(name))
        except (chatmem.ChatMemError, ValueError) as error:
            self._tally.wrong(f"{name}: {error!r}")
            return
        there = told(await until_done(self._tally, fork.messages))
        if there != story.model.messages:
            self._tally.wrong(f"{name}: holds {there}, not {story.model.messages}")
        await self._settle()
        await self._until_gone(name, fork.clear)
