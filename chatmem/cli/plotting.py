"""The numbers of `chatmem stats` as a picture, by matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chatmem.cli.charts import byte_size, distributions
from chatmem.errors import UnsupportedError

try:
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    raise UnsupportedError("--plot needs a package that is not installed: pip install 'chatmem-redis[plot]'") from error

if TYPE_CHECKING:
    from chatmem.cli.commands.stats import Stats


def draw(found: Stats, file: Path) -> None:
    """Write a PNG, or what else the file's name ends with.

    Raises:
        OSError: the file cannot be written.
        ValueError: matplotlib writes no such files.
    """
    charts = list(distributions(found))
    figure = Figure(figsize=(10, 7), layout="constrained")
    for axes, (title, rows) in zip(figure.subplots(2, 2).flat, charts, strict=False):
        labels, counts = zip(*rows, strict=True)
        bars = axes.barh(range(len(rows)), counts, color="#3b7ea1")
        axes.set_yticks(range(len(rows)), labels)
        axes.bar_label(bars, [f"{count:,}" if count else "" for count in counts], padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set_title(title, loc="left")
        axes.set_xlabel("sessions")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in figure.axes[len(charts) :]:
        axes.remove()
    size = f", {byte_size(found.size)}" if found.is_sized else ""
    figure.suptitle(f"{found.sessions:,} sessions, {found.messages:,} messages{size}")
    figure.savefig(file, dpi=120)
