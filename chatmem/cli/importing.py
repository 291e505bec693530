"""`chatmem import`: conversations in OpenAI's format, each stored by one append."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from langchain_core.messages import BaseMessage, convert_to_messages
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from chatmem.cli.text import clean
from chatmem.errors import ConflictError, EncodingError
from chatmem.sync import ChatMemory


class Import:
    """One import; counts what becomes of each conversation."""

    def __init__(self, memory: ChatMemory, *, prefix: str, append: bool) -> None:
        self._memory = memory
        self._prefix = prefix
        self._append = append
        self._err = Console(stderr=True, highlight=False, markup=False)
        self.conversations = self.messages = self.already = self.skipped = 0

    def run(self, file: Path) -> bool:
        """Store the file's conversations; return whether all of them are stored now.

        Raises:
            OSError: the file cannot be read.
        """
        with _open(file) as lines:
            rows = list(_rows(lines))
        if self._err.is_terminal:
            columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            with Progress(*columns, console=self._err) as progress:
                self._store_all(progress.track(rows), file)
        else:
            self._store_all(rows, file)
        self._report()
        return self.skipped == 0

    def _store_all(self, rows: Iterable[tuple[int, Any]], file: Path) -> None:
        for number, row in rows:
            try:
                self._store(*_parse(row, file))
            except _BadLineError as bad:
                self.skipped += 1
                self._err.print(f"line {number}: {clean(bad)}", style="red")

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
        Console(highlight=False).print(text)


class _BadLineError(Exception):
    """A conversation that cannot be stored, and why."""


@contextmanager
def _open(file: Path) -> Iterator[TextIO]:
    if str(file) == "-":
        yield sys.stdin
    elif file.suffix == ".gz":
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            yield stream
    else:
        with file.open(encoding="utf-8") as stream:
            yield stream


def _rows(lines: TextIO) -> Iterator[tuple[int, Any]]:
    """Yield each conversation with the number of its line: of JSONL, of a JSON array, or of one JSON object."""
    text = lines.read()
    try:
        whole = json.loads(text)
    except ValueError:
        yield from ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())
    else:
        yield from enumerate(whole if isinstance(whole, list) else [whole], 1)


def _parse(row: Any, file: Path) -> tuple[str, list[BaseMessage], str]:
    try:
        conversation = json.loads(row) if isinstance(row, str) else row
    except ValueError as error:
        raise _BadLineError(f"no JSON: {error}") from None
    if not isinstance(conversation, dict) or not isinstance(conversation.get("messages"), list):
        raise _BadLineError('no conversation: it must be {"id": ..., "messages": [...]}')
    session = conversation.get("id", file.name.split(".")[0] if str(file) != "-" else None)
    if not isinstance(session, str) or not session:
        raise _BadLineError('no "id", which must be a string')
    given = conversation["messages"]
    if not given:
        raise _BadLineError("no messages in it")
    try:
        messages = convert_to_messages(given)
    except (ValueError, TypeError, NotImplementedError, KeyError, AttributeError) as error:
        raise _BadLineError(f"not OpenAI's format: {error}") from None
    return session, messages, hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:32]
