"""What commands print on a terminal and ask there. Stored text stays readable and cannot control the terminal."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import typer
from langchain_core.messages import BaseMessage
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chatmem.core.typed import typed

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNLIMITED = 10_000
"""A width that no table reaches."""
_LONGEST_PROBLEM = 2000
"""Characters; a problem may quote stored text of any length."""
_UNITS = ((60, "second"), (60, "minute"), (24, "hour"), (365, "day"))


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: without markup, emoji codes or automatic highlighting."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def clean(text: object) -> str:
    """Return the text with control characters, text-direction marks and lone surrogates escaped."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", str(text).replace("\r\n", "\n"))


def one_line(text: object) -> str:
    """Return the text, clean, with each run of white space replaced by one space."""
    return clean(" ".join(str(text).split()))


def content_of(message: BaseMessage) -> str:
    """Return a message's content as text: text blocks as they are, other blocks as `[image_url]`."""
    content = typed(message).content
    if isinstance(content, str):
        return clean(content)
    parts = []
    for block in content:
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
    """Return a duration in words, in the largest unit that fits."""
    amount = max(seconds, 0)
    for size, name in _UNITS:
        if amount < size or name == "day":
            break
        amount /= size
    return plural(int(amount), name)


def plural(count: int, name: str) -> str:
    """Return a count and its noun: `1 session`, `2,000 sessions`."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def table(*columns: str) -> Table:
    """Return an empty table whose cells never wrap. A column that begins with `>` is aligned to the right."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        made.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", no_wrap=True)
    return made


def add_row(to: Table, *cells: object) -> None:
    """Add a row of stored text, cleaned."""
    to.add_row(*(Text("" if cell is None else one_line(cell)) for cell in cells))


def fits(made: Table) -> bool:
    """Return whether a table is no wider than the terminal; without a terminal, every table fits."""
    out = console()
    unlimited = out.options.update(width=_UNLIMITED)
    return not out.is_terminal or out.measure(made, options=unlimited).maximum <= out.width


def print_table(made: Table) -> None:
    """Print a table at its natural width, so that no cell is cut or split."""
    out = console()
    out.width = _UNLIMITED
    out.print(made, crop=False)


def print_json(row: dict[str, Any]) -> None:
    """Print one JSON object on one line of stdout, in ASCII."""
    print(json.dumps(plain(row), default=str, allow_nan=False))  # noqa: T201 - another program reads this


def plain(value: Any) -> Any:
    """Return the value as JSON can hold it: non-string keys, NaN and infinities become text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def ask(what: str) -> bool:
    """Ask for confirmation on the terminal.

    Raises:
        BadParameter: stdin is not a terminal; the program ends with exit code 2.
    """
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"cannot ask for confirmation ({what}?): stdin is not a terminal; pass --yes")
    typer.echo(f"{what}? [y/N] ", err=True, nl=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class Problems(logging.Handler):
    """Prints problems that do not end a command to stderr, one per line, and counts them.

    As a logging handler it also takes the warnings of the library, such as titles that cannot be decrypted.
    """

    def __init__(self, err: Console) -> None:
        super().__init__(logging.WARNING)
        self._err = err
        self.count = 0
        self._collected: list[str] | None = None

    def report(self, what: object) -> None:
        """Print a problem and count it."""
        self.count += 1
        text = one_line(str(what)[:_LONGEST_PROBLEM])
        self._err.print(text if len(str(what)) <= _LONGEST_PROBLEM else f"{text}…", style="red", soft_wrap=True)

    @contextmanager
    def collect(self) -> Iterator[list[str]]:
        """Collect what is logged inside the `with` block in a list, instead of reporting it."""
        self._collected = collected = list[str]()
        try:
            yield collected
        finally:
            self._collected = None

    def emit(self, record: logging.LogRecord) -> None:
        """Report what was logged."""
        if self._collected is None:
            self.report(record.getMessage())
        else:
            self._collected.append(record.getMessage())
