"""What went wrong and did not end the command."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from chatmem.cli.terminal import one_line

_LONGEST = 2000
"""characters; what is complained of may be quoted, and of any size"""


class Complaints(logging.Handler):
    """Each is a line on stderr, and is counted; so is what the library logs of what it cannot read."""

    def __init__(self, err: Console) -> None:
        super().__init__(logging.WARNING)
        self._err = err
        self.count = 0
        self._aside: list[str] | None = None

    def say(self, what: object) -> None:
        """Complain."""
        self.count += 1
        text = one_line(str(what)[:_LONGEST])
        self._err.print(text if len(str(what)) <= _LONGEST else f"{text}…", style="red", soft_wrap=True)

    @contextmanager
    def aside(self) -> Iterator[list[str]]:
        """Give a list of what is logged meanwhile, instead of complaining of it."""
        self._aside = aside = list[str]()
        try:
            yield aside
        finally:
            self._aside = None

    def emit(self, record: logging.LogRecord) -> None:
        """Complain of what was logged."""
        if self._aside is None:
            self.say(record.getMessage())
        else:
            self._aside.append(record.getMessage())
