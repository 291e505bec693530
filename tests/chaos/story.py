"""The life of a session that one worker alone writes to: every operation, each beside the model."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from langchain_core import messages as lc

import chatmem
from tests.chaos.journal import Journal, Left
from tests.chaos.model import CHANGING, Model, Op, Said

T = TypeVar("T")
LENGTH = 40
"""Operations on one session."""
MOST = 60
"""Messages, before a session is cut."""
AGAIN = 0.02
"""Seconds between two tries."""


class Tally:
    """Writes down what a worker met: errors, and what was not as it should be."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def error(self, error: Exception) -> None:
        self._journal.write(error=type(error).__name__)

    def wrong(self, what: str, kind: str = "wrong") -> None:
        """Report what was lost, doubled, or is wrong in another way."""
        self._journal.write(verdict=kind, what=what)


def told(messages: list[lc.BaseMessage]) -> tuple[Said, ...]:
    return tuple((message.id, str(message.content)) for message in messages)


async def until_done(tally: Tally, operation: Callable[[], Awaitable[T]]) -> T:
    """Do an operation that may be done twice until it is acknowledged."""
    while True:
        try:
            return await operation()
        except chatmem.UnavailableError as error:
            tally.error(error)
            await asyncio.sleep(AGAIN)


class Story:
    """One session, from its first message to its end."""

    def __init__(
        self,
        memory: chatmem.ChatMemory,
        name: str,
        user: str | None,
        rng: random.Random,
        journal: Journal,
        tally: Tally,
        *,
        exact: bool,
    ) -> None:
        """Open it.

        Args:
            memory: either memory, with coroutines.
            name: the session's id.
            user: whose it is.
            rng: draws what is done.
            journal: where it is written down.
            tally: what was not as it should be.
            exact: whether titles and lists of sessions are kept by whatever happens to the servers.
        """
        self.name, self.user, self._exact = name, user, exact
        self._memory = memory
        self._history = memory.history(name, user=user)
        self._rng = rng
        self._journal, self._tally = journal, tally
        self.model, self.version = Model(), 0
        self._seqs: dict[str, int] = {}

    def go_on(self, left: Left) -> None:
        """Take up where a killed process was."""
        self.model, self.version = left.model, left.version

    def draw(self) -> Op:
        """Return an operation that makes sense now."""
        ids = self.model.ids()
        if len(self.model.messages) > MOST and ids:
            return {"do": "truncate", "id": ids[len(ids) // 3]}
        kinds = ["append"] * 4 + ["messages", "page", "window", "search", "info", "update", "touch", "sessions"]
        if ids:
            kinds += ["get", "put", "put new", "replace", "delete", "truncate", "compact", "resend"]
        kind = self._rng.choice(kinds)
        chosen = self._rng.choice(ids) if ids else None
        match kind:
            case "append":
                op: Op = {"do": "append", "messages": [self._new() for _ in range(self._rng.randint(1, 4))]}
                if self._rng.random() < 0.3:
                    op["key"] = self._text()
                if self._rng.random() < 0.3:
                    op["expected"] = True
                return op
            case "resend":
                return {"do": "append", "messages": [said for said in self.model.messages if said[0] == chosen]}
            case "put new":
                return {"do": "put", "message": [self._text(), self._text()]}
            case "put" | "replace" | "compact":
                name = f"summary {self._text()}" if kind == "compact" else chosen
                return {"do": kind, "id": chosen, "message": [name, self._text()]}
            case "delete" | "truncate" | "get":
                return {"do": kind, "id": chosen}
            case "update":
                return {"do": "update", "title": self._text()}
        return {"do": kind}

    def _text(self) -> str:
        return f"{self._rng.getrandbits(48):x}"

    def _new(self) -> list[str | None]:
        return [self._text() if self._rng.random() < 0.6 else None, f"text {self._text()}"]

    async def do(self, op: Op) -> None:
        """Do an operation, and see to it that the model knows whether it was done."""
        self._journal.write(**{"try": op})
        again = False
        while True:
            try:
                version = await self._ask(op)
            except chatmem.UnavailableError as error:
                self._tally.error(error)
                if op["do"] in CHANGING and (not may_be_sent_again(op) or self._rng.random() < 0.5):
                    await self.find_out(op)
                    return
                again = True
                await asyncio.sleep(AGAIN)
            except chatmem.ConflictError as error:
                self._tally.error(error)
                if not again:  # nobody else writes to this session
                    self._tally.wrong(f"{self.name}: {op} is in conflict with nothing: {error}")
                await self.find_out(op)
                return
            except (chatmem.ChatMemError, ValueError) as error:
                self._tally.wrong(f"{self.name}: {op} is refused: {error!r}")
                await self.find_out(op)
                return
            else:
                self._acknowledge(op, version)
                return

    def _acknowledge(self, op: Op, version: int | None) -> None:
        before, self.model = self.model, self.model.after(op)
        if version is not None:
            if version < self.version or (version == self.version and before.messages != self.model.messages):
                self._tally.wrong(f"{self.name}: version {version} after {self.version}, by {op}")
            self.version = version
        self._journal.write(acknowledged=self.version)

    async def find_out(self, op: Op) -> None:
        """Find out whether an operation that failed was done, and that it is not done any more after that."""
        ways = [self.model, self.model.after(op)]
        barrier = {"do": "put", "message": ["barrier", self._text()]}
        made = await until_done(self._tally, partial(self._ask, barrier))
        self.version = max(self.version, made or 0)
        ways = [way.after(barrier) for way in ways]
        there = told(await until_done(self._tally, self._history.messages))
        fitting = [way for way in ways if way.messages == there]
        if not fitting:
            self._compare(ways[0], there, f"after {op}")
        self.model = fitting[-1] if fitting else Model(there, ways[1].keys, ways[0].title)
        found = {"messages": self.model.messages, "keys": sorted(self.model.keys), "title": self.model.title}
        self._journal.write(found=found, version=self.version)

    def _compare(self, expected: Model, there: tuple[Said, ...], when: str) -> None:
        missing, extra = Counter(expected.messages) - Counter(there), Counter(there) - Counter(expected.messages)
        where = f"{self.name} {when}"
        for said in missing:
            self._tally.wrong(f"{where}: {said} is missing", "lost")
        for said in extra:
            self._tally.wrong(f"{where}: {said} is there once more", "doubled")
        if not missing and not extra and expected.messages != there:
            self._tally.wrong(f"{where}: the order is {there}, not {expected.messages}")

    async def _ask(self, op: Op) -> int | None:
        """Do an operation once; return the version that it made, if it says one."""
        history = self._history
        match op:
            case {"do": "append", "messages": messages}:
                expected = self.version if op.get("expected") else None
                given = [message_of(said) for said in messages]
                done = await history.append(*given, idempotency_key=op.get("key"), expected_version=expected)
                return int(done.version)
            case {"do": "put", "message": said}:
                return int((await history.put(message_of(said))).version)
            case {"do": "replace", "id": name, "message": said}:
                return int((await history.replace(name, message_of(said))).version)
            case {"do": "delete", "id": name}:
                return int((await history.delete(name)).version)
            case {"do": "truncate", "id": name}:
                return int((await history.truncate(after=name)).version)
            case {"do": "compact", "id": name, "message": said}:
                return int((await history.compact(up_to=name, replacement=[message_of(said)])).version)
            case {"do": "update", "title": title}:
                await history.update(title=title)
            case {"do": "touch"}:
                await history.touch()
            case _:
                await self._read(op)
        return None

    async def _read(self, op: Op) -> None:
        """Read, and compare with the model."""
        history, expected = self._history, self.model.messages
        match op["do"]:
            case "messages":
                last = self._rng.randint(1, 10)
                self._see(op, told(await history.messages(last=last)), expected[-last:])
                self._see(op, told(await history.messages()), expected)
            case "page":
                page = await history.page(limit=20)
                entries = page.entries[::-1]
                self._see(op, told([one.message for one in entries if one.message is not None]), expected[-20:])
                self._check_positions(entries)
            case "window":
                window = told(await history.window(messages=8))
                if len(window) > 8 or not is_within(window, expected):
                    self._tally.wrong(f"{self.name}: the window {window} of {expected}")
            case "get":
                entry = await history.get(op["id"])
                found = () if entry is None or entry.message is None else told([entry.message])
                self._see(op, found, tuple(said for said in expected if said[0] == op["id"]))
            case "search":
                if expected:
                    _, text = self._rng.choice(expected)
                    matches = {match.text for match in await history.search(text)}
                    if text not in matches:
                        self._tally.wrong(f"{self.name}: a search for {text!r} found {matches}")
            case "info":
                info = await history.info()
                self._see(op, (info.count, info.version), (len(expected), self.version))
                if self._exact and info.title != self.model.title:
                    self._tally.wrong(f"{self.name}: its title is {info.title!r}, not {self.model.title!r}")
                if expected and info.user != self.user:
                    self._tally.wrong(f"{self.name}: is of {info.user!r}, not of {self.user!r}")
            case "sessions" if self._exact and self.user is not None and expected:
                sessions = (await self._memory.sessions(self.user, limit=1000)).sessions
                if self.name not in {one.session_id for one in sessions}:
                    self._tally.wrong(f"{self.name}: is not among the sessions of {self.user!r}")

    def _see(self, op: Op, found: object, expected: object) -> None:
        if found != expected:
            self._tally.wrong(f"{self.name}: {op['do']} gives {found}, not {expected}")

    def _check_positions(self, entries: list[Any]) -> None:
        """Positions grow, and a message's never changes."""
        seqs = [one.seq for one in entries]
        if seqs != sorted(set(seqs)):
            self._tally.wrong(f"{self.name}: the positions are {seqs}")
        for one in entries:
            if (
                one.id is not None
                and not one.id.startswith("summary")
                and self._seqs.setdefault(one.id, one.seq) != one.seq
            ):
                if one.id == "barrier":  # removed and put again
                    self._seqs[one.id] = one.seq
                else:
                    self._tally.wrong(f"{self.name}: {one.id} was at {self._seqs[one.id]} and is at {one.seq}")

    async def check(self) -> None:
        """Compare all that is there with the model."""
        self._compare(self.model, told(await until_done(self._tally, self._history.messages)), "at its end")


def may_be_sent_again(op: Op) -> bool:
    """Return whether an operation is done once, however often it is sent."""
    if op["do"] != "append":
        return True
    return bool(op.get("key")) or all(name is not None for name, _ in op["messages"])


def message_of(said: Any) -> lc.BaseMessage:
    name, text = said
    if name is not None and name.startswith("summary"):
        return lc.SystemMessage(text, id=name)
    return lc.HumanMessage(text, id=name)


def is_within(part: tuple[Said, ...], whole: tuple[Said, ...]) -> bool:
    """Return whether all of a part is in the whole, in its order."""
    rest = iter(whole)
    return all(said in rest for said in part)
