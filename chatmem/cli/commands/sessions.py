"""`chatmem sessions`: a table of sessions."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from chatmem import SessionInfo
from chatmem.cli.progress import track
from chatmem.cli.store import Store
from chatmem.cli.terminal import add_row, ago, print_json, print_table, span, table


def sessions(store: Store, *, user: str | None, match: str | None, limit: int | None, as_json: bool) -> None:
    """Print what is known of a user's sessions, or of all, the one written last first."""
    found = track(store.chosen(user, match), "looking", store.err)
    infos = _newest(found, limit)
    if as_json:
        for info in infos:
            print_json(as_dict(info))
        return
    listed = table("session", "user", "title", ">messages", ">written", ">expires in")
    for info in infos:
        written = ago(info.updated_at) if info.updated_at else ""
        left = "never" if info.ttl is None else span(info.ttl)
        add_row(listed, info.session_id, info.user, info.title, f"{info.count:,}", written, left)
    if infos:
        print_table(listed)
    else:
        store.err.print("no session")


def _newest(infos: Iterable[SessionInfo], limit: int | None) -> list[SessionInfo]:
    if limit is None:
        return sorted(infos, key=_time, reverse=True)
    return heapq.nlargest(limit, infos, key=_time)


def _time(info: SessionInfo) -> float:
    return info.updated_at.timestamp() if info.updated_at else 0.0


def as_dict(info: SessionInfo) -> dict[str, Any]:
    """Return what is known of a session as `--json` prints it."""
    return {**asdict(info), "created_at": _written(info.created_at), "updated_at": _written(info.updated_at)}


def _written(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
