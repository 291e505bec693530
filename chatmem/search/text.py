"""Prepares text for searching: folds case, composition and width, and cuts it into words.

Words differ from those of `re`, which leaves out combining marks and so breaks up Hindi or Thai. In scripts written
without spaces, the ends of words are unknown, so each character counts as a word.

Python takes time that grows with the square of a run of combining marks to order it. So texts are folded in pieces, cut
between characters that do not join. A run longer than in any language is cut at the end of a piece; the Stream-Safe
Text Format of Unicode's annex 15 allows 30 marks.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from langchain_core.messages import BaseMessage

from chatmem.core.steps import STEP_CHARACTERS, Steps, run
from chatmem.core.typed import typed

Span = tuple[int, int]

_UNSPACED = ("CJK ", "IDEOGRAPHIC ", "HIRAGANA ", "KATAKANA", "THAI ", "LAO ", "KHMER ", "MYANMAR ")
"""The beginnings of Unicode's names for characters of scripts written without spaces."""
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
"""Soft hyphens, joiners, direction marks and variation selectors: they change only how a word looks."""


_PIECE, _MOST_MARKS, _ASCII_STEP = 256, 30, 1 << 20  # characters


def text_of(message: BaseMessage) -> str:
    """Return the text of a message: its content, or the content's text blocks, one per line."""
    if isinstance(message.content, str):
        return message.content
    parts = [block if isinstance(block, str) else block.get("text") for block in typed(message).content]
    return "\n".join(part for part in parts if isinstance(part, str))


def fold(text: str) -> str:
    """Return the text folded: texts that differ only in case, composition or width become equal."""
    return _folded(text) if len(text) <= _PIECE or text.isascii() else run(folding(text))


def folding(text: str) -> Steps[str]:
    """Do what `fold` does, in steps."""
    folded: list[str] = []
    if text.isascii():
        for start in range(0, len(text), _ASCII_STEP):
            folded.append(text[start : start + _ASCII_STEP].lower())
            yield
        return "".join(folded)
    for piece in _pieces(text):
        folded.append(_folded(piece))
        if not len(folded) % (STEP_CHARACTERS // _PIECE):
            yield
    return "".join(folded)


def _pieces(text: str) -> Iterator[str]:
    """Cut a text into pieces that, folded one by one, make the folded text."""
    start = 0
    while start < len(text):
        end = start + _PIECE
        last = min(end + _MOST_MARKS, len(text))
        while end < last and _SHAPES[ord(text[end])] == "j":
            end += 1
        yield text[start:end]
        start = end


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    folded = _composed(_INVISIBLE.sub("", _composed(text).casefold()))
    # Turkish has an i with a dot and one without, each in both cases; treat them alike. Most other letters with a dot
    # are one composed character here, and keep it.
    return _composed(folded.replace("\u0307", "").replace("\u0131", "i"))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


class _Table(dict[int, str]):
    """For `str.translate`: maps each character to a letter for its kind, by the running Python's Unicode data."""

    def __init__(self, letter_of: Callable[[str], str]) -> None:
        self._letter_of = letter_of

    def __missing__(self, code: int) -> str:
        letter = self._letter_of(chr(code))
        if len(self) < 1 << 16:  # a text of all characters must not fill the memory
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
_EDGE = re.compile("[ u]")


def kinds_of(folded: str) -> str:
    """Return a letter for each character of a folded text.

    w: part of a word. u: a character of a script without spaces. m: a mark on such a character. Space: anything else,
    which separates words.
    """
    return run(telling_kinds(folded))


def telling_kinds(folded: str) -> Steps[str]:
    """Do what `kinds_of` does, in steps."""
    parts: list[str] = []
    before = ""  # the kind of the character that a part's first marks belong to
    for start in range(0, len(folded), STEP_CHARACTERS):
        kinds = folded[start : start + STEP_CHARACTERS].translate(_KINDS)
        if "m" in kinds:
            kinds = _MARKS.sub(_as_what_it_is_on, before + kinds)[len(before) :]
        parts.append(kinds)
        before = "u" if kinds[-1] == "m" else kinds[-1]
        yield
    return "".join(parts)


def _as_what_it_is_on(marks: re.Match[str]) -> str:
    return (marks[1] or " ") * len(marks[0])  # marks on nothing separate words


def regions(kinds: str) -> Iterator[Span]:
    """Cut a text into parts of about one step each, at the ends of words."""
    start = 0
    while start < len(kinds):
        edge = _EDGE.search(kinds, start + STEP_CHARACTERS)
        end = edge.start() if edge else len(kinds)
        yield start, end
        start = end


def words(kinds: str, start: int = 0, end: int | None = None) -> Iterator[Span]:
    """Iterate over the spans of words in a text or a region of it, given the kinds of its characters."""
    return map(re.Match.span, _WORD.finditer(kinds, start, len(kinds) if end is None else end))


def is_word(kinds: str, start: int, end: int) -> bool:
    """Return whether a span with a word's characters is a whole word."""
    if kinds[start] == "u":
        return kinds[end : end + 1] != "m"
    return kinds[end : end + 1] != "w" and kinds[start - 1 : start] != "w"


def longest_run(folded: str, kinds: str) -> str:
    """Return the longest part of a folded term that is, unchanged, in every folded text with the term's words."""
    return max((folded[slice(*found.span())] for found in _RUN.finditer(kinds)), key=len, default="")


GAP, OTHER = "", " "
"""Not words. `sequence` yields GAP where two characters are apart, and OTHER where there are other words."""


def sequence(folded: str, kinds: str, spans: Iterable[Span], last: int = 0) -> Iterator[tuple[str, int, int]]:
    """Iterate over the words at these spans, with GAP and OTHER for what is between them.

    GAP keeps a term in a script without spaces from being found across a full stop. If earlier words were already
    yielded, `last` is the end of the last one.
    """
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
    return "=" if len(_folded(char)) == 1 else "x"


_SHAPES = _Table(_shape)
"""j: may join the character before it when folded. x: becomes several characters. =: stays one character."""
_JOINED = re.compile("(=+)(?!j)|[=xj]j*")


_STEP_SPANS = 1024


def in_original(text: str, folded: str, spans: list[Span]) -> Steps[list[Span]]:
    """Map spans of the folded text to spans of the text, in steps. They are widened to whole characters."""
    if (yield from _is_in_place(text, folded)):
        return spans
    starts, places, stays = yield from _placed(text)

    def place(at: int, part: int, edge: int) -> int:
        return places[part] + at - starts[part] if stays[part] else places[part + edge]

    found: list[Span] = []
    for start, end in spans:
        first, last = bisect_right(starts, start) - 1, bisect_left(starts, end) - 1
        found.append((place(start, first, 0), place(end, last, 1)))
        if not len(found) % _STEP_SPANS:
            yield
    return found


def _is_in_place(text: str, folded: str) -> Steps[bool]:
    """Return whether each character of a text is still in its place when folded."""
    if len(text) != len(folded):
        return False
    for start in range(0, len(text), STEP_CHARACTERS):
        step = slice(start, start + STEP_CHARACTERS)
        if text[step].casefold() != folded[step]:
            return False
        yield
    return True


def _placed(text: str) -> Steps[tuple[list[int], list[int], list[bool]]]:
    """Return where the parts of a text begin, folded and unfolded, and for each part whether its length stays."""
    cut, length_of = cache(_cut), cache(lambda part: len(_folded(part)))
    starts, places, stays = [0], [0], list[bool]()
    for number, piece in enumerate(_pieces(text), 1):
        for part, stay in _parts(piece, cut):
            starts.append(starts[-1] + length_of(part))
            places.append(places[-1] + len(part))
            stays.append(stay)
        if not number % (STEP_CHARACTERS // _PIECE // 4):
            yield
    return starts, places, stays


def _parts(text: str, cut: Callable[[str], list[str]]) -> Iterator[tuple[str, bool]]:
    """Cut a text into parts that can be folded one by one: runs of characters that stay one each, and others."""
    shapes = text.translate(_SHAPES)
    for found in _JOINED.finditer(shapes):
        part, at = text[found.start() : found.end()], found.start()
        for one in [part] if found[1] else cut(part):
            at += len(one)
            yield one, shapes[at - 1] == "="


def _cut(part: str) -> list[str]:
    return list(part) if "".join(map(_folded, part)) == _folded(part) else [part]
