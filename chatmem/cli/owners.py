"""The owners of imported and migrated sessions: `--user` and the file of `--users`."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from chatmem.core.keys import user_name

_LONGEST = 2**16
"""The longest line, in bytes."""
_LARGEST = 2**28
"""The largest file, in bytes; all of it is held in memory."""
_HEADERS = ("session", "session_id", "id")
_USER_HEADERS = ("user", "user_id", "owner")


class Owners(NamedTuple):
    """The owner of each session."""

    user: str | None = None
    """The owner of all sessions that are not in `users`; None for no owner."""
    users: Mapping[str, str] | None = None
    """Session id -> owner; None if no file says so."""

    def of(self, session: str, stated: str | None = None) -> str | None:
        """Return a session's owner, or None.

        Args:
            session: the session's id in the source.
            stated: the owner that the source states, if any.

        Raises:
            ValueError: the options name another owner than the source; a session is never given away.
        """
        listed = None if self.users is None else self.users.get(session)
        user = self.user if listed is None else listed
        if user is not None and stated is not None and stated != user:
            option = "--user" if listed is None else "--users"
            raise ValueError(f"session {session!r} belongs to user {stated!r} in the file, but {option} says {user!r}")
        return user if stated is None else stated

    def lacks(self, session: str) -> bool:
        """Return whether `--users` was given, but gives this session no owner."""
        return self.users is not None and self.user is None and session not in self.users


def read_owners(user: str | None, path: Path | None) -> Owners:
    """Read the owners that two options give.

    Args:
        user: the value of `--user`.
        path: the value of `--users`: CSV (`session,user`, with or without that header) or JSON lines
            (`{"session": ..., "user": ...}`).

    Raises:
        OSError: the file cannot be read.
        ValueError: a user's name is not valid, or the file has another format; the message names the line.
    """
    if user is not None:
        user_name(user)
    return Owners(user, None if path is None else _read_users(path))


def _read_users(path: Path) -> dict[str, str]:
    users: dict[str, str] = {}
    for number, session, owner in _rows(path):
        try:
            if not session:
                raise ValueError("the session's id is empty")
            user_name(owner)
            if users.setdefault(session, owner) != owner:
                raise ValueError(f"session {session[:100]!r} has another user in an earlier line")
        except ValueError as error:
            raise ValueError(f"--users {path}, line {number}: {error}") from None
    return users


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
        is_header = number == first[0] and parse is _from_csv
        if is_header and owner.lower() in _HEADERS and session.lower() in _USER_HEADERS:
            raise ValueError(f"--users {path}, line {number}: the columns must be session,user, in this order")
        if not is_header or session.lower() not in _HEADERS:
            yield number, session, owner


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line that is not blank."""
    size = 0
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(_LONGEST + 1)
            size += len(line)
            if len(line) > _LONGEST or size > _LARGEST:
                what = f"longer than {_LONGEST:,} bytes" if len(line) > _LONGEST else "the file is too large"
                raise ValueError(f"--users {path}, line {number}: {what}")
            if not line:
                return
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                raise ValueError(f"--users {path}, line {number}: not UTF-8") from None
            if text.strip():
                yield number, text


def _from_json(line: str) -> tuple[str, str]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError('the line must be {"session": ..., "user": ...}')
    session, owner = row.get("session"), row.get("user")
    if not isinstance(session, str) or not isinstance(owner, str):
        raise ValueError('"session" and "user" must both be strings')
    return session, owner


def _from_csv(line: str) -> tuple[str, str]:
    row = next(csv.reader([line], strict=True), [])
    if len(row) != 2:
        raise ValueError(f"the line must be session,user: two fields, not {len(row)}")
    return row[0], row[1].strip()
