"""A session on a server that evicts keys of its own choice at any time: what there is, is the end of what was said."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial

from langchain_core import messages as lc

import chatmem
from tests.chaos.model import Said
from tests.chaos.story import Tally, told, until_done

ROUNDS = 20


class Evicted:
    """One session. Where all of it was evicted it begins anew; where a part was, it says so and is cleared."""

    def __init__(self, memory: chatmem.ChatMemory, name: str, rng: random.Random, tally: Tally) -> None:
        self.name = name
        self._history = memory.history(name, user=rng.choice([None, "evicted"]))
        self._anybody = memory.history(name)
        self._rng, self._tally = rng, tally
        self._said: list[Said] = []
        """since the session was last known to be empty"""
        self._begins = [0]
        """where in that an append begins: there the session may have begun anew"""

    async def run(self, settle: Callable[[], Awaitable[None]]) -> None:
        """Append and read, some of it again."""
        for _ in range(ROUNDS):
            kind = self._rng.randrange(3)
            try:
                if kind == 0:
                    await self._read()
                else:
                    await self._append(again=kind == 1 and bool(self._said))
            except (chatmem.TornSessionError, chatmem.NotFoundError, chatmem.UnavailableError) as error:
                self._tally.error(error)  # where it is not known whether it was stored, nothing could be said of it
                await settle()  # or what was given up arrives behind the erasure, which forgets that it was
                await until_done(self._tally, self._anybody.clear)
                self._said, self._begins = [], [0]
            except (chatmem.ChatMemError, ValueError) as error:
                self._tally.wrong(f"{self.name}: {error!r}")
        if self._rng.random() < 0.8:  # else there is more to evict
            await until_done(self._tally, self._anybody.clear)

    async def _append(self, *, again: bool) -> None:
        """Append a message that the session may know, or new ones. Acknowledged is stored, now or before."""
        new = [f"evicted {self._rng.getrandbits(48):x}" for _ in range(self._rng.randint(1, 3))]
        texts = [self._rng.choice(self._said)[1]] if again else new
        given = [lc.HumanMessage(text, id=text) for text in texts]
        append = partial(self._history.append, *given)
        done = await (append() if again else until_done(self._tally, append))
        if not again or not done.duplicates:
            self._begins.append(len(self._said))
            self._said += told([*given])

    async def _read(self) -> None:
        found = told(await until_done(self._tally, self._history.messages))
        if found not in [tuple(self._said[begin:]) for begin in (*self._begins, len(self._said))]:
            texts, said = [text for _, text in found], [text for _, text in self._said]
            self._tally.wrong(f"{self.name}: holds {texts}, which is no end of {said} from {self._begins}", "lost")
