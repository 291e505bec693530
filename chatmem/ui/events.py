"""What the chunks of an answer tell: the events that `streaming.Teller` yields. Each protocol writes them its way."""

from __future__ import annotations

from typing import Any, NamedTuple

from chatmem.ui.pieces import Piece, Result


class Began(NamedTuple):
    """A message of the model begins, or goes on after another one."""

    message: str


class Ended(NamedTuple):
    """The message is whole, or another one goes on."""

    message: str


class Opened(NamedTuple):
    """A text, or a thought, begins."""

    message: str
    is_text: bool


class Grew(NamedTuple):
    """The open text or thought goes on."""

    message: str
    is_text: bool
    delta: str


class Closed(NamedTuple):
    """The open text or thought is whole."""

    message: str
    is_text: bool


class Showed(NamedTuple):
    """The message has a file, or text with sources."""

    message: str
    piece: Piece


class Called(NamedTuple):
    """A call of a tool begins."""

    message: str
    call: str
    name: str


class Argued(NamedTuple):
    """The text of a call's arguments goes on."""

    call: str
    delta: str


class Ready(NamedTuple):
    """A call is whole."""

    call: str
    name: str
    args: Any
    """a dict, or the text that is no JSON"""
    error: str | None
    """what is wrong with the text"""


class Returned(NamedTuple):
    """A tool has returned."""

    call: str
    result: Result


Event = Began | Ended | Opened | Grew | Closed | Showed | Called | Argued | Ready | Returned
