"""`chatmem import`: conversations in OpenAI's format, each stored by one append."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from chatmem.cli.text import console, one_line
from chatmem.errors import ConflictError, EncodingError
from chatmem.sync import ChatMemory

_GZIP = b"\x1f\x8b"


class Import:
    """One import; counts what becomes of each conversation."""

    def __init__(self, memory: ChatMemory, *, prefix: str, append: bool) -> None:
        self._memory = memory
        self._prefix = prefix
        self._append = append
        self._err = console(stderr=True)
        self.conversations = self.messages = self.already = self.skipped = 0

    def run(self, file: Path) -> bool:
        """Store the file's conversations; return whether all of them are stored now.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is damaged gzip.
        """
        rows = list(_rows(_read(file), file))
        if self._err.is_terminal:
            columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with Progress(*columns, console=self._err) as progress:
                self._store_all(progress.track(rows))
        else:
            self._store_all(rows)
        self._report()
        return self.skipped == 0

    def _store_all(self, rows: Iterable[tuple[str, Any]]) -> None:
        for place, row in rows:
            try:
                self._store(*_parse(row))
            except _BadLineError as bad:
                self.skipped += 1
                self._err.print(f"{place}: {one_line(bad)}", style="red", soft_wrap=True)

    def _store(self, session: str, messages: list[BaseMessage], digest: str) -> None:
        history = self._memory.history(self._prefix + session)
        # expected version 0: the session must be new, unless it is this very import that made it
        expected = None if self._append else 0
        try:
            done = history.append(*messages, idempotency_key=f"import-{digest}", expected_version=expected)
        except ConflictError:
            raise _BadLineError(f"session {history.session_id!r} holds something else: --append adds to it") from None
        except (EncodingError, ValueError) as error:
            raise _BadLineError(str(error)) from None
        if done.duplicates == len(messages):
            self.already += 1
        else:
            self.conversations += 1
            self.messages += len(messages) - done.duplicates

    def _report(self) -> None:
        text = f"{self.conversations} conversations, {self.messages} messages stored"
        text += f", {self.already} already there" if self.already else ""
        text += f", {self.skipped} skipped" if self.skipped else ""
        console().print(text)


class _BadLineError(Exception):
    """A conversation that cannot be stored, and why."""


def _read(file: Path) -> bytes:
    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file} is damaged gzip: {error}") from None


def _rows(data: bytes, file: Path) -> Iterator[tuple[str, Any]]:
    """Yield each conversation and where it is: a line of JSONL, an item of a JSON array, or one JSON object.

    Lines end at a newline only: text in JSON may hold U+2028 and others that `splitlines` takes for ends.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        yield from ((f"line {number}", line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip())
        return
    if isinstance(whole, list):
        yield from ((f"item {number}", item) for number, item in enumerate(whole, 1))
    else:
        yield "line 1", _with_id(whole, file)


def _with_id(whole: Any, file: Path) -> Any:
    """Name a conversation without an id for its file, which it has for itself: two of them would be mixed up."""
    if isinstance(whole, dict) and "id" not in whole and str(file) != "-":
        return {"id": file.name.split(".")[0], **whole}
    return whole


def _parse(row: Any) -> tuple[str, list[BaseMessage], str]:
    try:
        conversation = json.loads(row) if isinstance(row, bytes) else row
    except (ValueError, RecursionError) as error:
        raise _BadLineError(f"no JSON: {error}") from None
    if not isinstance(conversation, dict) or not isinstance(conversation.get("messages"), list):
        raise _BadLineError('no conversation: it must be {"id": ..., "messages": [...]}')
    session = conversation.get("id")
    if not isinstance(session, str) or not session:
        raise _BadLineError('no "id", which must be a string')
    given = conversation["messages"]
    if not given:
        raise _BadLineError("no messages in it")
    messages = [_message(number, value) for number, value in enumerate(given, 1)]
    return session, messages, hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:32]


def _message(number: int, value: Any) -> BaseMessage:
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        raise _BadLineError(f"message {number} is no object with a role")
    if value["role"] == "assistant":  # where it calls tools, OpenAI lets its content be absent
        value = {"content": None, **value}
    try:
        (message,) = convert_to_messages([value])
    except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
        reason = re.split("For (?:troubleshooting|further information)", str(error))[0]
        raise _BadLineError(f"message {number} is not in OpenAI's format: {reason}") from None
    except KeyError as error:
        raise _BadLineError(f"message {number} is not in OpenAI's format: it lacks {error}") from None
    return message
