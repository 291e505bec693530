"""`chatmem show`: a conversation on the terminal or as JSON lines, read in slices."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from typing import Any

from langchain_core.messages import BaseMessage, message_to_dict
from rich.console import Console
from rich.text import Text

from chatmem import Entry
from chatmem.cli.text import clean, content_of
from chatmem.sync import History

_STYLES = {"human": "green", "ai": "cyan", "system": "magenta", "tool": "yellow"}


def show(history: History, *, last: int | None, as_json: bool) -> None:
    """Print the session's messages.

    Raises:
        ValueError: there is no such session.
    """
    if history.count() == 0:
        raise ValueError(f"no session {history.session_id!r}")
    entries: Iterable[Entry] = history.entries() if last is None else deque(history.entries(), maxlen=last)
    console = Console(highlight=False)
    for entry in entries:
        if as_json:
            print(json.dumps(_as_dict(entry), default=str))  # noqa: T201 - for another program
        else:
            console.print(_as_text(entry), soft_wrap=True)


def _as_dict(entry: Entry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "id": entry.id,
        "created_at": entry.created_at and entry.created_at.isoformat(),
        "message": message_to_dict(entry.message) if entry.message is not None else None,
        "error": entry.error and str(entry.error),
    }


def _as_text(entry: Entry) -> Text:
    time = entry.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if entry.created_at else "(no time)"
    head = Text(f"{entry.seq:>4} {time} ", style="dim")
    if entry.message is None:
        return head + Text(f"unreadable: {clean(entry.error)}", style="red")
    message = entry.message
    line = head + Text(clean(message.type), style=f"bold {_STYLES.get(message.type, 'white')}")
    for note in _notes(entry, message):
        line += Text(f" {clean(note)}", style="dim")
    if content := content_of(message):
        line += Text("\n     " + content.replace("\n", "\n     "))
    for call in getattr(message, "tool_calls", ()):
        arguments = clean(json.dumps(call["args"], default=str, ensure_ascii=False))
        line += Text(f"\n     -> {clean(call['name'])}({arguments})", style="yellow")
    return line


def _notes(entry: Entry, message: BaseMessage) -> Iterable[str]:
    if message.name:
        yield message.name
    if status := getattr(message, "status", None):
        yield f"[{status}]"
    if entry.id:
        yield f"id {entry.id}"
