"""The plots of a run as PNG, with matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.report import MICRO, MILLI, Column, numbers, parts, throughput, value
from benchmarks.systems import ROWS

mpl.use("Agg")
mpl.rcParams.update(
    {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}
)
PALETTE = (
    *("#d1242f", "#1a7f37", "#57606a", "#0550ae", "#24292f", "#ff8f73"),
    *("#f2b5d4", "#afb8c1", "#0969da", "#6e7781", "#8250df", "#bf8700"),
)
LEAST = "hiredis"
"""The system that does the least a turn can take."""
STALL = 5
"""Milliseconds that one command may keep the server."""
COLOURS = dict(zip((row.name for row in ROWS), PALETTE, strict=True))


def draw(result: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the plots of `run` for which it measured enough; return their files."""
    plots = {
        "turn": ({"turn/10", "turn/50"}, _turns),
        "at-once": ({"turn/50", "at_once/10", "at_once/50"}, _at_once),
        "operations": ({"read/50", "append/50", "memory", "start"}, _operations),
        "parts": ({"application/50"}, _parts),
    }
    size, measured = result["size"], set(result["scenarios"])
    return [plot(result, folder / f"{size}-{name}.png") for name, (needed, plot) in plots.items() if needed <= measured]


def save(figure: Any, file: Path, machine: dict[str, Any]) -> Path:
    """Write a figure with a line about where it was measured."""
    where = f"{machine['server']}, Python {machine['python']}, {machine['cpu']}, {machine['cores']} cores"
    figure.text(0.995, 0.005, f"{where}, {machine['date']}", ha="right", va="bottom", fontsize=6, color="#57606a")
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(file, dpi=150)
    plt.close(figure)
    return file


def draw_scaling(result: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the plot of `scaling`; return its file."""
    panels = {
        "turn": ("A turn", "messages of history"),
        "last20": ("Reading the last 20 messages", "messages of history"),
        "sessions": ("A turn among many sessions", "sessions in the server"),
    }
    figure, grid = plt.subplots(1, 3, figsize=(13, 4.2))
    for axes, (prefix, (title, across)) in zip(grid, panels.items(), strict=True):
        _curves(axes, result, prefix)
        axes.set(xlabel=across, ylabel="ms (median, quartiles)")
        axes.set_title(title, loc="left")
    grid[0].legend(frameon=False, fontsize=8)
    return [save(figure, folder / "scaling.png", result["machine"])]


def draw_stalls(result: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the plot of `stalls`; return its file."""
    figure, grid = plt.subplots(1, 2, figsize=(13, 4.8), sharey=True)
    for axes, of in zip(grid, ("messages", "sessions of a user"), strict=True):
        table = {int(length): found for length, found in result[f"milliseconds by {of}"].items()}
        names = list(dict.fromkeys(name for found in table.values() for name in found))
        for name, colour in zip(names, mpl.color_sequences["tab20"], strict=False):
            points = [(length, found[name]) for length, found in table.items() if name in found]
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colour, label=name)
        axes.axhline(STALL, color="#24292f", linestyle="--", linewidth=1)
        axes.set(xscale="log", yscale="log", xlabel=of, ylabel="ms")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.legend(frameon=False, fontsize=6, loc="upper left", bbox_to_anchor=(1, 1))
    grid[0].set_title(f"The longest time that one command keeps the server (dashed: {STALL} ms)", loc="left")
    return [save(figure, folder / "stalls.png", result["machine"])]


def _parts(result: dict[str, Any], file: Path) -> Path:
    """Draw the CPU of a turn by parts, of systems that one thread serves, and where the least of all ends."""
    figure, grid = plt.subplots(1, 2, figsize=(12, 3.8), sharey=True)
    for axes, prefix, title in zip(grid, ("", "frozen_"), ("as it is", "with gc.freeze()"), strict=True):
        named = parts(prefix)
        names = [name for name in result["systems"] if value(result, named[-1][1], name) is not None]
        left = dict.fromkeys(names, 0.0)
        for (part, column), colour in zip(named, mpl.color_sequences["tab10"], strict=False):
            widths = {name: value(result, column, name) or 0.0 for name in names}
            axes.barh(names, list(widths.values()), left=list(left.values()), color=colour, label=part)
            left = {name: left[name] + widths[name] for name in names}
        if least := left.get(LEAST):
            axes.axvline(least, color="#24292f", linestyle="--", linewidth=1)
            for name, total in left.items():
                axes.text(total, names.index(name), f" {total / least:.1f}x", va="center", fontsize=7)
        axes.set(title=f"CPU a turn, us, {title}", xlim=(0, 1.1 * max(left.values(), default=1)))
        axes.grid(visible=False, axis="y")
    grid[0].invert_yaxis()
    grid[1].legend(frameon=False, fontsize=7)
    return save(figure, file, result["machine"])


def _turns(result: dict[str, Any], file: Path) -> Path:
    figure, axes = plt.subplots(figsize=(7, 4.2))
    _curves(axes, result, "turn")
    axes.set(xlabel="messages of history", ylabel="ms a turn (median, quartiles)")
    axes.set_title("A turn alone: open, read the last 50 messages, append 2", loc="left")
    axes.legend(frameon=False, fontsize=8)
    return save(figure, file, result["machine"])


def _curves(axes: Axes, result: dict[str, Any], prefix: str) -> None:
    """Draw a line a system through all scenarios called `prefix/N`, on logarithmic axes."""
    lengths = numbers(result, prefix)
    for name in result["systems"]:
        columns = {n: Column("", f"{prefix}/{n}", factor=MILLI) for n in lengths}
        known = [n for n, column in columns.items() if value(result, column, name) is not None]
        middle, low, high = (
            [value(result, columns[n], name, part) or 0.0 for n in known] for part in ("median", "q1", "q3")
        )
        axes.plot(known, middle, marker="o", markersize=4, color=COLOURS[name], label=name)
        axes.fill_between(known, low, high, color=COLOURS[name], alpha=0.15, linewidth=0)
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(lengths, [f"{n:,}" for n in lengths])
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _at_once(result: dict[str, Any], file: Path) -> Path:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
    _groups(left, result, throughput(result, "per_second", 1))
    left.set_title("Turns a second, 50 messages of history (more is better)", loc="left")
    _groups(right, result, throughput(result, "cpu", MICRO))
    right.set_title("Client CPU a turn, us (less is better)", loc="left")
    right.legend(frameon=False, fontsize=7)
    return save(figure, file, result["machine"])


def _groups(axes: Axes, result: dict[str, Any], columns: list[Column]) -> None:
    columns = [column for column in columns if "seen" not in column.heading]
    systems = list(result["systems"])
    width = 0.85 / max(len(systems), 1)
    for index, name in enumerate(systems):
        heights = [value(result, column, name) or 0 for column in columns]
        at = [group + (index - (len(systems) - 1) / 2) * width for group in range(len(columns))]
        axes.bar(at, heights, width, color=COLOURS[name], label=name)
    axes.set_xticks(range(len(columns)), [column.heading for column in columns])
    axes.grid(visible=False, axis="x")


def _operations(result: dict[str, Any], file: Path) -> Path:
    most = max(numbers(result, "read"), default=50)
    panels = (
        (f"Read {most:,} messages, ms", Column("", f"read/{most}", factor=MILLI)),
        ("Append 2 messages, ms", Column("", "append/50", factor=MILLI)),
        ("Server bytes a message", Column("", "memory", "bytes", 1)),
        ("Import and first turn, ms", Column("", "start", "import", MILLI)),
    )
    figure, grid = plt.subplots(2, 2, figsize=(10, 5.6))
    for axes, (title, column) in zip(grid.flat, panels, strict=True):
        first_turn = Column("", "start", "first_turn", MILLI) if column.scenario == "start" else None
        _bars(axes, result, column, first_turn)
        axes.set_title(title, loc="left")
    return save(figure, file, result["machine"])


def _bars(axes: Axes, result: dict[str, Any], column: Column, more: Column | None) -> None:
    known = [(name, found) for name in result["systems"] if (found := value(result, column, name)) is not None]
    names = [name for name, _ in known]
    lengths = [length for _, length in known]
    axes.barh(names, lengths, color=[COLOURS[name] for name in names])
    if more is not None:
        added = [value(result, more, name) or 0 for name in names]
        axes.barh(names, added, left=lengths, color="#24292f", label="first turn")
        lengths = [length + one for length, one in zip(lengths, added, strict=True)]
        axes.legend(frameon=False, fontsize=7)
    for row, length in enumerate(lengths):
        axes.text(length, row, f" {length:,.0f}" if length >= 10 else f" {length:,.2f}", va="center", fontsize=7)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.grid(visible=False, axis="y")
