"""Sessions as Markdown, for people. Contents are quoted, so that no text can imitate another message."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from chatmem import Entry, SessionInfo
from chatmem.cli.terminal import clean, content_of, one_line, plain

_MARKS = re.compile(r"([\\`*_\[\]<>#])")


def markdown(info: SessionInfo, entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the Markdown of a session, message by message."""
    yield f"# {_literal(info.title or info.session_id)}\n\n"
    yield f"Session {_literal(info.session_id)}" + (f" of {_literal(info.user)}" if info.user else "") + "\n\n"
    for entry in entries:
        yield from _message(entry)


def _message(entry: Entry) -> Iterator[str]:
    message = entry.message
    role = getattr(message, "role", message.type) if message is not None else ""
    name = f" {_literal(message.name)}" if message is not None and message.name else ""
    time = f", {entry.created_at:%Y-%m-%d %H:%M:%S} UTC" if entry.created_at else ""
    yield f"## {_literal(role)}{name}{time}\n\n"
    if message is not None and (content := content_of(message)):
        yield _quoted(content)
    for call in getattr(message, "tool_calls", ()):
        yield f"calls {_literal(call['name'])}:\n\n" + _quoted(_fenced(call["args"]))
    for call in getattr(message, "invalid_tool_calls", ()):
        yield f"calls {_literal(call['name'])} (not a valid call):\n\n" + _quoted(_fenced(call["args"]))


def _quoted(text: str) -> str:
    return "".join(f"> {line}".rstrip() + "\n" for line in text.split("\n")) + "\n"


def _fenced(value: Any) -> str:
    text = clean(json.dumps(plain(value), default=str, ensure_ascii=False, indent=2))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}json\n{text}\n{fence}"


def _literal(text: object) -> str:
    return _MARKS.sub(r"\\\1", one_line(text))
