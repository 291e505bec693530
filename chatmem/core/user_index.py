"""A user's sessions: an index of them in a slot of its own, which each use keeps right.

A write to a session enters it in the index, in the same round trip if the user is known. Each read of the index checks
it against the sessions: those that expired, or belong to another user, are taken out, and those that the index has with
other marks are entered anew.
"""

from __future__ import annotations

import logging
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple, get_args

from chatmem.core.checks import check_limit, seconds
from chatmem.core.decoder import BYTES_PER_CALL
from chatmem.core.feed import Changes
from chatmem.core.keys import SessionKeys, field, name_of, session_keys, user_name
from chatmem.core.marks import EVERY, MARKED, NOT_ARCHIVED, Marks, Wanted, is_listed
from chatmem.core.policy import Policy
from chatmem.core.reader import ENTRIES_PER_CALL, LARGEST_PAGE, Reader
from chatmem.core.session import Session, index_keys
from chatmem.core.state import to_info
from chatmem.core.telemetry import observed
from chatmem.core.user_changes import UserChanges
from chatmem.errors import CorruptRecordError, NotFoundError, TornSessionError
from chatmem.model import Match, SessionChange, SessionInfo, SessionPage
from chatmem.scripts import answers, calls
from chatmem.scripts.answers import Code, Info, Page
from chatmem.scripts.calls import STATE_FIELDS, Order
from chatmem.search import Best, Query
from chatmem.transports.base import Command, Transport

_logger = logging.getLogger("chatmem")

SESSIONS_PER_CALL = 100
"""How many sessions are looked at in one round trip."""
_SCORE = re.compile(rb"-?(inf|\d+(\.\d+)?(e[+-]\d+)?)")


class _Listed(NamedTuple):
    """A session in the index."""

    name: bytes
    """its id, as `keys.field` writes it"""
    time: bytes
    """the time of the last write, in microseconds since 1970"""
    where: bytes = b""
    """the list that it was found in; empty for the index"""

    @property
    def session_id(self) -> str | None:
        """The session's id; None if chatmem did not write it."""
        with suppress(ValueError):
            name = name_of(self.name)
            if name and field(name) == self.name:
                return name
        return None


class UserIndex:
    """The sessions of one user."""

    def __init__(self, transport: Transport, policy: Policy, user: str) -> None:
        self._transport = transport
        self._policy = policy
        self._user = user
        self._name = user_name(user)
        self._keys = index_keys(policy, self._name, marked=True)

    @observed
    async def sessions(
        self, *, limit: int, before: str | None, wanted: Wanted = NOT_ARCHIVED, first: Order = "newest"
    ) -> SessionPage:
        """Return a page of the sessions; see `ChatMemory.sessions`."""
        check_limit(limit, LARGEST_PAGE)
        wanted.check()
        if first not in get_args(Order):
            raise ValueError(f'order must be "newest" or "oldest", not {first!r}')
        last = None if before is None else _from_cursor(before)
        lists = wanted.lists(pinned=bool(wanted.pinned))
        are_mixed = bool(wanted.title) or wanted.pinned is False  # the lists hold others too
        sessions: dict[str, SessionInfo] = {}
        while True:
            room = SESSIONS_PER_CALL if are_mixed else limit - len(sessions)
            listed = await self._listed(lists, last, room + 1, first)
            found = [(one, info) for one, info in await self._check(listed[:room]) if wanted.includes(info)]
            for one, info in found:
                if last is not None and len(sessions) == limit:
                    return SessionPage(list(sessions.values()), _to_cursor(last))
                sessions.setdefault(info.session_id, info)
                last = one
            if len(listed) <= room:
                return SessionPage(list(sessions.values()), None)
            last = listed[room - 1]
            if len(sessions) == limit:
                return SessionPage(list(sessions.values()), _to_cursor(last))

    async def every(self) -> list[SessionInfo]:
        """Return all sessions, archived ones too, the last written first. Two round trips for each 1,000.

        None is missed: they are read from the oldest on, so one that is written meanwhile moves to what is still to be
        read.
        """
        found: dict[str, SessionInfo] = {}
        before, more = None, True
        while more:
            page = await self.sessions(limit=LARGEST_PAGE, before=before, wanted=EVERY, first="oldest")
            for info in page.sessions:
                found.pop(info.session_id, None)
                found[info.session_id] = info
            before, more = page.next, page.next is not None
        return [*reversed(found.values())]

    @observed
    async def count(self, wanted: Wanted) -> int:
        """Count the sessions; see `ChatMemory.count`."""
        wanted.check()
        added = wanted.lists(pinned=bool(wanted.pinned))
        subtracted = wanted.lists(pinned=True) if wanted.pinned is False else []
        names = added + subtracted
        counts: list[int]
        (counts,) = await self._run([calls.count_registered(self._keys_of(b"".join(names)), names)])
        return max(0, sum(counts[: len(added)]) - sum(counts[len(added) :]))

    def changes(self, *, after: str | None, timeout: float | timedelta | None) -> Changes[SessionChange]:
        """Iterate over the changes of the list; see `ChatMemory.changes`."""
        return UserChanges(self._transport, self._policy, self._name, after, seconds("timeout", timeout))

    @observed
    async def forget(self) -> int:
        """Erase all sessions of the user; see `ChatMemory.forget`."""
        count, seen, are_left = 0, set[bytes](), True
        for lists in ([b""], MARKED):
            # The oldest first: what is begun meanwhile comes later, and is met too. What is written again after it was
            # erased stays: else this would never end beside a busy writer.
            if not are_left:
                break
            async for listed in self._slices(lists, "oldest"):
                new = [one for one in listed if one.name not in seen]
                if not new:
                    break
                erased, are_left = await self._erase(new)
                count += erased
                seen.update(one.name for one in new)
        return count

    async def _erase(self, listed: list[_Listed]) -> tuple[int, bool]:
        """Erase sessions. Return how many there were, and whether the user's index has marked sessions left."""
        ids = [one.session_id for one in listed if one.session_id is not None]
        sessions = [Session(self._transport, self._policy, one) for one in ids]
        replies = await self._run(
            [calls.edit(one.written_keys, one.shared(), b"clear", self._name) for one in sessions]
        )
        are_left = await self._drop(listed)
        for one in sessions:
            one.know_marks(b"")
        return sum(answers.refusal(reply) is None for reply in replies), are_left

    @observed
    async def search(self, query: str, *, limit: int) -> list[Match]:
        """Search all sessions of the user; see `ChatMemory.search`."""
        wanted, best = Query(query), Best[Match](limit)
        async for listed in self._slices(Wanted(archived=None).lists(pinned=False), "newest"):
            infos = [info for _, info in await self._check(listed)]
            readers = [Reader(Session(self._transport, self._policy, one.session_id, self._user)) for one in infos]
            for reader, page in zip(readers, await self._first_pages(readers), strict=True):
                await self._search_one(reader, page, wanted, best)
        return best.ranked()

    async def _first_pages(self, readers: Sequence[Reader]) -> list[Page | None]:
        """Read the beginning of many sessions in one round trip; None for those that have to be read by themselves."""
        size = BYTES_PER_CALL // SESSIONS_PER_CALL
        pages = [one.session.reads.page(-1, None, ENTRIES_PER_CALL, newest=False, size=size) for one in readers]
        try:
            replies = await self._run([page.command for page in pages])
        except CorruptRecordError:  # of one of them
            return [None] * len(readers)
        return [None if answers.refusal(reply) else Page(*reply[1:]) for reply in replies]

    async def _search_one(self, reader: Reader, page: Page | None, wanted: Query, best: Best[Match]) -> None:
        try:
            await reader.search(wanted, best, None if page is None else await reader.slice_of(page, after=-1))
        except (TornSessionError, NotFoundError, CorruptRecordError) as error:
            _logger.warning("did not search all of the session %r: %s", reader.session.id, error)

    async def _slices(self, lists: Sequence[bytes], first: Order) -> AsyncIterator[list[_Listed]]:
        last = None
        while listed := await self._listed(lists, last, SESSIONS_PER_CALL, first):
            yield listed
            last = listed[-1]

    async def _listed(self, lists: Sequence[bytes], after: _Listed | None, count: int, first: Order) -> list[_Listed]:
        """Return what lists hold behind `after`, in the order of the last writes."""
        start = (b"", b"") if after is None else (after.time, after.name)
        keys = self._keys_of(b"".join(lists))
        (reply,) = await self._transport.run([calls.list_registered(keys, lists, start, count, first)])
        listed = [_Listed(*one) for one in calls.listed(reply, lists)]
        if len(lists) > 1:
            listed.sort(key=lambda one: (float(one.time), one.name), reverse=first == "newest")
        return listed[:count]

    def _keys_of(self, names: bytes) -> Sequence[bytes]:
        """Return the keys that a call for lists needs; for the index alone, its own two."""
        return self._keys if names else index_keys(self._policy, self._name)

    async def _check(self, listed: list[_Listed]) -> list[tuple[_Listed, SessionInfo]]:
        """Return what is known of sessions. Take those out of the index that are gone or another user's."""
        for one in listed:
            if one.session_id is None:
                what = "left out an entry that is not a session: key %s, %r"
                _logger.warning(what, self._keys[0].decode(), one.name[:80])
        known = [one for one in listed if one.session_id is not None]
        infos, gone = [], [one for one in listed if one.session_id is None]
        for one, reply in zip(known, await self._replies([one.session_id or "" for one in known]), strict=True):
            info = self._info(one.session_id or "", reply)
            if info is not None and info.user == self._user:
                infos.append((one, info))
            elif info is not None:
                gone.append(one)
        await self._drop(gone)
        await self._mark([info for one, info in infos if not self._is_right(one, info)])
        return infos

    def _is_right(self, one: _Listed, info: SessionInfo) -> bool:
        """Return whether the index has a session's marks, as far as that can be told."""
        marks = _marks_of(info)
        known = session_keys(self._policy.prefix, info.session_id).messages in self._policy.marked
        return is_listed(marks, one.where) and (known or not marks.text)

    async def _mark(self, infos: Sequence[SessionInfo]) -> None:
        """Enter sessions in the index with the marks that they have, and leave them at their places there."""
        commands = list[Command]()
        sessions = [Session(self._transport, self._policy, info.session_id) for info in infos]
        for session, info in zip(sessions, infos, strict=True):
            left = b"" if info.ttl is None else b"%d" % round(info.ttl * 1000)
            commands += session.marking(self._name, "TTL", _marks_of(info).text, ttl=left)
        replies = await self._run(commands)
        for session, info, (stored,) in zip(sessions, infos, replies[1::2], strict=True):
            if (stored or b"") == _marks_of(info).text:
                session.know_marks(stored or b"")

    async def _replies(self, session_ids: list[str]) -> list[Any]:
        """Return the replies of each session, or the error of one that cannot be read."""
        commands = [command for one in session_ids for command in _questions(session_keys(self._policy.prefix, one))]
        try:
            replies = await self._run(commands)
        except CorruptRecordError as error:  # one of them cannot be read: find out which
            if len(session_ids) == 1:
                return [error]
            middle = len(session_ids) // 2
            return await self._replies(session_ids[:middle]) + await self._replies(session_ids[middle:])
        found = [replies[3 * index : 3 * index + 3] for index in range(len(session_ids))]
        await self._look_closer(session_ids, found)
        return found

    async def _look_closer(self, session_ids: list[str], found: list[Any]) -> None:
        """Add what the script says of sessions with branches, which show only some messages, or with an answer."""
        special = [at for at, (_, fields, _) in enumerate(found) if fields[-1] is not None or _is_answering(fields[-3])]
        readers = [Reader(Session(self._transport, self._policy, session_ids[at])) for at in special]
        reads = [reader.session.reads.info() for reader in readers]
        replies = await self._run([read.command for read in reads])
        for at, reader, read, reply in zip(special, readers, reads, replies, strict=True):
            refusal = answers.refusal(reply)
            if refusal is None:
                found[at].append(read.answer(reply[1:]))
            elif refusal.code == Code.RAN_OUT:
                with suppress(TornSessionError):  # as for all that is listed: `_info` says so
                    found[at].append((await reader.ask(read))[0])

    def _info(self, session_id: str, reply: Any) -> SessionInfo | None:
        """Return what is known of a session; None, with a warning, if that cannot be read."""
        try:
            if isinstance(reply, CorruptRecordError):
                raise reply
            length, (*fields, life, marks, _), left, *shown = reply
            if _is_torn(length, fields[0], life):
                raise CorruptRecordError("a part of it is missing: chatmem doctor shows what is left")
            return to_info(self._policy, session_id, shown[0] if shown else Info(length, fields, left, marks))
        except CorruptRecordError as error:
            _logger.warning("left out the session %r: %s", session_id, error)
            return None

    async def _drop(self, listed: Sequence[_Listed]) -> bool:
        """Take sessions out of the index, unless they were written since they were found there.

        Returns:
            Whether the index has marked sessions left; True if that was not asked.
        """
        pairs, are_left = [(one.time, one.name) for one in listed], 1
        while pairs:
            ((done, are_left),) = await self._run([calls.unregister(self._keys, pairs)])
            pairs = pairs[done:]
        return bool(are_left)

    async def _run(self, commands: list[Command]) -> list[Any]:
        return await self._transport.run(commands) if commands else []


def _questions(keys: SessionKeys) -> tuple[Command, ...]:
    fields = (*STATE_FIELDS, b"life", b"marks", b"branches")
    return ("LLEN", keys.messages), ("HMGET", keys.state, *fields), ("PTTL", keys.state)


def _marks_of(info: SessionInfo) -> Marks:
    return Marks(info.archived, info.pinned, info.tags)


def _is_torn(count: int, version: bytes | None, life: bytes | None) -> bool:
    """Return whether there are messages without a state, or a state without its messages."""
    if life is None:
        return bool(count) and version is None
    return (life[9:10] == b"-") == bool(count)


def _is_answering(life: bytes | None) -> bool:
    """Return whether an answer runs in a session; see `scripts/answers.lua`."""
    return life is not None and life[8:9].isupper()


def _to_cursor(listed: _Listed) -> str:
    return urlsafe_b64encode(b"%b:%b" % (listed.time, listed.name)).decode()


def _from_cursor(cursor: str) -> _Listed:
    try:
        time, _, name = urlsafe_b64decode(cursor).partition(b":")
    except (ValueError, TypeError):
        time = name = b""
    if not _SCORE.fullmatch(time):
        raise ValueError("before must be the `next` of another page")
    return _Listed(name, time)
