"""`chatmem sessions`: a list of sessions."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
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


def sessions(store: Store, *, user: str | None, match: str | None, limit: int | None, as_json: bool) -> None:
    """Print the sessions of a user, or all sessions, most recently written first."""
    infos = _newest(track(store.chosen(user, match), "reading", store.err), limit)
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


def _table(infos: Iterable[SessionInfo]) -> Table:
    listed = table("session", "user", "title", ">messages", ">written", ">expires in")
    for info in infos:
        written = ago(info.updated_at) if info.updated_at else ""
        left = "never" if info.ttl is None else span(info.ttl)
        add_row(listed, info.session_id, info.user, info.title, f"{info.count:,}", written, left)
    return listed


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
    print_wrapped(out, Text("  " + ", ".join(facts)), indent=2)


def as_dict(info: SessionInfo) -> dict[str, Any]:
    """Return a session's info as `--json` prints it."""
    return {**asdict(info), "created_at": _iso(info.created_at), "updated_at": _iso(info.updated_at)}


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
