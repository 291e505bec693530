"""`chatmem migrate`: reads all source sessions first, then moves them one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from chatmem.backends.admin import Server
from chatmem.backends.connection import connection_to
from chatmem.cli.owners import Owners
from chatmem.cli.progress import track
from chatmem.cli.terminal import clean, console, one_line, plural, print_json
from chatmem.migrate.content import Source, Unreadable
from chatmem.migrate.layouts import KINDS
from chatmem.migrate.migration import Migration, Outcome
from chatmem.transports.driving import drive

_NAMED = 20
"""How many unreadable records of a session, and how many skipped keys of one kind, are named."""


class Migrate:
    """One migration. It counts what becomes of each session."""

    def __init__(self, migration: Migration, owners: Owners, *, as_json: bool) -> None:
        self._migration = migration
        self._owners = owners
        self._as_json = as_json
        self._left: dict[str, list[bytes]] = {}
        self._out, self._err = console(), console(stderr=True)

    def run(self, match: str, *, dry_run: bool, delete_source: bool, confirm: Callable[[str], bool]) -> bool:
        """Read the sources, ask, and move; return whether all sources could be read and are now at the target.

        Args:
            match: a glob that the sessions' ids match.
            dry_run: whether to stop after reading.
            delete_source: whether to delete each source once its copy is verified.
            confirm: asks for confirmation; returns whether to go on.
        """
        sources = sorted(self._find(match))
        looked = self._each("reading", self._migration.look, sources)
        self._print_left()
        self._print_unowned(sources)
        whole = self._report(looked) and not self._left
        moving = ("new", "unowned", "there") if delete_source else ("new", "unowned")
        wanted = [] if dry_run else [one.source for one in looked if one.status in moving]
        if not wanted:
            return whole
        what = f"move {plural(len(wanted), 'session')}" + (" and delete the source" if delete_source else "")
        if not confirm(what):
            self._err.print("nothing was moved", style="red")
            return False
        moved = self._each("moving", lambda source: self._migration.move(source, remove=delete_source), wanted)
        return self._report(moved, quiet=[one for one in looked if one.unreadable]) and whole

    def _find(self, match: str) -> Iterator[Source]:
        for one in self._migration.find(match):
            if isinstance(one, Source):
                yield one
            else:
                self._left.setdefault(one.what, []).append(one.key)

    def _print_left(self) -> None:
        for what, keys in self._left.items():
            named = ", ".join(clean(key.decode("utf-8", "backslashreplace")) for key in sorted(keys)[:_NAMED])
            more = f", and {len(keys) - _NAMED:,} more" if len(keys) > _NAMED else ""
            self._err.print(f"left behind: {_KEYS.get(what, what)}: {named}{more}", style="red", soft_wrap=True)

    def _print_unowned(self, sources: Sequence[Source]) -> None:
        if count := sum(self._owners.lacks(source.session) for source in sources):
            text = f"{plural(count, 'session')} without an owner: not in the file of --users"
            self._err.print(text, style="yellow", soft_wrap=True)

    def _each(self, what: str, do: Callable[[Source], Outcome], sources: list[Source]) -> list[Outcome]:
        return [do(source) for source in track(sources, what, self._err)]

    def _report(self, outcomes: Sequence[Outcome], quiet: Sequence[Outcome] = ()) -> bool:
        """Print the sessions' problems and a summary; return whether there were no problems."""
        listed = {one.source for one in quiet}
        for one in outcomes:
            self._print(one, () if one.source in listed else one.unreadable)
        left = sum(map(len, self._left.values()))
        if self._as_json:
            print_json({**_counts(outcomes), "left": left})
        else:
            text = _summary(outcomes)
            self._out.print(f"{text}; {plural(left, 'key')} left behind" if left else text)
        return not any(one.unreadable or one.reason for one in outcomes)

    def _print(self, one: Outcome, unreadable: Sequence[Unreadable]) -> None:
        name = clean(one.source.name)
        for record in unreadable[:_NAMED]:
            key = clean(record.key.decode("utf-8", "backslashreplace"))
            self._err.print(
                f"unreadable: {key}, index {record.place}: {one_line(record.reason)}", style="red", soft_wrap=True
            )
        if len(unreadable) > _NAMED:
            self._err.print(f"unreadable: {name}: {len(unreadable) - _NAMED:,} more", style="red", soft_wrap=True)
        if one.reason:
            self._err.print(f"{one.status}: {name}: {one_line(one.reason)}", style="red", soft_wrap=True)


def _counts(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "sessions": dict(Counter(one.status for one in outcomes)),
        "messages": sum(one.messages for one in outcomes),
        "unreadable": sum(len(one.unreadable) for one in outcomes),
        "removed": sum(one.removed for one in outcomes),
        "bytes": sum(one.size for one in outcomes),
    }


def _summary(outcomes: Sequence[Outcome]) -> str:
    parts = []
    for status, text in _TEXTS.items():
        found = [one for one in outcomes if one.status == status]
        messages = f" ({plural(sum(one.messages for one in found), 'message')})" if status in ("new", "moved") else ""
        if found:
            parts.append(f"{plural(len(found), 'session')} {text}{messages}")
    if removed := sum(one.removed for one in outcomes):
        parts.append(f"{plural(removed, 'source')} deleted")
    if size := sum(one.size for one in outcomes):
        parts.append(f"{plural(size, 'byte')} read")
    return "; ".join(parts) or "no sessions found"


_TEXTS = {
    "new": "to move",
    "moved": "moved and verified",
    "there": "already there",
    "unowned": "already there, to get an owner",
    "owned": "given an owner",
    "conflict": "in conflict",
    "failed": "failed",
    "nothing": "without messages",
}


_KEYS = {
    "string": "strings",
    "list": "lists",
    "hash": "hashes",
    "set": "sets",
    "zset": "sorted sets",
    "stream": "streams",
    "ReJSON-RL": "JSON documents",
}
"""The types of keys that hold no session, by Redis' name."""


def migrate(
    source: str,
    *,
    token: str | None,
    layout: str,
    key_prefix: str | None,
    match: str | None,
    owners: Owners,
    url: str | None,
    prefix: str,
    dry_run: bool,
    delete_source: bool,
    confirm: Callable[[str], bool],
    as_json: bool,
) -> bool:
    """Move the sessions of a package; return whether all sources could be read and are now at the target.

    Raises:
        ValueError: an argument is wrong.
        UnavailableError: a server did not answer; another run resumes.
    """
    kind = KINDS[layout]
    if match is None and not (kind.prefix if key_prefix is None else key_prefix):
        raise ValueError(f"the keys of {layout} have no prefix: choose them with --match, such as --match 'chat-*'")
    server, target = Server(source, token), connection_to(url)
    try:
        made = kind.make(kind.prefix if key_prefix is None else key_prefix)
        work = Migrate(Migration(server, made, target, prefix, owners.of), owners, as_json=as_json)
        return work.run(match or "*", dry_run=dry_run, delete_source=delete_source, confirm=confirm)
    finally:
        server.close()
        drive(target.close())
