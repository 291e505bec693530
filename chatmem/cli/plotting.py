"""The charts of `chatmem stats` as a picture, drawn by matplotlib."""

from __future__ import annotations

from pathlib import Path

from chatmem.cli.charts import byte_size, distributions
from chatmem.cli.counts import Stats
from chatmem.cli.terminal import plural
from chatmem.errors import UnsupportedError

try:
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    raise UnsupportedError("--plot needs a package that is not installed: pip install 'chatmem-redis[plot]'") from error


def draw(found: Stats, file: Path) -> None:
    """Write the charts into a file, in the format that its name ends with.

    Raises:
        OSError: the file cannot be written.
        ValueError: matplotlib cannot write this format.
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
    figure.suptitle(f"{plural(found.sessions, 'session')}, {plural(found.messages, 'message')}{size}")
    figure.savefig(file, dpi=120)
