"""Stored text on a terminal: readable, and unable to drive it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from langchain_core.messages import BaseMessage
from rich.console import Console

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_STEPS = ((60, "second"), (60, "minute"), (24, "hour"), (365, "day"))


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: no markup, no `:smile:`, no colours of rich's own choice."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def clean(text: object) -> str:
    """Return the text with control characters, text-direction marks and lone surrogates spelled out."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", str(text).replace("\r\n", "\n"))


def one_line(text: object) -> str:
    """Return the text, clean, with each run of white space as one space: it can be no second line."""
    return clean(" ".join(str(text).split()))


def content_of(message: BaseMessage) -> str:
    """Return a message's content as text: text blocks as they are, others as `[image_url]`."""
    if isinstance(message.content, str):
        return clean(message.content)
    parts = []
    for block in message.content:
        if isinstance(block, str):
            parts.append(block)
        else:
            kind = block.get("type", "block")
            parts.append(str(block.get(kind) if kind in ("text", "reasoning") and block.get(kind) else f"[{kind}]"))
    return clean(" ".join(parts))


def ago(time: datetime) -> str:
    """Return how long ago a time was, in words."""
    amount = max((datetime.now(UTC) - time).total_seconds(), 0)
    for size, name in _STEPS:
        if amount < size or name == "day":
            break
        amount /= size
    return f"{int(amount)} {name}{'' if int(amount) == 1 else 's'} ago"
