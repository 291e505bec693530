"""Whose the sessions are that come from elsewhere: `--user`, and the file of `--users`."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from chatmem.core.keys import user_name

_LONGEST = 2**16
"""bytes of a line"""
_LARGEST = 2**28
"""bytes of a file; all of it is held in memory"""
_HEADERS = ("session", "session_id", "id")


class Owners(NamedTuple):
    """Who owns which session; nobody where neither is given."""

    user: str | None = None
    """of all sessions that are not in `users`"""
    users: Mapping[str, str] = {}

    def of(self, session: str, said: str | None = None) -> str | None:
        """Return a session's owner.

        Args:
            session: its id where it comes from.
            said: the owner that is written there, if any.

        Raises:
            ValueError: somebody else is written there: a session is not given away.
        """
        user = self.users.get(session, self.user)
        if user is not None and said is not None and said != user:
            where = "--users" if session in self.users else "--user"
            raise ValueError(f"session {session!r} is of user {said!r} in the file, and of {user!r} by {where}")
        return user if said is None else said

    def lacks(self, session: str) -> bool:
        """Return whether there is a list of owners, and nobody owns this session."""
        return bool(self.users) and self.user is None and session not in self.users


def read_owners(user: str | None, path: Path | None) -> Owners:
    """Return what the two options say.

    Args:
        user: of `--user`.
        path: of `--users`: CSV (`session,user`, with or without that header), or JSON lines
            (`{"session": ..., "user": ...}`).

    Raises:
        OSError: the file cannot be read.
        ValueError: the user cannot be one, or the file is not of that form; the text names the line.
    """
    if user is not None:
        user_name(user)
    users: dict[str, str] = {}
    for number, session, owner in _rows(path) if path is not None else ():
        try:
            if not session:
                raise ValueError("the session's id is empty")
            user_name(owner)
            if users.setdefault(session, owner) != owner:
                raise ValueError(f"session {session[:100]!r} has another user further up")
        except ValueError as error:
            raise ValueError(f"--users {path}, line {number}: {error}") from None
    return Owners(user, users)


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        return
    parse = _from_json if first[1].lstrip().startswith("{") else _from_csv
    for number, line in itertools.chain([first], lines):
        try:
            session, owner = parse(line)
        except (ValueError, RecursionError, csv.Error) as error:
            raise ValueError(f"--users {path}, line {number}: {error}") from None
        if number > first[0] or parse is _from_json or session.lower() not in _HEADERS:
            yield number, session, owner


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, and their numbers."""
    size = 0
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(_LONGEST + 1)
            size += len(line)
            if len(line) > _LONGEST or size > _LARGEST:
                what = f"it is longer than {_LONGEST:,} bytes" if len(line) > _LONGEST else "the file is too large"
                raise ValueError(f"--users {path}, line {number}: {what}")
            if not line:
                return
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                raise ValueError(f"--users {path}, line {number}: it is not UTF-8") from None
            if text.strip():
                yield number, text


def _from_json(line: str) -> tuple[str, str]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError('it must be {"session": ..., "user": ...}')
    session, owner = row.get("session"), row.get("user")
    if not isinstance(session, str) or not isinstance(owner, str):
        raise ValueError('it must be {"session": ..., "user": ...}, both strings')
    return session, owner


def _from_csv(line: str) -> tuple[str, str]:
    row = next(csv.reader([line], strict=True), [])
    if len(row) != 2:
        raise ValueError(f"it must be session,user: two fields, and not {len(row)}")
    return row[0], row[1].strip()
