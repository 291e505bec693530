"""`chatmem sessions`: a list of sessions."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from chatmem import SessionInfo
from chatmem.cli.progress import track
from chatmem.cli.store import Store
from chatmem.cli.terminal import (
    add_row,
    ago,
    console,
    fits,
    one_line,
    plural,
    print_json,
    print_table,
    span,
    table,
)
from chatmem.cli.wrapping import print_wrapped
from chatmem.core.marks import Wanted


def sessions(
    store: Store, *, user: str | None, match: str | None, wanted: Wanted, limit: int | None, as_json: bool
) -> None:
    """Print the sessions of a user, or all sessions, most recently written first."""
    wanted.check()
    found = track(store.chosen(user, match), "reading", store.err)
    infos = _newest(filter(wanted.includes, found), limit)
    if as_json:
        for info in infos:
            print_json(as_dict(info))
    elif not infos:
        store.err.print("no sessions")
    elif fits(listed := _table(infos)):
        print_table(listed)
    else:
        for info in infos:
            _print_block(info)


def _newest(infos: Iterable[SessionInfo], limit: int | None) -> list[SessionInfo]:
    if limit is None:
        return sorted(infos, key=_time, reverse=True)
    return heapq.nlargest(limit, infos, key=_time)


def _time(info: SessionInfo) -> float:
    return info.updated_at.timestamp() if info.updated_at else 0.0


def _table(infos: Sequence[SessionInfo]) -> Table:
    marks = [_marks(info) for info in infos]
    last = ["marks"] if any(marks) else []
    listed = table("session", "user", "title", ">messages", ">written", ">expires in", *last)
    for info, mark in zip(infos, marks, strict=True):
        written = ago(info.updated_at) if info.updated_at else ""
        left = "never" if info.ttl is None else span(info.ttl)
        more = [mark] if any(marks) else []
        add_row(listed, info.session_id, info.user, info.title, f"{info.count:,}", written, left, *more)
    return listed


def _marks(info: SessionInfo) -> str:
    flags = ["archived"] * info.archived + ["pinned"] * info.pinned
    return ", ".join([*flags, *(f"tag {tag}" for tag in info.tags)])


def _print_block(info: SessionInfo) -> None:
    """Print a session on a terminal that is too narrow for the table: the id on a line of its own, then the rest."""
    out = console()
    out.print(Text(one_line(info.session_id), style="bold"), soft_wrap=True)
    facts = [plural(info.count, "message")]
    if info.updated_at:
        facts.append(f"written {ago(info.updated_at)}")
    facts.append("never expires" if info.ttl is None else f"expires in {span(info.ttl)}")
    if info.user:
        facts.append(f"user {one_line(info.user)}")
    if info.title:
        facts.append(f"title: {one_line(info.title)}")
    if marks := _marks(info):
        facts.append(one_line(marks))
    print_wrapped(out, Text("  " + ", ".join(facts)), indent=2)


def as_dict(info: SessionInfo) -> dict[str, Any]:
    """Return a session's info as `--json` prints it."""
    answers = [{**asdict(one), "started_at": _iso(one.started_at)} for one in info.answers]
    times = {"created_at": _iso(info.created_at), "updated_at": _iso(info.updated_at)}
    return {**asdict(info), **times, "answers": answers}


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
