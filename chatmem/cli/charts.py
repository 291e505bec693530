"""The numbers of `chatmem stats` on a terminal: tables and bar charts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.bar import Bar
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chatmem.cli.counts import Distribution, Stats
from chatmem.cli.terminal import add_row, console, plural, print_table, span, table

_BAR = 18
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def print_stats(found: Stats) -> None:
    """Print totals, charts, the largest sessions and the most active users."""
    out = console()
    size = f", {byte_size(found.size)} in the server's memory" if found.is_sized else ""
    out.print(f"{plural(found.sessions, 'session')}, {plural(found.messages, 'message')}{size}", style="bold")
    if not found.sessions:
        return
    without = plural(found.by_ttl.without, "session")
    out.print(f"{plural(len(found.users), 'user')}; {without} without a time to live\n")
    charts = [Padding(_chart(title, rows), (0, 0, 1, 0)) for title, rows in distributions(found)]
    out.print(Columns(charts, padding=(0, 4), equal=True))
    largest = table(">messages", *([">memory"] if found.is_sized else []), "largest sessions")
    for one in found.largest:
        sizes = [] if one.size is None else [byte_size(one.size)]
        add_row(largest, f"{one.info.count:,}", *sizes, one.info.session_id)
    print_table(largest)
    if found.users:
        users = table(">messages", "most active users")
        for user, count in found.users.most_common(10):
            add_row(users, f"{count:,}", user)
        print_table(users)


def distributions(found: Stats) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield a title, and labels with numbers of sessions, for each distribution that is known."""
    yield "messages per session", _rows(found.by_messages, _count_label)
    if found.is_sized:
        yield "memory per session", _rows(found.by_size, _label_by(byte_size))
    yield "since the last write", _rows(found.by_age, _label_by(span))
    yield "expires in", [*_rows(found.by_ttl, _label_by(span)), ("never", found.by_ttl.without)]


def _rows(of: Distribution, label: Callable[[int, int | None], str]) -> list[tuple[str, int]]:
    rows = [(label(low, high), count) for low, high, count in of.ranges()]
    while len(rows) > 1 and not rows[-1][1]:
        rows.pop()
    return rows


def _count_label(low: int, high: int | None) -> str:
    if high is None:
        return f"{low:,} or more"
    return f"{low:,}" if high == low + 1 else f"{low:,} to {high - 1:,}"


def _label_by(write: Callable[[float], str]) -> Callable[[int, int | None], str]:
    return lambda low, high: f"{write(low)} or more" if high is None else f"below {write(high)}"


def byte_size(size: float) -> str:
    """Return a number of bytes in the largest unit that fits."""
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{size:,.0f} {unit}" if unit == "B" or size == int(size) else f"{size:,.1f} {unit}"


def _chart(title: str, rows: list[tuple[str, int]]) -> Table:
    chart = Table.grid(padding=(0, 1))
    chart.title, chart.title_justify, chart.title_style = title, "left", "bold"
    chart.add_column(width=16, justify="right")
    chart.add_column(width=_BAR)
    chart.add_column(justify="right")
    most = max(*(count for _, count in rows), 1)
    for label, count in rows:
        chart.add_row(label, _Blocks(count, most), f"{count:,}")
    return chart


class _Blocks:
    """A bar, drawn with `#` on a terminal that has no block characters."""

    def __init__(self, value: int, most: int) -> None:
        self._value, self._most = value, most

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.ascii_only:
            yield Text("#" * -(-_BAR * self._value // self._most))
        else:
            yield Bar(self._most, 0, self._value, width=_BAR, color="cyan")
