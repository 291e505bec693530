"""Ranks a session's messages by BM25, as RediSearch does for langchain-redis' search."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from langchain_core.messages import BaseMessage

from chatmem.core.steps import STEP_CHARACTERS, Steps
from chatmem.search import text_of

_WORD, _BETWEEN = re.compile(r"\w+"), re.compile(r"\W")
_SATURATION, _LENGTH_WEIGHT = 1.2, 0.75  # the usual parameters of BM25


class _Match(NamedTuple):
    message: BaseMessage
    counts: dict[str, int]
    length: int


class Ranking:
    """Ranks the messages that contain a word of a query. It keeps no others in memory."""

    def __init__(self, query: str) -> None:
        self._wanted = frozenset(words(query))
        self._matches: list[_Match] = []
        self._seen = self._length = 0

    def adding(self, message: BaseMessage) -> Steps[None]:
        """Take the next message into account, in steps. Pass the messages oldest first."""
        counts: Counter[str] = Counter()
        length = 0
        for part in _parts(text_of(message)):
            own = words(part)
            length += len(own)
            counts.update(word for word in own if word in self._wanted)
            yield
        self._seen += 1
        self._length += length
        if counts:
            self._matches.append(_Match(message, counts, length))

    def best(self, limit: int) -> list[BaseMessage]:
        """Return the best matches first, the older of equal ones first. Rare words and short messages score higher."""
        holding = Counter(word for match in self._matches for word in match.counts)
        rarity = {word: math.log(1 + (self._seen - n + 0.5) / (n + 0.5)) for word, n in holding.items()}

        def score(match: _Match) -> float:
            relative = match.length * self._seen / self._length
            damping = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * relative)
            return sum(rarity[word] * n * (_SATURATION + 1) / (n + damping) for word, n in match.counts.items())

        return [match.message for match in sorted(self._matches, key=score, reverse=True)[:limit]]


def _parts(text: str) -> Iterator[str]:
    """Split a text between words into parts of about one step's work."""
    start = 0
    while start < len(text):
        between = _BETWEEN.search(text, start + STEP_CHARACTERS)
        end = between.start() if between else len(text)
        yield text[start:end]
        start = end


def words(text: str) -> list[str]:
    """Return a text's words, case-folded."""
    return _WORD.findall(text.casefold())
