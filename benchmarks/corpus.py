"""The real conversations as plain JSON, so that a worker in any environment reads them. Standard library only."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

Message = dict[str, Any]
"""A message as LangChain's `message_to_dict` writes it: `{"type": ..., "data": {...}}`."""


class Corpus:
    """Histories of any length, made of the conversations end to end; each message has an id, as in a chat server."""

    def __init__(self, file: Path) -> None:
        self._messages: list[Message] = json.loads(file.read_text())
        self._random = random.Random(0)  # the same ids for all systems

    def history(self, length: int, *, skip: int = 0) -> list[Message]:
        """Return the first messages, from the beginning again where there are too few, without the first `skip`."""
        return [self._identified(self._messages[i % len(self._messages)]) for i in range(skip, skip + length)]

    def pairs(self) -> Iterator[list[Message]]:
        """Yield what turns append: two messages, from all over the conversations, never with an id twice."""
        for i in count(1, 2):
            yield [self._identified(self._messages[(i + j) % len(self._messages)]) for j in range(2)]

    def _identified(self, message: Message) -> Message:
        drawn = uuid.UUID(int=self._random.getrandbits(128), version=4)
        return {"type": message["type"], "data": {**message["data"], "id": str(drawn)}}
