"""`chatmem show`: a session as text or as JSON lines, read page by page."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from langchain_core.messages import BaseMessage, message_to_dict
from rich.text import Text

from chatmem import Entry
from chatmem.cli.store import Store
from chatmem.cli.terminal import clean, console, content_of, one_line, plain, print_json
from chatmem.cli.wrapping import print_wrapped
from chatmem.core.branches import Tree, forks_of, parsed, with_siblings
from chatmem.core.reader import LARGEST_PAGE
from chatmem.sync import History
from chatmem.transports.driving import drive, iterate

INDENT = 5
"""Columns by which contents are indented under the first line of their message."""
_STYLES = {"human": "green", "ai": "cyan", "system": "magenta", "tool": "yellow"}


def show(store: Store, session: str, *, last: int | None, branch: int | None, as_json: bool) -> None:
    """Print the messages of the session's active branch, or of another one.

    Raises:
        ValueError: there is no such session or branch, or nothing in it.
    """
    history = store.memory.history(session)
    tree = _tree(store, session)
    if tree is None and (branch or history.count() == 0):
        raise ValueError(f"no branch {branch} in session {session!r}" if branch else f"no session {session!r}")
    entries: Iterable[Entry]
    if last is not None and (tree is None or branch in (None, tree.active)):
        entries = last_of(history, last)
    else:
        entries = history.entries() if tree is None else _of_branch(store, session, tree, branch)
        entries = entries if last is None else deque(entries, last)
    out = console()
    for entry in entries:
        if as_json:
            print_json(as_dict(entry))
        else:
            print_wrapped(out, head_of(entry) + body_of(entry), INDENT)
        if entry.error is not None:
            store.problems.report(entry.error)


def _tree(store: Store, session: str) -> Tree | None:
    """Return the branches of a session; None if it has but one."""
    reader = store.reader(session)
    answer, _ = drive(reader.ask(reader.session.reads.branches()))
    return parsed(answer.branches) if answer.branches else None


def _of_branch(store: Store, session: str, tree: Tree, branch: int | None) -> Iterator[Entry]:
    """Yield the entries of a branch, with their siblings."""
    number = tree.active if branch is None else branch
    ranges = [one.ranges for one in tree.branches if one.number == number]
    if not ranges:
        numbers = ", ".join(str(one.number) for one in tree.branches)
        raise ValueError(f"no branch {number} in session {session!r}: it has {numbers}")
    before = -1
    for entry, _ in iterate(store.reader(session).stored(all_branches=True)):
        if any(first <= entry.seq <= last for first, last in ranges[0]):
            yield from with_siblings([entry], before, forks_of(tree._replace(active=number)))
            before = entry.seq


def last_of(history: History, count: int) -> list[Entry]:
    """Return the last `count` entries, oldest first."""
    entries: list[Entry] = []
    before = None
    while len(entries) < count:
        page = history.page(before=before, limit=min(count - len(entries), LARGEST_PAGE))
        entries += page.entries
        before = page.next
        if before is None:
            break
    return entries[::-1]


def as_dict(entry: Entry) -> dict[str, Any]:
    """Return an entry as `--json` prints it."""
    return {
        "seq": entry.seq,
        "id": entry.id,
        "created_at": entry.created_at and entry.created_at.isoformat(),
        "type": entry.message.type if entry.message is not None else None,
        "message": message_to_dict(entry.message) if entry.message is not None else None,
        "error": entry.error and str(entry.error),
        "siblings": entry.siblings and asdict(entry.siblings),
        "annotations": entry.annotations,
    }


def head_of(entry: Entry) -> Text:
    """Return the first line of an entry: position, time, role, name, status and id."""
    time = entry.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if entry.created_at else "(no time)"
    head = Text() + Text(f"{entry.seq:>4} {time} ", style="dim")
    if entry.message is None:
        return head + Text(f"unreadable: {one_line(entry.error)}", style="red")
    message = entry.message
    role = one_line(getattr(message, "role", message.type))
    head += Text(role, style=f"bold {_STYLES.get(message.type, 'white')}")
    for note in _notes(entry, message):
        head += Text(f" {one_line(note)}", style="dim")
    return head


def body_of(entry: Entry) -> Text:
    """Return the content and the tool calls of an entry, not indented; each part begins with a line break."""
    body = Text()
    message = entry.message
    if message is None:
        return body
    if content := content_of(message):
        body += Text("\n" + content)
    for call in getattr(message, "tool_calls", ()):
        arguments = json.dumps(plain(call["args"]), default=str, ensure_ascii=False)
        body += Text(f"\n-> {one_line(call['name'])}({clean(arguments)})", style="yellow")
    for call in getattr(message, "invalid_tool_calls", ()):
        body += Text("\n-> invalid: " + one_line(f"{call['name']}({call['args']})"), style="red")
    for name, value in entry.annotations.items():
        text = json.dumps(value, ensure_ascii=False)
        body += Text(f"\n* {one_line(name)}: {clean(text)}", style="dim")
    return body


def _notes(entry: Entry, message: BaseMessage) -> Iterable[str]:
    if message.name:
        yield message.name
    if status := getattr(message, "status", None):
        yield f"[{status}]"
    if entry.id:
        yield f"id {entry.id}"
    if entry.siblings:
        place, branches = entry.siblings.index + 1, entry.siblings.branches
        yield f"({place} of {len(branches)}: branches {', '.join(map(str, branches))})"
