"""Matches texts against words and phrases, and keeps the best matches: one pass over each text, in bounded memory."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from chatmem.core.steps import STEP_CHARACTERS, Steps, run, run_with_checkpoints
from chatmem.search.text import (
    GAP,
    Span,
    fold,
    folding,
    in_original,
    is_word,
    kinds_of,
    longest_run,
    regions,
    sequence,
    telling_kinds,
    words,
)

Item = TypeVar("Item")

_QUOTES = re.compile('["“”„]')
_SATURATION, _LENGTH_WEIGHT = 1.2, 0.75  # BM25's usual values
_TYPICAL_LENGTH = 360  # characters, or 60 words; the true average is not known before all texts were seen
# more strings to look for, or a longer pattern, take longer than cutting the text into words
_FEW_NEEDLES, _SHORT_PATTERN = 32, 256


@dataclass(frozen=True, slots=True)
class Found:
    """A match of a query in a text.

    Attributes:
        score: how well the text matches, comparable between texts for one query. Its integer part is the number of
            distinct terms found.
        spans: start and end of each occurrence, as offsets into the text. They are sorted; overlapping ones are merged.
    """

    score: float
    spans: tuple[Span, ...]


class Query:
    """A query: words and phrases, any of which may occur in a text.

    Terms are separated by white space, or enclosed in quotation marks (`"` or typographic ones; the last may be
    missing). A term of several words is a phrase: the words must follow each other in a text, with any white space and
    punctuation between them. So `a@b.com` needs no quotation marks. Case does not matter, nor whether characters are
    composed or decomposed, wide or narrow. In Chinese, Japanese, Thai, Lao, Khmer and Burmese, which are written
    without spaces, a term may begin and end anywhere in a text.
    """

    def __init__(self, query: str) -> None:
        """Parse a query.

        Args:
            query: words and quoted phrases. No other character has a special meaning.

        Raises:
            ValueError: the query is not a string, or has no word.
        """
        terms = _terms(query) if isinstance(query, str) else {}
        if not terms:
            raise ValueError('query must be a string with a word to look for, such as: refund "New York"')
        self._terms = list(terms)
        self._phrases = sum(len(term) > 1 for term in self._terms)
        self._needles = frozenset(terms.values())
        self._automaton = _Automaton(self._terms)
        self._words = frozenset(word for term in self._terms for word in term if word != GAP)
        longest_first = sorted(self._words, key=len, reverse=True)  # a pattern's first alternative that matches wins
        pattern = "|".join(map(re.escape, longest_first))
        self._pattern = re.compile(pattern) if len(pattern) <= _SHORT_PATTERN else None

    def match(self, text: str) -> Found | None:
        """Look for the terms in a text.

        Args:
            text: any text.

        Returns:
            The match, or None if no term occurs. A higher score means more distinct terms; then more phrases; then more
            occurrences for the text's length.
        """
        folded = fold(text)
        return run(self._matching(text, folded)) if self._may_match(folded) else None

    async def match_with_checkpoints(self, text: str, checkpoint: Callable[[], Awaitable[None]]) -> Found | None:
        """Do what `match` does, but let other tasks run between the steps for a long text, by `checkpoint`."""
        if len(text) <= STEP_CHARACTERS:
            return self.match(text)
        folded = await run_with_checkpoints(folding(text), checkpoint)
        return await run_with_checkpoints(self._matching(text, folded), checkpoint) if self._may_match(folded) else None

    def _matching(self, text: str, folded: str) -> Steps[Found | None]:
        kinds = yield from telling_kinds(folded)
        scan = _Scan(self._automaton)
        for region in regions(kinds):
            scan.feed(sequence(folded, kinds, self._known(folded, kinds, *region), scan.last))
            yield
        if not scan.spans:
            return None
        spans = yield from in_original(text, folded, scan.spans)
        return Found(self._score(scan.counts(), len(folded)), (yield from _merged(spans)))

    def _may_match(self, folded: str) -> bool:
        if len(self._needles) > _FEW_NEEDLES:
            return True
        for needle in self._needles:
            if needle in folded:
                return True
        return False

    def _known(self, folded: str, kinds: str, start: int, end: int) -> Iterator[Span]:
        """Iterate over the spans of the query's words in a region."""
        if self._pattern is None or end - start > 2 * STEP_CHARACTERS:  # then one very long word fills the region
            return (span for span in words(kinds, start, end) if folded[slice(*span)] in self._words)
        found = self._pattern.finditer(folded, start, end)
        return (span for span in map(re.Match.span, found) if is_word(kinds, *span))

    def _score(self, counts: Counter[int], length: int) -> float:
        phrases = sum(len(self._terms[number]) > 1 for number in counts)
        damping = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * length / _TYPICAL_LENGTH)
        frequency = sum(n / (n + damping) for n in counts.values()) / len(counts)  # below 1, as the fraction must be
        return len(counts) + (phrases + frequency) / (self._phrases + 1)


def _terms(query: str) -> dict[tuple[str, ...], str]:
    """Return a query's distinct terms, each with a string that is in every folded text in which the term occurs."""
    terms = {}
    for index, part in enumerate(_QUOTES.split(fold(query))):
        for piece in [part] if index % 2 else part.split():
            kinds = kinds_of(piece)
            term = tuple(word for word, _, _ in sequence(piece, kinds, words(kinds)))
            if term:
                terms[term] = longest_run(piece, kinds)
    return terms


class _Automaton:
    """Finds any number of terms in one pass over a text's words: the algorithm of Aho and Corasick."""

    def __init__(self, terms: Iterable[tuple[str, ...]]) -> None:
        self._next: list[dict[str, int]] = [{}]
        self._fallback = [0]
        self.ends: list[list[int]] = [[]]  # by state: the terms that end there, the longest first
        self.lengths = [len(term) for term in terms]
        for number, term in enumerate(terms):
            self._add(number, term)
        self._link()

    def _add(self, number: int, term: tuple[str, ...]) -> None:
        state = 0
        for word in term:
            state = self._next[state].setdefault(word, len(self._next))
            if state == len(self._next):
                self._next.append({})
                self._fallback.append(0)
                self.ends.append([])
        self.ends[state].append(number)

    def _link(self) -> None:
        states = list(self._next[0].values())
        for state in states:  # grows in the loop, so that shallow states come first
            for word, child in self._next[state].items():
                self._fallback[child] = self.step(self._fallback[state], word)
                self.ends[child] += self.ends[self._fallback[child]]
                states.append(child)

    def step(self, state: int, word: str) -> int:
        """Return the state after a word."""
        while state and word not in self._next[state]:
            state = self._fallback[state]
        return self._next[state].get(word, 0)


class _Scan:
    """One pass over a text's words, which come in parts. At each word it finds the longest term that ends there."""

    def __init__(self, automaton: _Automaton) -> None:
        self._automaton = automaton
        self._visits: Counter[int] = Counter()
        self._starts: list[int] = []  # of the latest words, as far back as a term may begin
        self._state = 0
        self.spans: list[Span] = []
        self.last = 0
        """the end of the last word"""

    def feed(self, sequence: Iterable[tuple[str, int, int]]) -> None:
        """Take the next words."""
        automaton, starts, state, end = self._automaton, self._starts, self._state, self.last
        for word, start, end in sequence:
            starts.append(start)
            state = automaton.step(state, word)
            if not state:
                starts.clear()
            elif automaton.ends[state]:
                self._visits[state] += 1
                self.spans.append((starts[-automaton.lengths[automaton.ends[state][0]]], end))
        self._state, self.last = state, end

    def counts(self) -> Counter[int]:
        """Return how often each term occurred, by its number."""
        counts: Counter[int] = Counter()
        for state, times in self._visits.items():
            for number in self._automaton.ends[state]:
                counts[number] += times
        return counts


def _merged(spans: list[Span]) -> Steps[tuple[Span, ...]]:
    """Merge overlapping spans, which are sorted by their ends. The list is used up: freeing it takes long, too."""
    merged: list[Span] = []
    spans.reverse()
    while spans:
        span = spans.pop()
        while merged and merged[-1][1] > span[0]:
            span = min(span[0], merged.pop()[0]), span[1]
        merged.append(span)
        if not len(spans) % STEP_CHARACTERS:
            yield
    return tuple(merged)


class Best(Generic[Item]):
    """Keeps the best of the items that it is offered, in memory for no more than these."""

    def __init__(self, limit: int) -> None:
        """Begin without items.

        Args:
            limit: how many items to keep.

        Raises:
            ValueError: `limit` is not a whole number from 1 on.
        """
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise ValueError(f"limit must be a whole number from 1 on, not {limit!r}")
        self._limit = limit
        self._kept: list[tuple[float, Any, int, Item]] = []  # a heap, the worst first
        self._offered = 0

    def offer(self, score: float, order: Any, item: Item) -> None:
        """Keep an item if it is among the best.

        Args:
            score: how good the item is.
            order: how new it is. Among equal scores the greatest order is best, and then the item offered first.
            item: the item.
        """
        if len(self._kept) >= self._limit and (score, order) <= self._kept[0][:2]:
            return
        self._offered += 1  # makes every entry unique, so that items are never compared
        entry = (score, order, -self._offered, item)
        if len(self._kept) < self._limit:
            heapq.heappush(self._kept, entry)
        else:
            heapq.heapreplace(self._kept, entry)

    def ranked(self) -> list[Item]:
        """Return the kept items, the best first."""
        return [item for _, _, _, item in sorted(self._kept, reverse=True)]
