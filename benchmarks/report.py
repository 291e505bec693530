"""The tables of a run, in Markdown, so that they can be pasted as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.parts import SAMPLED

MICRO = 1e6
MILLI = 1e3


@dataclass(frozen=True)
class Column:
    """One column: a metric of a scenario, in a unit."""

    heading: str
    scenario: str
    metric: str = "p50"
    factor: float = MICRO
    beside: str | None = None
    """A metric that stands behind it, after a stroke."""


def value(result: dict[str, Any], column: Column, system: str, part: str = "median") -> float | None:
    """Return what a system has in a column, in the column's unit; None where it was not measured."""
    measured = result["scenarios"].get(column.scenario, {"systems": {}})["systems"].get(system, {})
    return float(measured[column.metric][part]) * column.factor if column.metric in measured else None


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
    return [Column(f"{n:,} messages", f"turn/{n}", beside="p99") for n in numbers(result, "turn")]


def waiting(result: dict[str, Any]) -> list[Column]:
    """Return the latency of turns at once, by their number."""
    return [Column(f"{n:,} at once", f"at_once/{n}", beside="p99") for n in numbers(result, "at_once")]


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


def parts(prefix: str = "") -> list[tuple[str, Column]]:
    """Return the parts of a turn's CPU, of 50 turns at once in a chat server's process, with what they are."""
    heads = {"server_cpu": "server", "kernel": "kernel", "collector": "collector", **dict.fromkeys(SAMPLED, "")}
    return [
        (head or metric, Column(head or metric, "application/50", prefix + metric)) for metric, head in heads.items()
    ]


def alone(result: dict[str, Any]) -> list[Column]:
    """Return the operations by themselves."""
    return [
        *(Column(f"read {n:,}, us", f"read/{n}", beside="p99") for n in numbers(result, "read")),
        Column("append 2, us", "append/50", beside="p99"),
        *(Column(f"last 20 of {n:,}, us", f"last20/{n}", beside="p99") for n in numbers(result, "last20")),
    ]


def held() -> list[Column]:
    """Return what a session and a new process take."""
    return [
        Column("server bytes a message", "memory", "bytes", 1),
        Column("import, ms", "start", "import", MILLI),
        Column("first turn, ms", "start", "first_turn", MILLI),
        Column("memory of the process, MB", "start", "resident", 1e-6),
    ]


def beside() -> list[Column]:
    """Return the appends with and without large reads beside them."""
    return [
        Column(f"{words}, us", scenario, beside="p99")
        for words, scenario in (("alone", "appends_alone"), ("beside 5 MB reads", "appends_beside_reads"))
    ]


def show(result: dict[str, Any], console: Console | None = None) -> None:
    """Print all tables."""
    console = console or Console(width=250)
    console.print(", ".join(f"{key} {text}" for key, text in result["machine"].items()))
    _table(console, result, "A turn alone, us: median / 99th percentile", turns(result))
    _table(console, result, "A turn among others, us: median / 99th percentile", waiting(result))
    _table(console, result, "Turns a second, 50 messages of history", throughput(result, "per_second", 1))
    _table(console, result, "Client CPU a turn, us", throughput(result, "cpu", MICRO))
    _table(console, result, "Server CPU a turn, us", throughput(result, "server_cpu", MICRO))
    _table(console, result, "Turns a second in a chat server's process", application("per_second", 1))
    _table(console, result, "Client CPU a turn in that process, us", application("cpu", MICRO))
    _table(console, result, "The garbage collector's part of it, us", application("collector", MICRO))
    _table(console, result, "The collector's longest pause, ms", application("longest_pause", MILLI))
    _table(console, result, "CPU a turn by parts in that process, us", [column for _, column in parts()])
    _table(console, result, "The same with gc.freeze(), us", [column for _, column in parts("frozen_")])
    _table(console, result, "One operation: median / 99th percentile", alone(result))
    _table(console, result, "Small appends, one after another: median / 99th percentile", beside())
    _table(console, result, "What a session and a new process take", held())
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


def _table(console: Console, result: dict[str, Any], title: str, columns: Sequence[Column]) -> None:
    def cell(system: str, column: Column) -> str:
        found = [value(result, column, system)]
        if column.beside is not None:
            found.append(value(result, replace(column, metric=column.beside), system))
        return " / ".join("-" if one is None else f"{one:,.0f}" for one in found)

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
        if not set(cells) <= {"-", "- / -"}:
            table.add_row(system, *cells)
    if table.row_count:
        console.print(table)
