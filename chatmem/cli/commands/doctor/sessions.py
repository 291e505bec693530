"""Checks of the sessions: keys of wrong types, keys that expire apart, unreadable records, users' indexes."""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterator
from itertools import islice
from typing import NamedTuple

from chatmem.cli.commands.doctor.branches import check_branches
from chatmem.cli.commands.doctor.finding import Finding, Level, few
from chatmem.cli.commands.doctor.torn import check_torn
from chatmem.cli.progress import track
from chatmem.cli.store import SLICE, Store, slices
from chatmem.cli.terminal import plural
from chatmem.core.keys import name_of, session_keys, user_glob, user_of
from chatmem.errors import CorruptRecordError, TornSessionError
from chatmem.transports.base import Command
from chatmem.transports.driving import drive

_GONE, _FOR_EVER = -2, -1
"""The replies of PTTL for a key that does not exist, and for one that never expires."""
_APART = 1000
"""Milliseconds; keys whose times to live differ by more expire apart."""
_ONE_DEADLINE = "--fix gives all its keys the longest time to live; history.touch(ttl=seconds) sets another"


class _Keys(NamedTuple):
    """The times to live of a session's keys, in milliseconds, as PTTL returns them."""

    messages: int
    ids: int
    state: int


def check_sessions(store: Store, match: str, limit: int, *, fix: bool) -> Iterator[Finding]:
    """Check the sessions whose ids match a glob, and read the messages of at most `limit` of them."""
    sessions = sorted(store.find(match))
    fine = f"the keys of {plural(len(sessions), 'session')} are complete"
    broken = yield from _only_wrong("sessions", _keys_of(store, sessions, fix=fix), fine)
    readable = (one for one in sessions if one not in broken)
    read = list(islice(readable, limit))
    left = len(sessions) - len(broken) - len(read)
    text = f"all messages of {plural(len(read), 'session')} can be read"
    yield from _only_wrong("records", _records_of(store, read), text)
    if left:
        text = f"the messages of {plural(left, 'session')} were not read"
        yield Finding("records", Level.UNKNOWN, text, f"--limit {len(sessions)} reads them too; --match chooses others")


def _only_wrong(check: str, findings: Iterator[Finding], fine: str) -> Generator[Finding, None, set[str | None]]:
    """Yield the findings, or that all is fine; return the sessions that cannot be read at all."""
    found = list(findings)
    if found:
        yield from few(found)
    else:
        yield Finding(check, Level.OK, fine)
    unreadable = {one.session for one in found if one.check in ("type", "torn") and one.level is Level.ERROR}
    return unreadable | {one.session for one in found if one.check == "answers"}  # whose reads would end the answer


def _keys_of(store: Store, sessions: list[str], *, fix: bool) -> Iterator[Finding]:
    for part in track(list(slices(sessions, SLICE)), "checking keys", store.err):
        yield from _types_of(store, part)
        yield from check_torn(store, part, fix=fix)
        for session, keys in zip(part, _times(store, part), strict=True):
            if _problem(session, keys) is not None:
                (again,) = _times(store, [session])  # it may have expired between the replies
                if (problem := _problem(session, again)) is not None:
                    yield _with_one_deadline(store, problem, again) if fix else problem


def _with_one_deadline(store: Store, problem: Finding, keys: _Keys) -> Finding:
    """Give all keys of a session the longest of their times to live."""
    try:
        drive(store.core(problem.session or "").touch(ttl=max(keys) / 1000))
    except TornSessionError:  # reported by check_torn
        return problem
    return problem._replace(level=Level.OK, text=f"repaired: {problem.text}", advice="")


def _times(store: Store, sessions: list[str]) -> list[_Keys]:
    keys = [key for one in sessions for key in session_keys(store.policy.prefix, one)]
    return [_Keys(*three) for three in slices(store.server.run(*(("PTTL", key) for key in keys)), 3)]


def _problem(session: str, keys: _Keys) -> Finding | None:
    there = [left for left in keys if left != _GONE]
    expiring = [left for left in there if left != _FOR_EVER]
    name = f"session {session!r}"
    if expiring and len(expiring) < len(there):
        text = f"{name}: {_names(keys, _FOR_EVER)} never expires, but the rest does in {max(expiring) // 1000:,} s"
        return Finding("ttl", Level.ERROR, text, _ONE_DEADLINE, session)
    if expiring and max(expiring) - min(expiring) > _APART:
        text = f"{name} expires in parts: after {min(expiring) // 1000:,} s and {max(expiring) // 1000:,} s"
        return Finding("ttl", Level.ERROR, text, _ONE_DEADLINE, session)
    return None


def _names(keys: _Keys, left: int) -> str:
    return ", ".join(name for name, one in keys._asdict().items() if one == left)


def _types_of(store: Store, sessions: list[str]) -> Iterator[Finding]:
    """Yield the keys that hold a wrong type. If there are any, each key is tried on its own."""
    if not _is_wrong(store, *(command for one in sessions for command in _typed(store, one))):
        return
    for session in sessions:
        for command in _typed(store, session):
            if _is_wrong(store, command):
                key = bytes(command[1]).decode()  # type: ignore[arg-type]
                text = f"session {session!r}: key {key!r} holds something that chatmem did not write"
                yield Finding("type", Level.ERROR, text, f"rename it, or delete it: UNLINK {key}", session)


def _typed(store: Store, session: str) -> tuple[Command, ...]:
    keys = session_keys(store.policy.prefix, session)
    return ("LLEN", keys.messages), ("HLEN", keys.ids), ("HLEN", keys.state)


def _is_wrong(store: Store, *commands: Command) -> bool:
    try:
        store.server.run(*commands)
    except CorruptRecordError:
        return True
    return False


def _records_of(store: Store, sessions: list[str]) -> Iterator[Finding]:
    for session in track(sessions, "reading messages", store.err):
        try:
            positions = array("q")
            for entry in store.memory.history(session).entries(all_branches=True):
                if entry.error is not None:
                    yield _unreadable(session, entry.seq, entry.error)
                positions.append(entry.seq)
            yield from check_branches(store, session, positions)
        except TornSessionError:  # reported by check_torn
            continue
        except CorruptRecordError as error:
            yield Finding("records", Level.ERROR, f"session {session!r}: {error.args[0]}", "", session)


def _unreadable(session: str, position: int, error: CorruptRecordError) -> Finding:
    reason = error.args[0]
    advice = f"history.delete({position}) removes it; the rest of the session is readable"
    if "encrypted" in reason:
        advice = "add its key to CHATMEM_KEYS"
    return Finding(
        "records", Level.ERROR, f"session {session!r}, position {position}: {reason}", advice, session, position
    )


def check_index(store: Store, *, fix: bool) -> Iterator[Finding]:
    """Check the users' indexes of their sessions."""
    keys = list(store.server.scan(user_glob(store.policy.prefix)))
    fine = f"the indexes of {plural(len(keys), 'user')} list no session that is gone"
    yield from _only_wrong("index", _indexes(store, keys, fix=fix), fine)


def _indexes(store: Store, keys: list[bytes], *, fix: bool) -> Iterator[Finding]:
    for key in track(keys, "checking users", store.err):
        user = user_of(store.policy.prefix, key)
        try:
            gone = _count_gone(store, key)
        except CorruptRecordError:
            text = f"user {user!r}: key {key.decode()!r} holds something that chatmem did not write"
            yield Finding("index", Level.ERROR, text, f"rename it, or delete it: UNLINK {key.decode()}")
            continue
        text = f"user {user!r}: the index lists {plural(gone, 'session')} that {'is' if gone == 1 else 'are'} gone"
        if gone and fix:
            store.of_user(user)  # reading the index removes them
            yield Finding("index", Level.OK, f"repaired: {text}")
        elif gone:
            yield Finding("index", Level.WARNING, text, "reading the index removes them; --fix does that")


def _count_gone(store: Store, key: bytes) -> int:
    gone = start = 0
    while True:
        (members,) = store.server.run(("ZRANGEBYSCORE", key, b"-inf", b"+inf", b"LIMIT", b"%d" % start, b"%d" % SLICE))
        if not members:
            return gone
        start += len(members)
        states = [session_keys(store.policy.prefix, name_of(one)).state for one in members]
        gone += store.server.run(*(("EXISTS", state) for state in states)).count(0)
