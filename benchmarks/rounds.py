"""Rounds: all systems one after another in shuffled order, again and again; then medians, quartiles and ratios."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.environments import AbsentError

Figures = dict[str, float]
BASES = ("chatmem", "chatmem sync")
"""What the ratios are to."""


def alternate(
    ask: dict[str, Callable[[], Figures]], *, rounds: int, warm_up: int = 1, shuffle: random.Random
) -> tuple[dict[str, list[Figures]], dict[str, str]]:
    """Ask every system once a round, in another order each round; the first rounds do not count.

    Returns:
        The figures of each system, a round each, and why systems are missing from them.
    """
    figures: dict[str, list[Figures]] = {name: [] for name in ask}
    absent: dict[str, str] = {}
    for number in range(-warm_up, rounds):
        order = [name for name in ask if name not in absent]
        shuffle.shuffle(order)
        for name in order:
            try:
                measured = ask[name]()
            except AbsentError as error:
                absent[name] = str(error)
                del figures[name]
            else:
                if number >= 0:
                    figures[name].append(measured)
    return figures, absent


def summary(figures: dict[str, list[Figures]]) -> dict[str, Any]:
    """Return, for each system and metric, median, quartiles, extremes, and median ratio to the bases' in the round."""
    return {
        name: {metric: _metric(figures, name, metric) for metric in rounds[0]}
        for name, rounds in figures.items()
        if rounds
    }


def _metric(figures: dict[str, list[Figures]], name: str, metric: str) -> dict[str, Any]:
    values = [one[metric] for one in figures[name]]
    low, middle, high = _quartiles(values)
    ratios = {
        base: statistics.median(ours / theirs[metric] for ours, theirs in zip(values, figures[base], strict=True))
        for base in BASES
        if base in figures and all(one.get(metric) for one in figures[base])
    }
    return {"median": middle, "q1": low, "q3": high, "min": min(values), "max": max(values), "ratio_to": ratios}


def _quartiles(values: Sequence[float]) -> list[float]:
    if len(values) == 1:
        return [values[0]] * 3
    return statistics.quantiles(values, n=4, method="inclusive")
