"""chatmem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import messages_from_dict

import chatmem
from benchmarks.corpus import Message
from benchmarks.systems.base import LAST, TTL_SECONDS, slices


class System:
    """One memory; a history a turn."""

    def open(self, url: str) -> None:
        self._memory = chatmem.connect(url, ttl=TTL_SECONDS)

    def prepare(self, messages: Sequence[Message]) -> list[Any]:
        return messages_from_dict(list(messages))

    async def seed(self, session: str, messages: list[Any]) -> None:
        for some in slices(messages):
            await self._memory.history(session).append(*some)

    async def turn(self, session: str, new: list[Any]) -> None:
        history = self._memory.history(session)
        await history.messages(last=LAST)
        await history.append(*new)

    async def read(self, session: str, last: int | None) -> int:
        return len(await self._memory.history(session).messages(last=last))

    async def append(self, session: str, new: list[Any]) -> None:
        await self._memory.history(session).append(*new)

    async def close(self) -> None:
        await self._memory.aclose()
