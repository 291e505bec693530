"""What was told of one message of an answer, and what a finished message shows besides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

from langchain_core.messages import AIMessage

from chatmem.ui.pieces import File, Piece, Reasoning, Text, pieces_of
from chatmem.ui.values import shown


class Call:
    """A call that was told."""

    def __init__(self, of_model: str, call_id: str, name: str) -> None:
        self.of_model = of_model
        """the id that the model gave it"""
        self.id = call_id
        self.name = name
        self.written = ""
        """its arguments so far"""
        self.is_ready = False


class Told:
    """What was told of one message."""

    def __init__(self, message_id: str) -> None:
        self.id = message_id
        self.texts: dict[bool, list[str]] = {True: [], False: []}
        """the texts, and the thoughts"""
        self.sources: list[dict[str, Any]] = []
        self.files: list[str] = []
        self.calls: list[Call] = []
        self.call_at: dict[Any, Call] = {}
        """the call to which the next part with an index belongs"""
        self.unnamed: dict[Any, str | None] = {}
        """the id of a call whose name has not come"""
        self._summarized: dict[Any, Any] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of it to see."""
        return not (self.texts[True] or self.texts[False] or self.sources or self.files or self.calls)

    def separated(self, thought: Reasoning, block: dict[str, Any]) -> Reasoning:
        """Return a part of a summary, of OpenAI's, with what stands between it and the part before it."""
        summary = block.get("summary")
        numbers = [one.get("index") for one in summary if one.get("text")] if isinstance(summary, list) else []
        if not numbers:
            return thought
        before = self._summarized.get(block.get("index"), numbers[0])
        self._summarized[block.get("index")] = numbers[-1]
        return thought if before == numbers[0] else thought._replace(text=f"\n\n{thought.text}")


def rest_of(message: AIMessage, told: Told) -> Iterator[tuple[Piece, bool]]:
    """Yield what a finished message shows besides what was told of it, each with whether it goes on with a told text.

    The last parts of an answer reach nobody before its end. But a reader that came in the middle of the message does
    not get what was before that.
    """
    pieces = pieces_of(message)
    left, sources = dict[bool, int](), [*told.sources]
    for is_text, texts in told.texts.items():
        so_far, whole = (
            "".join(texts),
            "".join(_text_in(piece) for piece in pieces if isinstance(piece, Text) == is_text),
        )
        if whole.startswith(so_far):
            left[is_text] = len(so_far)
    saw_all = _saw_beginning(pieces, left, told)
    for piece in pieces:
        if isinstance(piece, File):
            if saw_all and piece.url not in told.files:
                yield piece, False
            continue
        is_text = isinstance(piece, Text)
        if is_text not in left or not (saw_all or told.texts[is_text]):
            continue
        skipped = min(left[is_text], len(piece.text))
        left[is_text] -= skipped
        rest = piece._replace(text=piece.text[skipped:])
        if isinstance(rest, Text):
            rest = rest._replace(sources=tuple(_without(rest.sources, sources)))
        if rest.text or (isinstance(rest, Text) and rest.sources):
            yield rest, skipped > 0


def _saw_beginning(pieces: list[Piece], left: dict[bool, int], told: Told) -> bool:
    """Return whether the first that the message shows was told."""
    first = next((piece for piece in pieces if isinstance(piece, File) or piece.text), None)
    if first is None or isinstance(first, File):
        return first is not None and first.url in told.files
    return left.get(isinstance(first, Text), 0) > 0


def _text_in(piece: Piece) -> str:
    return "" if isinstance(piece, File) else piece.text


def _without(sources: tuple[dict[str, Any], ...], told: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for source in sources:
        if source in told:
            told.remove(source)
        else:
            yield source


def rest_of_arguments(args: Any, so_far: str) -> str:
    """Return what is missing of a call's arguments, as the model may have written them; empty where that is not known.

    Args:
        args: the arguments, or the text that is no JSON.
        so_far: what was told of their text.
    """
    for text in [args] if isinstance(args, str) else _written(shown(args)):
        if text.startswith(so_far):
            return text[len(so_far) :]
    return ""


def _written(args: Any) -> Iterator[str]:
    for separators, is_ascii in product(((", ", ": "), (",", ":")), (False, True)):
        yield json.dumps(args, separators=separators, ensure_ascii=is_ascii)
