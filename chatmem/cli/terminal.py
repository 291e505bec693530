"""Stored text on a terminal: readable, and unable to drive it."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Any

from langchain_core.messages import BaseMessage
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_WIDEST = 10_000
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
    return f"{span((datetime.now(UTC) - time).total_seconds())} ago"


def span(seconds: float) -> str:
    """Return a time in words: the largest unit that fits."""
    amount = max(seconds, 0)
    for size, name in _STEPS:
        if amount < size or name == "day":
            break
        amount /= size
    return plural(int(amount), name)


def plural(count: int, name: str) -> str:
    """Return how many there are of something."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table. Columns that begin with `>` hold numbers; the others fold, so that no id is cut."""
    made = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for name in columns:
        right = name.startswith(">")
        made.add_column(name.lstrip(">"), justify="right" if right else "left", no_wrap=right, overflow="fold")
    return made


def add_row(to: Table, *cells: object) -> None:
    """Add a row of stored text, clean."""
    to.add_row(*(Text("" if cell is None else one_line(cell)) for cell in cells))


def print_table(made: Table) -> None:
    """Print a table, as wide as it is where no terminal sets a width."""
    out = console()
    out.print(made, width=None if out.is_terminal else _WIDEST, crop=out.is_terminal)


def print_json(row: dict[str, Any]) -> None:
    """Print one JSON object on a line of stdout, in ASCII."""
    print(json.dumps(plain(row), default=str, allow_nan=False))  # noqa: T201 - for another program


def plain(value: Any) -> Any:
    """Return the value with what JSON has no word for as text: keys that are no strings, NaN, infinities."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
