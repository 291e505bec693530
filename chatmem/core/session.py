"""A session as it lies in Redis: elements in and out, over the transport. What `History` is built on."""

from __future__ import annotations

import json
import logging
import math
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage

from chatmem import scripts
from chatmem.codec import compression, record
from chatmem.codec.compression import UnknownDictionaryError
from chatmem.codec.encryption import Sealer, is_sealed_text, not_sealed
from chatmem.core.keys import (
    SessionKeys,
    dictionary_key,
    escape,
    field,
    session_keys,
    unescape,
    user_keys,
    user_name,
)
from chatmem.core.order import longest_growing
from chatmem.core.policy import Policy
from chatmem.core.telemetry import moved
from chatmem.errors import (
    ChatMemError,
    CorruptRecordError,
    NotYoursError,
    TornSessionError,
    UnavailableError,
)
from chatmem.model import Entry, SessionInfo
from chatmem.transports.base import Command, Transport

T = TypeVar("T")

logger = logging.getLogger("chatmem")

AT_ONCE = 64
"""How many records are decoded before others may run: about a tenth of a millisecond."""
STATE_FIELDS = (b"version", b"created", b"updated", b"user", b"title", b"metadata")
VERSION, FIRST, LAST, COUNT, USER, UPDATED = range(6)
"""What the replies of `append.lua` and `edit.lua` hold; see there."""
OTHER_USER, TORN, LATE = -3, -9, -10
"""Refusals that all scripts of sessions share."""
ATTEMPTS = 10
"""How often a read of several slices begins anew because others changed the session, and a torn one is mended."""
SLICE = 256
"""How many records are read or written at a time where there may be many."""
_NO_CALL = b"0:0:0"
"""The token of calls that may be done twice."""
_TORN = {
    b"list": "its messages are gone (evicted, or deleted apart from the rest): clear() erases what is left of it",
    b"orphan": "nothing is left of it but its index of ids: clear() erases that, and so does the next append",
    b"other": "its list of messages is not the one that its state speaks of (restored, or changed by hand): put back "
    "the right one, or erase the session with clear()",
    b"owner": "its state is gone, and nothing says whose it is: open it with claim=True to make it this user's, or "
    "erase it with clear()",
    b"keys": "its index was lost, and nobody knows which idempotency keys were used: append without one, or begin anew "
    "after clear()",
}


class _Named:
    """Lets errors say which session it was: `with session.named: ...`."""

    __slots__ = ("_id", "_key")

    def __init__(self, session_id: str, key: bytes) -> None:
        self._id, self._key = session_id, key

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ChatMemError):
            error.session, error.key = self._id, self._key.decode()


class Session:
    """The keys of one conversation under a memory's policy."""

    def __init__(
        self, transport: Transport, policy: Policy, session_id: str, user: str | None, *, claim: bool = False
    ) -> None:
        self.transport = transport
        self.policy = policy
        self.id = session_id
        self.user = user
        self.claim = b"1" if claim else b""
        self.keys: SessionKeys = session_keys(policy.prefix, session_id)
        self.named = _Named(session_id, self.keys.messages)
        self.sealer = sealer_of(policy, session_id)
        self.following = 0
        """the position that the next message should get, as far as is known here"""
        self.user_name = b"" if user is None else user_name(user)

    async def run(self, *commands: Command) -> list[Any]:
        """Run commands in one round trip; an error names the session."""
        with self.named:
            return await self.transport.run(commands)

    async def read(self, *commands: Command) -> list[Any]:
        """Run commands that read, and restart the time to live where reads do."""
        if self.policy.refresh != "read" or not self.policy.ttl_argument:
            return await self.run(*commands)
        extra = [self.command(scripts.EDIT, b"touch")]
        if self.user is not None:
            extra.append(self.registration(self.user_name, "TTL"))
        replies = await self.run(*commands, *extra)
        touched = replies[len(commands)]
        if self.user is None and touched[VERSION] >= 0 and touched[USER]:
            await self.run(self.registration(touched[USER], "NX"))
        return replies[: len(commands)]

    def reading(self, how: bytes, *arguments: bytes) -> Command:
        """Return the call of `read.lua`."""
        return scripts.READ.call(self.keys, self.user_name, self.claim, how, *arguments)

    async def ask(self, how: bytes, *arguments: bytes, commands: Sequence[Command] = ()) -> tuple[list[Any], list[Any]]:
        """Run `read.lua`, mending the session first where that is needed.

        Returns:
            What the script says, and the replies to `commands`, which are sent behind it in the same round trip.

        Raises:
            NotYoursError: the session is another user's, or nobody's.
            TornSessionError: it is torn, and cannot be mended.
        """
        for _ in range(ATTEMPTS):
            reply, *others = await self.read(self.reading(how, *arguments), *commands)
            if reply[0] == 0:
                return reply[1:], others
            await self.mend(reply)
        raise self.cannot_mend()

    async def mend(self, reply: list[Any]) -> None:
        """Do what a script's refusal asks for, where the same call may then be done again; else raise an error."""
        code, why, *more = (*reply, b"")
        with self.named:
            if code == OTHER_USER:
                raise NotYoursError(f"the session is another user's than {self.user!r}, or nobody's")
            if code == LATE:
                raise UnavailableError("the call arrived after its caller had given it up; nothing was done")
            if why == b"type":
                key = dict(zip((b"m", b"i", b"s"), self.keys, strict=True))[more[0]]
                what = f"chatmem did not write what the key {key.decode()} holds"
                raise TornSessionError(f"{what}: rename it, or erase the session with clear()", reason="type")
            if why not in (b"index", b"state"):
                raise TornSessionError(f"the session is torn: {_TORN[why]}", reason=why.decode())
        await self._heal(why, more[0])

    def cannot_mend(self) -> UnavailableError:
        """Return the error of a session that is torn again whenever it was mended."""
        what = "the session is torn again whenever it was mended: look at what deletes its keys, or clear() it"
        return UnavailableError(what, session=self.id, key=self.key)

    async def _heal(self, why: bytes, user: bytes) -> None:
        """Rebuild the id index, or the state, from what is in the records, a slice at a time."""
        what = "rebuilt the %s of a torn session from its messages: key %s"
        logger.warning(what, "index of ids" if why == b"index" else "state (its title and metadata are lost)", self.key)
        name, after, more = secrets.token_hex(4).encode(), b"", 1
        times, seen = list[int](), set[str]()
        whole = Session(self.transport, self.policy, self.id, None)
        while more:
            (reply,) = await self.run(whole.reading(b"page", after, b"", b"%d" % SLICE, b"first"))
            if reply[0] != 0:
                return
            _, more, elements, first, *_ = reply
            entries = await self.entries(elements, first)
            times += [record.from_datetime(entry.created_at) for entry in entries if entry.created_at is not None]
            times = [min(times), max(times)] if times else []
            ends = [b"%d" % time for time in times or [record.now()] * 2]
            ids = [part for pair in zip(entries, elements, strict=True) for part in self._indexed(*pair, seen)]
            step = (b"go on" if more else b"end") if after else (b"begin" if more else b"only")
            call = scripts.HEAL.call(self.keys, name, step, why, user, self.policy.ttl_argument, *ends, *ids)
            (done,) = await self.run(call)
            if not done:  # another heals it
                return
            after = b"%d" % entries[-1].seq

    def _indexed(self, entry: Entry, element: bytes, seen: set[str]) -> tuple[bytes, ...]:
        """Return what the index says of a message, with what it is called there; nothing of one without an id."""
        if not entry.id:
            return ()
        name, position = field(entry.id), b"%d" % entry.seq
        if entry.id not in seen:
            seen.add(entry.id)
            return b"m" + name, position
        digest = record.digest(record.Encoded(name, record.record_of(element)))  # of several with one id
        return b"d" + (digest if self.sealer is None else self.sealer.ring.digest(digest)), position

    async def write(
        self,
        script: scripts.Script,
        *arguments: bytes,
        entry: str | None,
        expected_version: int | None = None,
        time: int | None = None,
    ) -> list[Any]:
        """Run a script that changes messages, and keep the index of the user's sessions.

        Replicas are waited for in the same round trip; so is the index, where the session's user is known here.

        Args:
            script: `append.lua` or `edit.lua`.
            arguments: what it takes beside what both take.
            entry: how the session enters the index, see `user.lua`; None for not at all.
            expected_version: the version that the session must have; None for any.
            time: when it is done, in microseconds since 1970; by default now, by the server's clock.
        """
        at = b"" if time is None else b"%d" % time
        call = self.policy.calls.begin(self.keys.messages)
        try:
            return await self._write(
                self.command(script, *arguments, token=call.token, now=at, expected_version=expected_version), entry, at
            )
        finally:
            self.policy.calls.end(call)

    async def _write(self, command: Command, entry: str | None, at: bytes) -> list[Any]:
        if self.policy.wait is not None:
            (reply,) = await self.confirmed(command)
        elif self.user is not None and entry is not None:
            reply, _ = await self.send(command, self.registration(self.user_name, entry, at=at))
            return reply  # type: ignore[no-any-return]
        else:
            (reply,) = await self.send(command)
        if entry is not None and reply[VERSION] >= 0 and reply[USER]:
            await self.run(self.registration(reply[USER], entry, at=at))
        return reply  # type: ignore[no-any-return]

    async def annotate(self, title: bytes, metadata: bytes) -> list[Any]:
        """Set title and metadata, in JSON, empty for as it is."""
        if self.sealer is not None:
            title, metadata = self.sealer.seal_text("title", title), self.sealer.seal_text("metadata", metadata)
        values = [b"=" + value if value else b"" for value in (title, metadata)]
        call = self.policy.calls.begin(self.keys.messages)
        try:
            commands = [self.command(scripts.EDIT, b"update", *values, token=call.token)]
            if self.user is not None:
                commands.append(self.registration(self.user_name, "NX"))
            return (await self.run(*commands))[0]  # type: ignore[no-any-return]
        finally:
            self.policy.calls.end(call)

    def command(
        self,
        script: scripts.Script,
        *arguments: bytes,
        token: bytes = _NO_CALL,
        now: bytes = b"",
        ttl: bytes | None = None,
        expected_version: int | None = None,
    ) -> Command:
        """Return the call of `append.lua` or `edit.lua`, with what they share."""
        policy = self.policy
        return script.call(
            self.keys,
            token,
            now,
            policy.ttl_argument if ttl is None else ttl,
            b"0" if policy.refresh == "never" else b"1",
            b"" if expected_version is None else b"%d" % expected_version,
            self.user_name,
            self.claim,
            *arguments,
        )

    def registration(self, user: bytes, how: str, *, ttl: bytes | None = None, at: bytes = b"") -> Command:
        """Return the call that enters the session in its user's index; see `user.lua`."""
        keys = user_keys(self.policy.prefix, user)
        left = self.policy.ttl_argument if ttl is None else ttl
        return scripts.USER.call(keys, b"add", at, field(self.id), left, how.encode())

    async def send(self, *commands: Command) -> list[Any]:
        """Run commands that write, where the dictionary of what they write is on the server, or is put there."""
        dictionary = self.policy.dictionary
        return await (self.run(*commands) if dictionary is None else dictionary.write(self.run, self.id, commands))

    async def confirmed(self, *commands: Command) -> list[Any]:
        """Run commands that write, and wait for replicas where the memory does.

        Raises:
            UnavailableError: it is done, but too few replicas confirmed it.
        """
        if self.policy.wait is None:
            return await self.send(*commands)
        *replies, reached = await self.send(*commands, self.policy.wait)
        if reached < self.policy.wait_replicas:
            with self.named:
                raise UnavailableError(
                    f"done on the master, but {reached} of {self.policy.wait_replicas} replicas confirmed it in time: "
                    "what the master has may be lost with it; do the same again to wait again"
                )
        return replies

    async def tail(self, last: int | None) -> list[bytes]:
        """Return the last elements, or all. One round trip, and one command.

        A list command knows neither whose session it is, nor whether one without messages is wholly absent. So it is
        for sessions that were seen to hold messages, and for callers without a user.
        """
        if self.user is None and self.keys.messages in self.policy.seen and (elements := await self._listed(last)):
            return elements
        try:
            (elements,), _ = await self.ask(b"tail", b"" if last is None else b"%d" % last)
        except UnavailableError as error:
            if self.user is not None or not error.lacks_right:
                raise
            return await self._listed(last)  # who may run no script may still read
        if elements:
            self.policy.seen.add(self.keys.messages)
        return elements  # type: ignore[no-any-return]

    async def _listed(self, last: int | None) -> list[bytes]:
        start = b"0" if last is None else b"-%d" % last
        return (await self.read(("LRANGE", self.keys.messages, start, b"-1")))[0]  # type: ignore[no-any-return]

    async def ends(self, last: int) -> tuple[list[bytes], list[bytes], bool, int]:
        """Return the two ends of a session, as they are at one moment.

        One round trip; another where somebody wrote in the middle of it.

        Returns:
            What stands at the head for good, the last elements, whether there are others, and the version of the last
            change that was no append.
        """
        size = b"%d" % last
        if self.user is None:
            command = ("LRANGE", self.keys.messages, b"-%d" % last, b"-1")
            with suppress(CorruptRecordError):  # of the command: the script says more of it
                (length, head, first, final, edited, _), (tail,) = await self.ask(
                    b"window", size, b"", commands=[command]
                )
                positions = [record.position_of(element) for element in (*tail[:1], *tail[-1:])]
                if len(tail) == min(length, last) and positions == [first, final][: 2 * len(tail)]:
                    return head, tail, length > last, edited
        (length, head, _, _, edited, tail), _ = await self.ask(b"window", size, b"1")
        return head, tail, length > last, edited

    async def slice(
        self, after: int | None, before: int | None, limit: int, *, newest: bool
    ) -> tuple[list[Entry], list[bytes], bool]:
        """Return what lies between two positions, oldest first, at most `limit`.

        Returns:
            The entries, the elements that they are made of, and whether there are more.
        """
        more, elements, first, *_ = await self.raw_slice(after, before, limit, newest=newest)
        return await self.entries(elements, first, after=after, before=before), elements, bool(more)

    async def raw_slice(self, after: int | None, before: int | None, limit: int, *, newest: bool) -> list[Any]:
        """Return what `read.lua` says of a page."""
        ends = (b"" if end is None else b"%d" % end for end in (after, before))
        said, _ = await self.ask(b"page", *ends, b"%d" % limit, b"last" if newest else b"first")
        return said

    async def decode(self, elements: list[bytes]) -> list[BaseMessage]:
        """Return the messages of elements, and nothing else of them.

        Raises:
            CorruptRecordError: one of them cannot be read.
        """
        self._read(elements)
        if self.sealer is not None and not record.in_order(elements):
            raise CorruptRecordError("the positions do not grow: something else wrote to this session")
        messages: list[BaseMessage] = []
        for start in range(0, len(elements), AT_ONCE):
            if start:  # a long history must not stop its whole event loop
                await self.transport.checkpoint()
            part = elements[start : start + AT_ONCE]
            try:
                messages += record.decode_messages(part, self.sealer)
            except UnknownDictionaryError:
                compression.look_again()
                messages += await self._known(partial(record.decode_messages, part, self.sealer))
        return messages

    def _read(self, elements: list[bytes]) -> None:
        moved(elements)
        last = record.position_of(elements[-1]) if elements else None
        if last is not None and last >= self.following:
            self.following = last + 1

    async def entries(
        self,
        elements: list[bytes],
        first: int | None = None,
        *,
        after: int | None = None,
        before: int | None = None,
    ) -> list[Entry]:
        """Return the entries of elements, those that cannot be read with their errors.

        A record that is sealed proves its position. Those that are not between `after` and `before`, and as few as
        possible of those whose positions do not grow, were put there by somebody else: they count as unreadable.

        Args:
            elements: neighbours, oldest first.
            first: the position of the first one, should it not say itself; by default one that fits the others.
            after: the position behind which they were asked for.
            before: the position before which they were.
        """
        self._read(elements)
        compression.look_again()
        if first is None:
            known = ((seq, i) for i, seq in enumerate(map(record.position_of, elements)) if seq is not None)
            seq, index = next(known, (0, 0))
            first = max(seq - index, 0)
        entries: list[Entry] = []
        proven: list[int] = []
        for start in range(0, len(elements), AT_ONCE):
            if start:
                await self.transport.checkpoint()
            following = entries[-1].seq + 1 if entries else first
            part = partial(self._entries, elements[start : start + AT_ONCE], following)
            decoded, sealed = await self._known(part)
            entries += decoded
            proven += [start + index for index in sealed]
        low, high = -1 if after is None else after, math.inf if before is None else before
        inside = [index for index in proven if low < entries[index].seq < high]
        kept = {inside[i] for i in longest_growing([entries[index].seq for index in inside])}
        for index in proven:
            if index not in kept:
                seq = entries[index - 1].seq + 1 if index else first
                entries[index] = self._unreadable(seq, CorruptRecordError("it was moved here, or is here twice"))
        return entries

    def messages_of(self, entries: list[Entry], *, strict: bool = False) -> list[BaseMessage]:
        """Return the messages of those that can be read, and log a warning for each that cannot.

        Raises:
            CorruptRecordError: with `strict`, one cannot be read.
        """
        for entry in entries:
            if entry.error is not None and strict:
                raise entry.error
            if entry.error is not None:
                what = "left out an unreadable record: key %s, position %d: %s"
                logger.warning(what, self.key, entry.seq, entry.error)
        return [entry.message for entry in entries if entry.message is not None]

    async def _known(self, decode: Callable[[], T]) -> T:
        """Decode a few records, and fetch each dictionary that they turn out to need, a round trip each."""
        while True:
            try:
                return decode()
            except UnknownDictionaryError as error:
                (data,) = await self.run(("GET", self.dictionary_key(error.number)))
                compression.learn_stored(error.number, data)

    def _entries(self, elements: list[bytes], following: int) -> tuple[list[Entry], list[int]]:
        """Decode elements one by one, taking the position of a damaged one from the one before it.

        Returns:
            The entries, and which of them are sealed and could be opened.
        """
        entries: list[Entry] = []
        sealed = []
        for element in elements:
            own = record.position_of(element)
            seq = following if own is None else own
            following = seq + 1
            try:
                decoded = record.decode(element, self.sealer)
            except CorruptRecordError as error:
                entries.append(self._unreadable(seq, error))
                continue
            if decoded.is_sealed:
                sealed.append(len(entries))
            entries.append(Entry(seq, decoded.id, decoded.created_at, decoded.message))
        return entries, sealed

    def _unreadable(self, seq: int, error: CorruptRecordError) -> Entry:
        error.seq, error.session, error.key = seq, self.id, self.key
        return Entry(seq, None, None, None, error)

    def dictionary_key(self, number: int) -> bytes:
        """Return the key of a dictionary that records are compressed with."""
        return dictionary_key(self.policy.prefix, number)

    @property
    def key(self) -> str:
        """The name of the key with the messages, for errors."""
        return self.keys.messages.decode()


def target(name: str, value: str | int, *, least: int = 0) -> tuple[bytes, bytes]:
    """Return how scripts take a message's id or position.

    Raises:
        ValueError: it is neither; the text names the argument.
    """
    if isinstance(value, str) and value:
        return b"id", field(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return b"at", b"%d" % value
    raise ValueError(f"{name} must be a message's id or its position from {least} on, not {value!r}")


def sealer_of(policy: Policy, session_id: str) -> Sealer | None:
    """Return what seals and opens a session's records; None where the memory has no keys."""
    return None if policy.encryption is None else Sealer(policy.encryption, policy.prefix, escape(session_id))


def to_info(policy: Policy, session_id: str, replies: Sequence[Any]) -> SessionInfo:
    """Return what `read.lua` says of a session.

    Raises:
        CorruptRecordError: something else wrote what they say.
    """
    try:
        return _to_info(policy, session_id, replies)
    except (ValueError, OverflowError, RecursionError) as error:
        what = "what is known of this session is nothing that chatmem wrote"
        raise CorruptRecordError(what, session=session_id) from error


def _to_info(policy: Policy, session_id: str, replies: Sequence[Any]) -> SessionInfo:
    count, (version, created, updated, user, title, metadata), left = replies
    sealer = sealer_of(policy, session_id)
    return SessionInfo(
        session_id=session_id,
        count=count,
        version=int(version or 0),
        created_at=record.to_datetime(int(created)) if created else None,
        updated_at=record.to_datetime(int(updated)) if updated else None,
        ttl=left / 1000 if left >= 0 else None,
        user=unescape(user) if user else None,
        title=_opened(sealer, session_id, "title", title),
        metadata=_opened(sealer, session_id, "metadata", metadata) or {},
    )


def _opened(sealer: Sealer | None, session_id: str, name: str, text: bytes | None) -> Any:
    """Return a field of the state; None where it is not there, or cannot be opened, which is logged."""
    try:
        if text and is_sealed_text(text):
            if sealer is None:
                raise ValueError("it is encrypted: connect with encryption=chatmem.KeyRing(...)")
            text = sealer.open_text(name, text)
        elif text and sealer is not None and not sealer.ring.read_plain:
            raise not_sealed()
        return json.loads(text) if text else None
    except ValueError as error:
        logger.warning("left out the unreadable %s of session %r: %s", name, session_id, error)
        return None
