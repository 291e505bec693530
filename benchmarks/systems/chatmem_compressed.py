"""chatmem with a dictionary trained on conversations that the histories do not hold."""

from __future__ import annotations

from functools import cache

import chatmem
from benchmarks.systems import chatmem_async
from benchmarks.systems.base import TTL_SECONDS
from tests.samples import conversations

TRAINED_ON = 75
"""How many conversations, the last ones; histories of up to 1,000 messages are made of the first ones."""


class System(chatmem_async.System):
    """As chatmem, compressing."""

    def open(self, url: str) -> None:
        self._memory = chatmem.connect(url, ttl=TTL_SECONDS, compression=_dictionary())


@cache
def _dictionary() -> chatmem.Dictionary:
    known = list(conversations().values())[-TRAINED_ON:]
    return chatmem.Dictionary.train(message for conversation in known for message in conversation)
