"""`chatmem show`: a session as text or as JSON lines, read page by page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from langchain_core.messages import BaseMessage, message_to_dict
from rich.text import Text

from chatmem import Entry
from chatmem.cli.store import Store
from chatmem.cli.terminal import clean, console, content_of, one_line, plain, print_json
from chatmem.cli.wrapping import print_wrapped
from chatmem.core.reader import LARGEST_PAGE
from chatmem.sync import History

INDENT = 5
"""Columns by which contents are indented under the first line of their message."""
_STYLES = {"human": "green", "ai": "cyan", "system": "magenta", "tool": "yellow"}


def show(store: Store, session: str, *, last: int | None, as_json: bool) -> None:
    """Print the session's messages.

    Raises:
        ValueError: there is no such session.
    """
    history = store.memory.history(session)
    if history.count() == 0:
        raise ValueError(f"no session {session!r}")
    entries: Iterable[Entry] = history.entries() if last is None else last_of(history, last)
    out = console()
    for entry in entries:
        if as_json:
            print_json(as_dict(entry))
        else:
            print_wrapped(out, head_of(entry) + body_of(entry), INDENT)
        if entry.error is not None:
            store.problems.report(entry.error)


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
    return body


def _notes(entry: Entry, message: BaseMessage) -> Iterable[str]:
    if message.name:
        yield message.name
    if status := getattr(message, "status", None):
        yield f"[{status}]"
    if entry.id:
        yield f"id {entry.id}"
