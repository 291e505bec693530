"""`chatmem export`: sessions as text, read and written message by message."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages, message_to_dict

from chatmem import ChatMemError, CorruptRecordError, Entry, SessionInfo, UnavailableError
from chatmem.cli.formats.beside import FileSummary
from chatmem.cli.formats.conversations import OPENAI_ROLES
from chatmem.cli.formats.jsonl import head_line, message_line
from chatmem.cli.formats.markdown import markdown
from chatmem.cli.progress import progress_bar
from chatmem.cli.store import Store
from chatmem.cli.terminal import plain, plural
from chatmem.codec.record import plain_record
from chatmem.core.branches import Tree, parsed
from chatmem.core.reader import Reader
from chatmem.search import text_of
from chatmem.transports.driving import drive, iterate
from chatmem.ui import calls

Stored = tuple[Entry, bytes]
Write = Callable[[Store, SessionInfo, Iterator[Stored]], Iterator[str]]


def export(store: Store, infos: Sequence[SessionInfo], *, form: str, output: Path | None) -> None:
    """Write sessions to a file or to stdout, and report each message that cannot be read or written.

    Args:
        store: the store that holds them.
        infos: their infos.
        form: a name in `FORMATS`.
        output: the file, gzipped if its name ends with `.gz`; None for stdout. It appears once it is complete.

    Raises:
        OSError: the file cannot be written, or its folder does not exist.
    """
    with _opened(output) as file:
        hidden = file is sys.stdout and sys.stdout.isatty()
        total = sum(info.count for info in infos)
        with progress_bar("exporting", store.err, total, shown=not hidden) as advance:
            for info in infos:
                entries = _readable(store, info, advance, all_branches=form == "jsonl")
                for text in FORMATS[form](store, info, entries):
                    file.write(text)
    if file is not sys.stdout:
        store.err.print(f"{plural(len(infos), 'session')} written", style="dim")


def _readable(
    store: Store, info: SessionInfo, advance: Callable[[float], None], *, all_branches: bool
) -> Iterator[Stored]:
    try:
        for entry, element in iterate(store.reader(info.session_id).stored(all_branches=all_branches)):
            if entry.error is None:
                yield entry, element
            else:
                store.problems.report(f"left out position {entry.seq}: {entry.error}")
            advance(1)
    except UnavailableError:
        raise
    except ChatMemError as error:  # only this session is affected
        store.problems.report(f"left out the rest of the session: {error}")


def _jsonl(store: Store, info: SessionInfo, entries: Iterator[Stored]) -> Iterator[str]:
    reader = store.reader(info.session_id)
    sealer = reader.session.sealer
    try:
        branches, newest = _branches(reader)
        summary = _summary(store, reader)
    except UnavailableError:
        raise
    except (ChatMemError, ValueError) as error:  # only this session is affected
        store.problems.report(f"left out the session {info.session_id!r}: {error}")
        return
    yield _line(head_line(info, branches, summary))
    for entry, element in entries:
        if branches is not None and entry.seq > newest:  # it came later, perhaps on a newer branch
            break
        try:
            yield _line(message_line(info.session_id, entry, plain_record(element, sealer)))
        except CorruptRecordError as error:
            store.problems.report(f"left out position {entry.seq} of {info.session_id!r}: {error}")


def _branches(reader: Reader) -> tuple[Tree | None, int]:
    """Return the branches, None if there is one, and the last position that they show."""
    answer, _ = drive(reader.ask(reader.session.reads.branches()))
    return parsed(answer.branches, answer.last) if answer.branches else None, answer.last


def _summary(store: Store, reader: Reader) -> FileSummary | None:
    answer, _ = drive(reader.ask(reader.session.reads.summary(all_branches=True)))
    if answer.last is None:
        return None
    messages = [entry.message for entry in drive(reader.decoder.entries(answer.elements)) if entry.message is not None]
    try:
        records = [plain_record(element, reader.session.sealer) for element in answer.elements]
    except CorruptRecordError as error:
        store.problems.report(f"left out the summary of {reader.session.id!r}: {error}")
        return None
    text = "\n".join(text_of(message) for message in messages)
    return FileSummary(answer.last if answer.last >= 0 else None, text, records)


def _markdown(store: Store, info: SessionInfo, entries: Iterator[Stored]) -> Iterator[str]:
    return markdown(info, (entry for entry, _ in entries))


def _openai(store: Store, info: SessionInfo, entries: Iterator[Stored]) -> Iterator[str]:
    def convert(entry: Entry, message: BaseMessage) -> list[dict[str, Any]]:
        try:
            made = convert_to_openai_messages([message])
            rows = [made] if isinstance(made, dict) else made
            if unknown := [row["role"] for row in rows if row["role"] not in OPENAI_ROLES]:
                raise ValueError(f"OpenAI's format has no role {unknown[0]!r}")
        except ValueError as error:
            store.problems.report(f"left out position {entry.seq} of {info.session_id!r}: {error}")
            return []
        if isinstance(message, AIMessage) and message.invalid_tool_calls:  # which LangChain leaves out
            rows[0]["tool_calls"] = calls.written(message, {})
        return rows

    return _conversation(info, entries, convert)


def _langchain(store: Store, info: SessionInfo, entries: Iterator[Stored]) -> Iterator[str]:
    changed = 0

    def convert(_: Entry, message: BaseMessage) -> list[dict[str, Any]]:
        nonlocal changed
        whole = message_to_dict(message)
        made = json.loads(_text(whole))
        changed += made != whole
        return [made]

    yield from _conversation(info, entries, convert)
    if changed:
        what = f"session {info.session_id!r}: values that JSON cannot hold became text in {plural(changed, 'message')}"
        store.err.print(f"{what} (--format jsonl keeps them)", style="yellow", soft_wrap=True)


def _conversation(
    info: SessionInfo, entries: Iterator[Stored], convert: Callable[[Entry, BaseMessage], list[dict[str, Any]]]
) -> Iterator[str]:
    """Yield one line in parts, so that it is never in memory as a whole."""
    user = "" if info.user is None else f', "user": {json.dumps(info.user)}'
    yield f'{{"id": {json.dumps(info.session_id)}{user}, "messages": ['
    between = ""
    for entry, _ in entries:
        for row in convert(entry, entry.message) if entry.message is not None else ():
            yield between + _text(row)
            between = ", "
    yield "]}\n"


def _text(row: dict[str, Any]) -> str:
    return json.dumps(plain(row), default=str, allow_nan=False)


def _line(row: dict[str, Any]) -> str:
    return _text(row) + "\n"


FORMATS: dict[str, Write] = {"jsonl": _jsonl, "markdown": _markdown, "openai": _openai, "langchain": _langchain}


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    if path is None or str(path) == "-":
        yield sys.stdout
        return
    path = path.resolve()
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {path.parent} does not exist")
    if path.exists() and not path.is_file():  # a device, such as /dev/null, which must not be replaced
        with path.open("w", encoding="utf-8", errors="backslashreplace") as device:
            yield device
        return
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as raw:
            with _text_on(raw, path) as text:
                yield text
            raw.flush()
            os.fsync(raw.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


@contextmanager
def _text_on(raw: io.BufferedWriter, path: Path) -> Iterator[TextIO]:
    if path.suffix == ".gz":
        with gzip.open(raw, "wt", encoding="utf-8", errors="backslashreplace") as text:
            yield text
        return
    text = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=False)
    yield text
    text.flush()
    text.detach()
