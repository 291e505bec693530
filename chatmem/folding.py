"""Text as searching compares it: without the differences of case, composition and width, and cut into words.

Words are not what `re` takes for them: it leaves the combining marks out, without which Hindi or Thai fall to pieces.
In scripts written without spaces nothing says where a word ends, so there each character is a word of its own.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import accumulate

Span = tuple[int, int]

_UNSPACED = ("CJK ", "IDEOGRAPHIC ", "HIRAGANA ", "KATAKANA", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
"""How Unicode's names of the characters begin that are written without spaces."""
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
"""Soft hyphens, joiners, direction marks, variation selectors: they say how a word looks, not which it is."""


def fold(text: str) -> str:
    """Return a text such that two that differ in case, composition or width alone become one."""
    if text.isascii():
        return text.lower()
    folded = _composed(_INVISIBLE.sub("", _composed(text).casefold()))
    # Turkish has an i with and an i without a dot, each in both cases, and elsewhere only case tells them apart. Most
    # other letters are one character with their dot by now, and keep it.
    return _composed(folded.replace("\u0307", "").replace("\u0131", "i"))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


class _Table(dict[int, str]):
    """For `str.translate`: maps each character to a letter that says what it is, as the running Python knows it."""

    def __init__(self, letter_of: Callable[[str], str]) -> None:
        self._letter_of = letter_of

    def __missing__(self, code: int) -> str:
        letter = self._letter_of(chr(code))
        if len(self) < 1 << 16:  # else a text of all there is would stay in memory for good
            self[code] = letter
        return letter


def _kind(char: str) -> str:
    category = unicodedata.category(char)
    if category[0] == "M":
        return "m"
    if category[0] not in "LN" and category != "Pc":
        return " "
    return "u" if unicodedata.name(char, "").startswith(_UNSPACED) else "w"


_KINDS = _Table(_kind)
_MARKS = re.compile("(^|[ w])m+")
_WORD = re.compile("w+|um*")
_RUN = re.compile("w+|u[um]*")


def kinds_of(folded: str) -> str:
    """Return a letter for each character of a folded text.

    w: part of a word. u: a character of a script without spaces. m: a mark on such a one. Space: separates words.
    """
    kinds = folded.translate(_KINDS)
    if "m" not in kinds:
        return kinds
    return _MARKS.sub(lambda found: (found[1] or " ") * len(found[0]), kinds)  # marks on nothing separate


def words(kinds: str) -> Iterator[Span]:
    """Iterate over where words are, by the kinds of the characters."""
    return map(re.Match.span, _WORD.finditer(kinds))


def is_word(kinds: str, start: int, end: int) -> bool:
    """Return whether a word is exactly here; something that looks like one is."""
    if kinds[start] == "u":
        return kinds[end : end + 1] != "m"
    return kinds[end : end + 1] != "w" and kinds[start - 1 : start] != "w"


def longest_run(folded: str, kinds: str) -> str:
    """Return the longest part of a folded text that stands in each text that has its words."""
    return max((folded[slice(*found.span())] for found in _RUN.finditer(kinds)), key=len, default="")


GAP, OTHER = "", " "
"""No words. `sequence` says with them that two characters are apart, and that there are other words."""


def sequence(folded: str, kinds: str, spans: Iterable[Span]) -> Iterator[tuple[str, int, int]]:
    """Iterate over the words that are at these spans, and what must be known of the space between.

    Characters of scripts without spaces may or may not be apart: else a word would be found across a full stop.
    """
    last = 0
    for start, end in spans:
        between = kinds[last:start]
        if last and between.strip():
            yield OTHER, start, start
        elif last and kinds[start] == "u" and (between or kinds[last - 1] == "w"):
            yield GAP, start, start
        yield folded[start:end], start, end
        last = end


def _shape(char: str) -> str:
    first = unicodedata.normalize("NFKD", char)[0]
    vowel_or_final = "\u1160" <= first <= "\u11ff" or first == "\U00016d67"  # of Hangul; of Kirat Rai
    if vowel_or_final or unicodedata.category(first)[0] == "M" or _INVISIBLE.match(char):
        return "j"
    return "=" if len(fold(char)) == 1 else "x"


_SHAPES = _Table(_shape)
"""j: may join the character before it when folded. x: becomes more than one. =: stays one character."""
_PIECE = re.compile("(=+)(?!j)|[=xj]j*")


def in_original(text: str, folded: str, spans: list[Span]) -> list[Span]:
    """Return where spans of the folded text begin and end in the text itself; they grow to whole characters there."""
    if len(text) == len(folded) and text.casefold() == folded:  # each character stayed one, in its place
        return spans
    shapes = text.translate(_SHAPES)
    parts = _parts(text, shapes)
    length_of = cache(lambda part: len(fold(part)))
    starts = list(accumulate(map(length_of, parts), initial=0))
    places = list(accumulate(map(len, parts), initial=0))

    def place(at: int, part: int, edge: int) -> int:
        stayed = shapes[places[part + 1] - 1] == "="
        return places[part] + at - starts[part] if stayed else places[part + edge]

    return [
        (place(start, bisect_right(starts, start) - 1, 0), place(end, bisect_left(starts, end) - 1, 1))
        for start, end in spans
    ]


def _parts(text: str, shapes: str) -> list[str]:
    """Cut a text into parts that fold as they do alone: characters, runs of those that stay one, and what joins."""
    cut = cache(_cut)
    parts: list[str] = []
    for found in _PIECE.finditer(shapes):
        piece = text[found.start() : found.end()]
        parts += [piece] if found[1] else cut(piece)
    return parts


def _cut(piece: str) -> list[str]:
    return list(piece) if "".join(map(fold, piece)) == fold(piece) else [piece]
