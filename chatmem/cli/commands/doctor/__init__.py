"""`chatmem doctor`: checks a server, its settings and the sessions in it, and advises what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.text import Text

from chatmem.cli.commands.doctor.finding import Finding, Level
from chatmem.cli.commands.doctor.rights import check_rights
from chatmem.cli.commands.doctor.server import check_server
from chatmem.cli.commands.doctor.sessions import check_index, check_sessions
from chatmem.cli.store import Store
from chatmem.cli.terminal import console, one_line, plural, print_json
from chatmem.cli.wrapping import print_wrapped
from chatmem.errors import ChatMemError

_STYLES = {Level.OK: "green", Level.UNKNOWN: "dim", Level.WARNING: "yellow", Level.ERROR: "bold red"}
_INDENT, _NARROW_INDENT = 21, 4
_NARROW = 60
"""Terminals of fewer columns get the narrow indent."""


def doctor(store: Store, *, match: str | None, limit: int, fix: bool, as_json: bool) -> bool:
    """Print the findings; return whether none of them is an error.

    Args:
        store: the store to check.
        match: a glob that the sessions' ids match; None for all sessions and the users' indexes.
        limit: the messages of how many sessions to read.
        fix: whether to repair what can be repaired.
        as_json: whether to print each finding as one JSON object.
    """
    levels = Counter[Level]()
    for finding in _findings(store, match, limit, fix=fix):
        levels[finding.level] += 1
        if as_json:
            print_json(finding._asdict())
        else:
            _print(finding)
    if not as_json:
        errors, warnings = plural(levels[Level.ERROR], "error"), plural(levels[Level.WARNING], "warning")
        console().print(f"{errors}, {warnings}", style="bold")
    return not levels[Level.ERROR]


def _findings(store: Store, match: str | None, limit: int, *, fix: bool) -> Iterator[Finding]:
    try:
        store.memory.ping()
    except ChatMemError as error:
        advice = "check the URL (--url, CHATMEM_URL), the user and the password, and whether the server runs"
        yield Finding("connection", Level.ERROR, str(error), advice)
        return
    server = list(check_server(store))
    yield from server
    if any(one.check == "role" and one.level == Level.ERROR for one in server):  # each refusal would be tried again
        yield Finding("rights", Level.UNKNOWN, "not checked: this server takes no writes", "use the URL of the master")
    else:
        yield from check_rights(store)
    try:
        yield from check_sessions(store, match or "*", limit, fix=fix)
        if match is None:
            yield from check_index(store, fix=fix)
    except ChatMemError as error:
        yield Finding("sessions", Level.UNKNOWN, f"not checked: {error}", "run the doctor as a user who may SCAN")


def _print(finding: Finding) -> None:
    out = console()
    indent = _NARROW_INDENT if out.is_terminal and out.width < _NARROW else _INDENT
    level = Text(f"{finding.level.value:<8}", style=_STYLES[finding.level])
    text = Text() + level + Text(f"{finding.check:<12} ", style="bold") + Text(one_line(finding.text))
    if finding.advice:
        text += Text("\n" + one_line(finding.advice), style="italic")
    print_wrapped(out, text, indent)
