"""`chatmem show`: a conversation on the terminal or as JSON lines, read in slices."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from langchain_core.messages import BaseMessage, message_to_dict
from rich.text import Text

from chatmem import Entry
from chatmem.cli.text import clean, console, content_of, one_line
from chatmem.reading import LARGEST_PAGE
from chatmem.sync import History

_STYLES = {"human": "green", "ai": "cyan", "system": "magenta", "tool": "yellow"}


def show(history: History, *, last: int | None, as_json: bool) -> None:
    """Print the session's messages.

    Raises:
        ValueError: there is no such session.
    """
    if history.count() == 0:
        raise ValueError(f"no session {history.session_id!r}")
    entries: Iterable[Entry] = history.entries() if last is None else _last(history, last)
    out = console()
    for entry in entries:
        if as_json:
            print(json.dumps(_plain(_as_dict(entry)), default=str, allow_nan=False))  # noqa: T201 - for another program
        else:
            out.print(_as_text(entry), soft_wrap=True)


def _last(history: History, count: int) -> list[Entry]:
    entries: list[Entry] = []
    before = None
    while len(entries) < count:
        page = history.page(before=before, limit=min(count - len(entries), LARGEST_PAGE))
        entries += page.entries
        before = page.next
        if before is None:
            break
    return entries[::-1]


def _as_dict(entry: Entry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "id": entry.id,
        "created_at": entry.created_at and entry.created_at.isoformat(),
        "type": entry.message.type if entry.message is not None else None,
        "message": message_to_dict(entry.message) if entry.message is not None else None,
        "error": entry.error and str(entry.error),
    }


def _plain(value: Any) -> Any:
    """Return the value with what JSON has no word for as text: keys that are no strings, NaN, infinities."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _as_text(entry: Entry) -> Text:
    time = entry.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if entry.created_at else "(no time)"
    head = Text(f"{entry.seq:>4} {time} ", style="dim")
    if entry.message is None:
        return head + Text(f"unreadable: {one_line(entry.error)}", style="red")
    message = entry.message
    line = head + Text(
        one_line(getattr(message, "role", message.type)), style=f"bold {_STYLES.get(message.type, 'white')}"
    )
    for note in _notes(entry, message):
        line += Text(f" {one_line(note)}", style="dim")
    if content := content_of(message):
        line += Text("\n     " + content.replace("\n", "\n     "))
    for call in getattr(message, "tool_calls", ()):
        arguments = json.dumps(_plain(call["args"]), default=str, ensure_ascii=False)
        line += Text("\n     -> " + f"{one_line(call['name'])}({clean(arguments)})", style="yellow")
    for call in getattr(message, "invalid_tool_calls", ()):
        line += Text("\n     -> invalid: " + one_line(f"{call['name']}({call['args']})"), style="red")
    return line


def _notes(entry: Entry, message: BaseMessage) -> Iterable[str]:
    if message.name:
        yield message.name
    if status := getattr(message, "status", None):
        yield f"[{status}]"
    if entry.id:
        yield f"id {entry.id}"
