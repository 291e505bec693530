"""chatmem's synchronous facade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import messages_from_dict

import chatmem.sync
from benchmarks.corpus import Message
from benchmarks.systems.base import LAST, TTL_SECONDS, slices


class System:
    """One memory; a history a turn."""

    def open(self, url: str) -> None:
        self._memory = chatmem.sync.connect(url, ttl=TTL_SECONDS)

    def prepare(self, messages: Sequence[Message]) -> list[Any]:
        return messages_from_dict(list(messages))

    def seed(self, session: str, messages: list[Any]) -> None:
        for some in slices(messages):
            self._memory.history(session).append(*some)

    def turn(self, session: str, new: list[Any]) -> None:
        history = self._memory.history(session)
        history.messages(last=LAST)
        history.append(*new)

    def read(self, session: str, last: int | None) -> int:
        return len(self._memory.history(session).messages(last=last))

    def append(self, session: str, new: list[Any]) -> None:
        self._memory.history(session).append(*new)

    def close(self) -> None:
        self._memory.close()
