"""Line breaks between words, also for text that arrives piece by piece."""

from __future__ import annotations

import re

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

_PIECE = re.compile(r"\n|\S+")


def print_wrapped(out: Console, text: Text, indent: int = 0) -> None:
    """Print text, on a terminal with line breaks between words; see `WordWrap`."""
    WordWrap(out, indent).write(text)
    out.print()


class WordWrap:
    """Writes text to a console and breaks its lines between words, where the console is a terminal.

    A word that reaches the margin moves to the next line, even if its beginning is printed already. A word that is
    wider than the terminal stays in one piece, so that an id or a URL can be copied.
    """

    def __init__(self, out: Console, indent: int = 0) -> None:
        """Begin a line.

        Args:
            out: where the text goes.
            indent: columns by which every line but the first is indented.
        """
        self._out = out
        self._indent = " " * indent
        self._width = 0
        self._column = 0
        self._space = ""
        """White space that is printed once a word follows it on the same line."""
        self._word = Text()
        """The last word that was printed, while it may go on; empty after white space."""

    def write(self, text: Text) -> None:
        """Print text behind what was written before. White space at its end is printed with the next word."""
        if self._out.is_terminal:
            self._width = self._out.width  # which asks the system
            shown = self._wrapped(text)
        else:
            shown = Text("\n" + self._indent).join(text.split("\n", allow_blank=True))
        self._out.print(shown, end="", soft_wrap=True)

    def _wrapped(self, text: Text) -> Text:
        shown, plain = Text(), text.plain
        copied = start = end = 0  # text[:copied] is in `shown`; text[start:end] is the last piece
        for found in _PIECE.finditer(plain):
            gap = plain[end : found.start()]
            self._add_space(gap)
            if found[0] == "\n":
                before = Text()
                self._column, self._space, self._word = 0, self._indent, Text()
            else:
                before = self._continue_word(found[0]) if self._word else self._begin_word(found[0])
            if before.plain != gap:
                shown.append_text(text[copied:end]).append_text(before)
                copied = found.start()
            start, end = found.span()
        self._add_space(plain[end:])
        if end == len(plain) and not plain.endswith("\n"):
            self._word += text[start:end]
        return shown.append_text(text[copied:end])

    def _add_space(self, space: str) -> None:
        if space:
            self._space += space.expandtabs(4)
            self._word = Text()

    def _begin_word(self, word: str) -> Text:
        """Return what to print before a word: white space or a line break."""
        line_break, cells = "", cell_len(word)
        if self._column and self._column + len(self._space) + cells > self._width:
            line_break, self._column, self._space = "\n", 0, self._indent
        if not self._column and len(self._indent) + cells > self._width:
            self._space = ""  # so that a long id fits on its line, if it can
        before = Text(line_break + self._space)
        self._column += len(self._space) + cells
        self._space = ""
        return before

    def _continue_word(self, rest: str) -> Text:
        """Return what to print before the rest of a word whose beginning was printed by an earlier `write`."""
        start = self._column - cell_len(self._word.plain)
        fits = self._column + cell_len(rest) <= self._width
        if fits or start <= len(self._indent) or self._out.is_dumb_terminal:
            self._column += cell_len(rest)
            return Text()
        self._out.control(Control((ControlType.CURSOR_MOVE_TO_COLUMN, start), (ControlType.ERASE_IN_LINE, 0)))
        self._column, self._space = 0, self._indent
        return Text("\n") + self._begin_word(self._word.plain + rest) + self._word
