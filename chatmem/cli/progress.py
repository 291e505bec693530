"""A bar on stderr for what takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")


def track(items: Iterable[T], what: str, err: Console) -> Iterator[T]:
    """Yield the items; where stderr is a terminal, a bar there says how many are done.

    Args:
        items: what to go through.
        what: what is done with them, in a word.
        err: the console of stderr. Lines that are printed on it meanwhile stand above the bar.
    """
    with counting(what, err, len(items) if isinstance(items, Sized) else None) as done:
        for item in items:
            yield item
            done(1)


@contextmanager
def counting(what: str, err: Console, total: float | None, *, shown: bool = True) -> Iterator[Callable[[float], None]]:
    """Give a function that is told how much more is done; see `track`. The bar goes away at its end.

    Args:
        what: what is done, in a word.
        err: the console of stderr.
        total: how much there is to do; None where nobody knows.
        shown: False for no bar at all.
    """
    if not shown or not err.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # stdout is left alone: what is printed there is data, and may go elsewhere
    with Progress(*columns, console=err, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task(what, total=total)
        yield lambda more: progress.advance(task, more)
