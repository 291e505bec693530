"""The order that RediSearch gives: BM25 over all of a session's messages."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import NamedTuple

from langchain_core.messages import BaseMessage

from chatmem.search import text_of

_WORD = re.compile(r"\w+")
_SATURATION, _LENGTH_WEIGHT = 1.2, 0.75  # BM25's usual ones


class _Match(NamedTuple):
    message: BaseMessage
    counts: dict[str, int]
    length: int


class Ranking:
    """The messages that hold any of a query's words. Only those are kept of what it is given."""

    def __init__(self, query: str) -> None:
        self._wanted = frozenset(words(query))
        self._matches: list[_Match] = []
        self._seen = self._length = 0

    def add(self, message: BaseMessage) -> None:
        """Take a message into account; messages come oldest first."""
        own = words(text_of(message))
        self._seen += 1
        self._length += len(own)
        counts = Counter(word for word in own if word in self._wanted)
        if counts:
            self._matches.append(_Match(message, counts, len(own)))

    def best(self, limit: int) -> list[BaseMessage]:
        """Return the best matches first, of equals the oldest: rare words count for more, and so do short messages."""
        holding = Counter(word for match in self._matches for word in match.counts)
        rarity = {word: math.log(1 + (self._seen - n + 0.5) / (n + 0.5)) for word, n in holding.items()}

        def score(match: _Match) -> float:
            relative = match.length * self._seen / self._length
            damping = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * relative)
            return sum(rarity[word] * n * (_SATURATION + 1) / (n + damping) for word, n in match.counts.items())

        return [match.message for match in sorted(self._matches, key=score, reverse=True)[:limit]]


def words(text: str) -> list[str]:
    """Return a text's words, without the difference of upper and lower case."""
    return _WORD.findall(text.casefold())
