"""A progress bar on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")


def track(items: Iterable[T], what: str, err: Console) -> Iterator[T]:
    """Yield the items while a progress bar shows how many are done.

    Args:
        items: what to go through.
        what: what happens to them, in one word.
        err: the console of stderr. Lines printed to it meanwhile appear above the bar.
    """
    with progress_bar(what, err, len(items) if isinstance(items, Sized) else None) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def progress_bar(
    what: str, err: Console, total: float | None, *, shown: bool = True
) -> Iterator[Callable[[float], None]]:
    """Show a progress bar inside the `with` block, if stdout and stderr are both terminals.

    Where stdout is a pipe, the program behind it may print to the same terminal, and the bar would be in its way.

    Args:
        what: what happens, in one word.
        err: the console of stderr.
        total: how much there is to do; None if that is not known.
        shown: False for no bar at all.

    Yields:
        A function that takes how much more is done.
    """
    if not (shown and err.is_terminal and sys.stdout.isatty()):
        yield lambda _: None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # rich must not redirect stdout: what is printed there is data, perhaps for another program
    with Progress(*columns, console=err, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task(what, total=total)
        yield lambda more: progress.advance(task, more)
