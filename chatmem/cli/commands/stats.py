"""`chatmem stats`: how many sessions there are, how large, how old, and when they expire."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from chatmem import SessionInfo
from chatmem.cli.charts import print_stats
from chatmem.cli.counts import Distribution, Sized, Stats
from chatmem.cli.progress import track
from chatmem.cli.store import SLICE, Store, slices
from chatmem.cli.terminal import print_json
from chatmem.core.keys import session_keys
from chatmem.errors import ChatMemError


def stats(store: Store, *, match: str | None, largest: int, plot: Path | None, as_json: bool) -> None:
    """Print the numbers, and draw them into a file if one is given.

    Raises:
        UnsupportedError: a plot is wanted, but matplotlib is not installed.
    """
    if plot is not None:
        from chatmem.cli.plotting import draw  # noqa: PLC0415 - an extra
    found = Stats(largest)
    found.add(track(_sized(store, store.chosen(None, match)), "counting", store.err))
    if as_json:
        print_json(_as_dict(found))
    else:
        print_stats(found)
    if plot is not None:
        draw(found, plot)


def _sized(store: Store, infos: Iterable[SessionInfo]) -> Iterator[Sized]:
    allowed = True
    for part in slices(infos, SLICE):
        sizes: list[int | None] = [None] * len(part)
        if allowed:
            try:
                sizes = list(_sizes(store, part))
            except ChatMemError as error:
                allowed = False
                store.err.print(f"sizes are not known: MEMORY USAGE: {error}", style="yellow", soft_wrap=True)
        yield from map(Sized, part, sizes)


def _sizes(store: Store, infos: Sequence[SessionInfo]) -> Iterator[int]:
    keys = [key for info in infos for key in session_keys(store.policy.prefix, info.session_id)]
    replies = store.server.run(*(("MEMORY", "USAGE", key) for key in keys))
    for part in slices(replies, 3):
        yield sum(size or 0 for size in part)


def _as_dict(found: Stats) -> dict[str, Any]:
    return {
        "sessions": found.sessions,
        "messages": found.messages,
        "bytes": found.size if found.is_sized else None,
        "without_ttl": found.by_ttl.without,
        "users": len(found.users),
        "by_messages": _ranges(found.by_messages),
        "by_bytes": _ranges(found.by_size),
        "by_age": _ranges(found.by_age),
        "by_ttl": _ranges(found.by_ttl),
        "largest": [
            {"session": one.info.session_id, "messages": one.info.count, "bytes": one.size} for one in found.largest
        ],
        "busiest_users": [{"user": user, "messages": count} for user, count in found.users.most_common(10)],
    }


def _ranges(of: Distribution) -> list[dict[str, int | None]]:
    return [{"from": low, "below": high, "sessions": count} for low, high, count in of.ranges()]
