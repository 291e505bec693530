"""A session that loses single keys on purpose. No answer may be wrong in silence: the whole, an error, or nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import redis
from langchain_core import messages as lc
from redis.exceptions import ClusterError, TryAgainError

import chatmem
from tests.chaos.story import AGAIN, Tally, told, until_done

PARTS = "mis"
_PASSING = (
    *(redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, redis.OutOfMemoryError),
    *(ClusterError, TryAgainError),
)
"""What a server may answer for a while."""
DAMAGES = ("delete", "expire", "another type", "of another life")
Raw = Callable[..., Awaitable[Any]]


class Victim:
    """One session, from its first message to its erasure."""

    def __init__(
        self,
        memory: chatmem.ChatMemory,
        prefix: str,
        name: str,
        raw: Raw,
        rng: random.Random,
        tally: Tally,
        *,
        loses: bool,
    ) -> None:
        self.name, self._loses = name, loses
        self._user = rng.choice([None, "victim"])
        self._history, self._anybody = memory.history(name, user=self._user), memory.history(name)
        self._keys = {part: f"{prefix}:{{{name}}}:{part}" for part in PARTS}
        self._raw, self._rng, self._tally = raw, rng, tally

    async def run(self, settle: Callable[[], Awaitable[None]]) -> None:
        """Fill it, damage it, read and write, erase it."""
        history, tally = self._history, self._tally
        kept = [lc.HumanMessage(self._text(), id=f"kept {number}") for number in range(3)]
        await until_done(tally, lambda: history.append(*kept, idempotency_key="kept"))
        await until_done(tally, lambda: history.append("without an id", idempotency_key="more"))
        await settle()
        whole = told(await until_done(tally, history.messages))
        how = self._rng.choice(DAMAGES)
        # Two of another life are that life, for all that anybody can tell.
        parts = self._rng.sample(PARTS, 1 if how == "of another life" else self._rng.randint(1, 3))
        for part in parts:
            await self._damage(part, how)
        there = set(PARTS) if how in ("another type", "of another life") else set(PARTS) - set(parts)
        where = f"{self.name} of {self._user} ({how}: {', '.join(parts)})"
        # Who keeps no users, and reads another list, is given what is in it: the state speaks of it, and is not asked.
        if how != "of another life" or "m" not in parts or self._user is not None:
            await self._read(where, whole, there)
        await self._write(where, whole, there)
        await self._erase(where, settle)

    def _text(self) -> str:
        return f"victim {self._rng.getrandbits(48):x}"

    async def _damage(self, part: str, how: str) -> None:
        key = self._keys[part]
        match how:
            case "delete":
                await self._raw("unlink", key)
            case "expire":
                await self._raw("pexpire", key, 1)
                await asyncio.sleep(AGAIN)
            case "another type":
                await self._raw("set", key, "x", px=600_000)
            case "of another life":
                other = self._keys[part].replace(self.name, "another life")
                value = await self._raw("dump", other)
                if value is not None:
                    await self._raw("restore", key, 600_000, value, replace=True)

    async def _ask(self, where: str, operation: Callable[[], Awaitable[Any]]) -> Any:
        """Return what it answers; None where it says that something is wrong with the session."""
        try:
            return await until_done(self._tally, operation)
        except (chatmem.TornSessionError, chatmem.NotFoundError, chatmem.CorruptRecordError) as error:
            self._tally.error(error)
        except (chatmem.ChatMemError, ValueError) as error:
            self._tally.wrong(f"{where}: {error!r}")
        return None

    async def _read(self, where: str, whole: Any, there: set[str]) -> None:
        history = self._history
        absent = not there
        found = await self._ask(where, history.messages)
        if found is not None and told(found) != whole and not (absent and not found):
            self._tally.wrong(f"{where}: it reads {told(found)}")
        page = await self._ask(where, history.page)
        if (
            page is not None
            and told([one.message for one in page.entries[::-1]]) != whole
            and not (absent and not page.entries)
        ):
            self._tally.wrong(f"{where}: its page is {page}")
        count = await self._ask(where, history.count)
        if count is not None and count != len(whole) and not (absent and count == 0):
            self._tally.wrong(f"{where}: it counts {count}")
        entry = await self._ask(where, lambda: history.get("kept 1"))
        if entry is not None and told([entry.message]) != whole[1:2]:
            self._tally.wrong(f"{where}: the message of an id is {entry}")

    async def _write(self, where: str, whole: Any, there: set[str]) -> None:
        """Append a message that it may know already, and a new one; acknowledged is stored."""
        history = self._history
        known = lc.HumanMessage(whole[1][1], id="kept 1")
        new = lc.HumanMessage(self._text(), id="new")
        done = await self._ask(where, lambda: history.append(known, new))
        if done is None:
            return
        found = told(await until_done(self._tally, history.messages))
        added = told([new])
        anew = told([known, new])
        if found != whole + added and not (not there & set("ms") and found == anew):
            self._tally.wrong(f"{where}: acknowledged as {done}, and it holds {found}")

    async def _erase(self, where: str, settle: Callable[[], Awaitable[None]]) -> None:
        """Erase what is left, by whoever may: nobody knows that it is this user's where the state is not its own."""
        while True:
            await settle()  # what is still on its way when a session is erased may begin it anew
            await self._ask(where, self._history.clear)
            await self._ask(where, self._anybody.clear)
            await settle()
            left = [part for part, key in self._keys.items() if await self._raw("exists", key)]
            if not left:
                return
            if not self._loses:  # no failover may have undone it
                self._tally.wrong(f"{where}: erased, and {left} are left")
                return


def raw_of(client: Any) -> Raw:
    """Return what runs a command of a plain client until the server answers it."""

    async def run(command: str, *arguments: Any, **options: Any) -> Any:
        while True:
            try:
                return await asyncio.to_thread(getattr(client, command), *arguments, **options)
            except _PASSING:
                await asyncio.sleep(AGAIN)

    return run
