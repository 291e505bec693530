"""The tables of a run, in Markdown, so that they can be pasted as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

MICRO = 1e6
MILLI = 1e3


@dataclass(frozen=True)
class Column:
    """One column: a metric of a scenario, in a unit."""

    heading: str
    scenario: str
    metric: str = "p50"
    factor: float = MICRO


def value(result: dict[str, Any], column: Column, system: str, part: str = "median") -> float | None:
    """Return what a system has in a column, in the column's unit; None where it was not measured."""
    measured = result["scenarios"].get(column.scenario, {"systems": {}})["systems"].get(system)
    return None if measured is None else float(measured[column.metric][part]) * column.factor


def ratio(result: dict[str, Any], column: Column, system: str, base: str) -> float | None:
    """Return the median of a system's figure divided by the base's of the same round."""
    measured = result["scenarios"].get(column.scenario, {"systems": {}})["systems"].get(system)
    return None if measured is None else measured[column.metric]["ratio_to"].get(base)


def numbers(result: dict[str, Any], prefix: str) -> list[int]:
    """Return the N of all scenarios called `prefix/N`."""
    split = (name.split("/") for name in result["scenarios"])
    return sorted(int(rest[0]) for head, *rest in split if head == prefix and rest)


def turns(result: dict[str, Any]) -> list[Column]:
    """Return the latency of a turn alone, by the length of the history."""
    return [Column(f"{n:,} messages", f"turn/{n}") for n in numbers(result, "turn")]


def throughput(result: dict[str, Any], metric: str, factor: float) -> list[Column]:
    """Return a metric of turns at once, by their number; one at a time is the turn alone."""
    many = [Column(f"{n:,} at once", f"at_once/{n}", metric, factor) for n in numbers(result, "at_once")]
    seen = [Column(f"{n:,}, seen before", f"at_once_seen/{n}", metric, factor) for n in numbers(result, "at_once_seen")]
    return [Column("1 at once", "turn/50", metric, factor), *many, *seen]


def application(metric: str, factor: float) -> list[Column]:
    """Return a metric of 50 turns at once in a chat server's process, without and with `gc.freeze`."""
    return [
        Column("50 at once", "application/50", metric, factor),
        Column("with gc.freeze()", "application/50", f"frozen_{metric}", factor),
    ]


def alone(result: dict[str, Any]) -> list[Column]:
    """Return the operations by themselves, and what a session and a process cost."""
    return [
        *(Column(f"read {n:,}, us", f"read/{n}") for n in numbers(result, "read")),
        Column("append 2, us", "append/50"),
        *(Column(f"last 20 of {n:,}, us", f"last20/{n}") for n in numbers(result, "last20")),
        Column("server bytes a message", "memory", "bytes", 1),
        Column("import, ms", "start", "import", MILLI),
        Column("first turn, ms", "start", "first_turn", MILLI),
    ]


def beside() -> list[Column]:
    """Return the appends with and without large reads beside them."""
    return [
        Column(f"{metric}, {words}, us", scenario, metric)
        for metric in ("p50", "p99")
        for words, scenario in (("alone", "appends_alone"), ("beside 5 MB reads", "appends_beside_reads"))
    ]


def show(result: dict[str, Any], console: Console | None = None) -> None:
    """Print all tables."""
    console = console or Console(width=250)
    console.print(", ".join(f"{key} {text}" for key, text in result["machine"].items()))
    _table(console, result, "A turn alone, us (median; in brackets its quartiles)", turns(result), quartiles=True)
    _table(console, result, "Turns a second, 50 messages of history", throughput(result, "per_second", 1))
    _table(console, result, "Client CPU a turn, us", throughput(result, "cpu", MICRO))
    _table(console, result, "Server CPU a turn, us", throughput(result, "server_cpu", MICRO))
    _table(console, result, "Turns a second in a chat server's process", application("per_second", 1))
    _table(console, result, "Client CPU a turn in that process, us", application("cpu", MICRO))
    _table(console, result, "The garbage collector's part of it, us", application("collector", MICRO))
    _table(console, result, "The collector's longest pause, ms", application("longest_pause", MILLI))
    _table(console, result, "One operation", alone(result))
    _table(console, result, "Small appends, one after another", beside())
    _ratios(console, result, "chatmem")
    _ratios(console, result, "chatmem sync")
    for name, reason in {**result["absent"], **_failures(result)}.items():
        console.print(f"absent: {name}: {reason}")


def _failures(result: dict[str, Any]) -> dict[str, str]:
    return {
        f"{system} in {scenario}": reason
        for scenario, measured in result["scenarios"].items()
        for system, reason in measured["absent"].items()
    }


def _table(
    console: Console, result: dict[str, Any], title: str, columns: Sequence[Column], *, quartiles: bool = False
) -> None:
    def cell(system: str, column: Column) -> str:
        middle = value(result, column, system)
        if middle is None:
            return "-"
        low, high = (value(result, column, system, part) for part in ("q1", "q3"))
        return f"{middle:,.0f} [{low:,.0f}-{high:,.0f}]" if quartiles else f"{middle:,.0f}"

    _print(console, title, result, columns, cell)


def _ratios(console: Console, result: dict[str, Any], base: str) -> None:
    """Print what each system's cost is, in parts of the base's. Turns a second are turned round: more is worse."""

    def cell(system: str, column: Column) -> str:
        found = ratio(result, column, system, base)
        if not found:
            return "-"
        return f"{1 / found if column.metric.endswith('per_second') else found:.2f}"

    most = max(numbers(result, "read"), default=50)
    columns = [
        Column("turn alone, 50 messages", "turn/50"),
        Column("time a turn, 50 at once", "at_once/50", "per_second"),
        Column("the same, seen before", "at_once_seen/50", "per_second"),
        Column("the same, chat server", "application/50", "per_second"),
        Column("the same, gc.freeze()", "application/50", "frozen_per_second"),
        Column("CPU a turn, 50 at once", "at_once/50", "cpu"),
        Column(f"read {most:,}", f"read/{most}"),
        Column("append 2", "append/50"),
        Column("server bytes", "memory", "bytes"),
    ]
    if base in result["systems"]:
        _print(console, f"Cost in parts of that of {base}, median of the rounds' ratios", result, columns, cell)


def _print(
    console: Console,
    title: str,
    result: dict[str, Any],
    columns: Sequence[Column],
    cell: Callable[[str, Column], str],
) -> None:
    table = Table(title=title, box=box.MARKDOWN, title_justify="left")
    table.add_column("system", no_wrap=True)
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for system in result["systems"]:
        cells = [cell(system, column) for column in columns]
        if set(cells) != {"-"}:
            table.add_row(system, *cells)
    console.print(table)
