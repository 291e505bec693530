"""Reading a session: the requests, and what they need to be repeated for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from langchain_core.messages import BaseMessage, SystemMessage

from chatmem.codec import record
from chatmem.core.annotations import annotated
from chatmem.core.branches import forks_in
from chatmem.core.decoder import BYTES_PER_CALL, Decoder
from chatmem.core.healing import cannot_mend, mend
from chatmem.core.session import ATTEMPTS, Session
from chatmem.core.steps import STEP_CHARACTERS
from chatmem.core.telemetry import observed
from chatmem.core.window import Selection, Window
from chatmem.errors import CorruptRecordError, UnavailableError
from chatmem.model import Entry, Match
from chatmem.scripts import answers
from chatmem.scripts.answers import Ends, Page
from chatmem.scripts.calls import Read
from chatmem.search import Best, Query, text_of
from chatmem.transports.base import Command

T = TypeVar("T")

LARGEST_PAGE = 1000
ENTRIES_PER_CALL = 256
"""How many entries an iteration over a session reads at a time, if they have no more than `BYTES_PER_CALL`."""


class Slice(NamedTuple):
    """A part of a session."""

    entries: list[Entry]
    elements: list[bytes]
    """what the entries were decoded from"""
    page: Page

    @property
    def more(self) -> bool:
        """Whether there are more entries in the direction that was asked for."""
        return bool(self.page.more)


class Reader:
    """Reads one session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.decoder = Decoder(session)

    async def ask(self, read: Read[T], commands: Sequence[Command] = ()) -> tuple[T, list[Any]]:
        """Run `read.lua`; if the session is torn, mend it and repeat.

        Returns:
            The answer, and the replies to `commands`, which are sent behind it in the same round trip.

        Raises:
            NotYoursError: the session is another user's, or nobody's.
            TornSessionError: the session is torn, and cannot be mended.
        """
        for _ in range(ATTEMPTS):
            reply, *others = await self.session.read(read.command, *commands)
            refusal = answers.refusal(reply)
            if refusal is None:
                return read.answer(reply[1:]), others
            await mend(self.session, refusal)
        raise cannot_mend(self.session)

    async def messages(self, last: int | None, *, strict: bool) -> list[BaseMessage]:
        """Return the last messages, or all of them; see `History.messages`."""
        elements = await self._tail(last)
        try:
            return await self.decoder.messages(elements)
        except CorruptRecordError:
            return self.decoder.readable(await self.decoder.entries(elements), strict=strict)

    async def _tail(self, last: int | None) -> list[bytes]:
        """Return the last elements, or all of them. One round trip; two if the process learns of branches or an answer.

        LRANGE takes less than half of a script's server time, but does not know the session's user, nor whether a
        session without messages is torn. So it serves callers without a user.
        """
        session = self.session
        name, scripted = session.keys.messages, session.policy.scripted
        try:
            if session.user is None and name not in scripted and (found := await self._listed(last)) is not None:
                return found
            elements, _ = await self.ask(session.reads.tail(last))
        except UnavailableError as error:
            if session.user is not None or not error.lacks_right:
                raise
            (elements,) = await session.read(self._range(last))  # who may run no scripts can still read
            return elements  # type: ignore[no-any-return]
        if elements and record.needs_script(elements[-1]):
            scripted.add(name)
        else:
            scripted.discard(name)
        return elements

    async def _listed(self, last: int | None) -> list[bytes] | None:
        """Return the elements by LRANGE, or None if these may not be the session's messages.

        Of a session that this process has not seen, the same round trip tells which other keys there are.
        """
        (messages, ids, state), seen = self.session.keys, self.session.policy.seen
        # The answer is a sum, so the state is asked for twice: 0 is none of both, 1 the index alone.
        others: list[Command] = [] if messages in seen else [("EXISTS", state, state, ids)]
        try:
            elements, *found = await self.session.read(self._range(last), *others)
        except CorruptRecordError:  # the key has another type, and the script says so
            return None
        if not elements:
            return [] if found == [0] else None
        if found in ([0], [1]) or record.needs_script(elements[-1]):
            return None
        seen.add(messages)
        return elements  # type: ignore[no-any-return]

    def _range(self, last: int | None) -> Command:
        return "LRANGE", self.session.keys.messages, b"0" if last is None else b"-%d" % last, b"-1"

    @observed
    async def window(
        self, wanted: Window, *, keep_system: bool = True, mark: Callable[[BaseMessage], BaseMessage] | None = None
    ) -> list[BaseMessage]:
        """Return the messages of a window; see `History.window`.

        Args:
            wanted: the limits.
            keep_system: as for `History.window`.
            mark: returns a message of the stored summary in the form that the window is to hold.
        """
        size = wanted.first_slice()
        for _ in range(ATTEMPTS):
            chosen = await self._choose(wanted, size, keep_system, mark)
            if chosen is not None:
                return await chosen.messages(self.session.transport.checkpoint)
        with self.session.named:
            raise UnavailableError("the session changes faster than a window of it can be read: try again")

    async def _choose(
        self, wanted: Window, size: int, keep_system: bool, mark: Callable[[BaseMessage], BaseMessage] | None
    ) -> Selection | None:
        """Read backwards until a window is full. Return None if the session was edited meanwhile."""
        decoder = self.decoder
        ends, tail = await self._ends(size)
        edited, summarized = ends.edited, -1 if ends.summarized is None else ends.summarized
        pinned = await decoder.entries(ends.head)
        if not keep_system:
            pinned = [one for one in pinned if not isinstance(one.message, SystemMessage)]
        summary = decoder.readable(await decoder.entries(ends.summary))
        if ends.summary:  # it speaks of what a compaction put at the head, too
            pinned = [one for one in pinned if isinstance(one.message, SystemMessage)]
        known = {one.seq for one in pinned}
        chosen = wanted.select([*decoder.readable(pinned), *(map(mark, summary) if mark else summary)])
        more = ends.length > size

        def left(entries: list[Entry]) -> list[BaseMessage]:
            return decoder.readable([one for one in entries if one.seq not in known and one.seq > summarized])

        found, first = await self._plainly(tail, max(known, default=-1), summarized), ends.first
        if found is None:
            entries = await decoder.entries(tail)
            found, first = left(entries), entries[0].seq if entries else 0
        while chosen.take(found) and more and first > summarized:
            size = min(4 * size, LARGEST_PAGE)
            older = await self.slice(None, first, size, newest=True, size=None)
            if older.page.edited != edited:
                return None
            if not older.entries or older.entries[0].seq >= first:  # positions that something else wrote
                break
            found, first, more = left(older.entries), older.entries[0].seq, older.more
        chosen.is_behind_summary = bool(summary) and (not more or first <= summarized)
        return chosen

    async def _plainly(self, tail: Sequence[bytes], pinned: int, summarized: int) -> list[BaseMessage] | None:
        """Return the messages of the last elements by the fast path; None if one is pinned, summed up or damaged."""
        first = record.position_of(tail[0]) if tail else None
        if first is None or first <= max(pinned, summarized):
            return None
        try:
            return await self.decoder.messages(tail)
        except CorruptRecordError:
            return None

    async def _ends(self, last: int) -> tuple[Ends, Sequence[bytes]]:
        """Return the two ends of a session as they are at one moment, and the last elements.

        One round trip; two if somebody wrote in between.
        """
        session = self.session
        if session.user is None:  # LRANGE moves large replies faster than a script
            command = ("LRANGE", session.keys.messages, b"-%d" % last, b"-1")
            with suppress(CorruptRecordError):  # of the command: the script says more about it
                ends, (tail,) = await self.ask(session.reads.ends(last, with_tail=False), [command])
                positions = [record.position_of(element) for element in (*tail[:1], *tail[-1:])]
                if len(tail) == min(ends.length, last) and positions == [ends.first, ends.last][: 2 * len(tail)]:
                    return ends, tail
        ends, _ = await self.ask(session.reads.ends(last, with_tail=True))
        return ends, ends.tail

    async def slice(
        self,
        after: int | None,
        before: int | None,
        limit: int,
        *,
        newest: bool,
        size: int | None = BYTES_PER_CALL,
        all_branches: bool = False,
    ) -> Slice:
        """Return at most `limit` entries between two positions, oldest first: the newest of them, or the oldest.

        There are fewer of them, but at least one, if they have more than `size` bytes.
        """
        read = self.session.reads.page(after, before, limit, newest=newest, size=size, all_branches=all_branches)
        page, _ = await self.ask(read)
        return await self.slice_of(page, after, before)

    async def slice_of(self, page: Page, after: int | None = None, before: int | None = None) -> Slice:
        """Return the slice that an answer of `read.lua` holds."""
        entries = await self.decoder.entries(page.elements, page.first, after=after, before=before)
        if page.annotations:
            notes = zip(entries, page.annotations, strict=True)
            entries = [annotated(self.session, entry, note) if note else entry for entry, note in notes]
        return Slice(entries, page.elements, page)

    async def stored(
        self, first: Slice | None = None, *, all_branches: bool = False
    ) -> AsyncIterator[tuple[Entry, bytes]]:
        """Iterate over all entries and the elements that they were decoded from; see `History.entries`.

        Args:
            first: the first slice, if it has been read already.
            all_branches: whether to go through the messages of all branches, or of the active one.
        """
        last, more = -1, True
        while more:
            part = first or await self.slice(last, None, ENTRIES_PER_CALL, newest=False, all_branches=all_branches)
            first, more, entries = None, part.more, part.entries
            read = [entry.seq for entry in entries if entry.error is None]  # the others may claim any position
            end = max(read) if read else entries[-1].seq if entries else last
            if more and end <= last:
                with self.session.named:
                    raise CorruptRecordError("the positions do not grow: something else wrote to this session")
            for entry, element in zip(entries, part.elements, strict=True):
                yield entry, element
            last = end

    async def get(self, how: bytes, what: bytes) -> Entry | None:
        """Return the entry of one message, by id or position."""
        found, _ = await self.ask(self.session.reads.message(how, what))
        if not found.element:
            return None
        (entry,) = await self.decoder.entries([found.element], None if how == b"id" else int(what))
        return annotated(self.session, entry, found.annotation) if found.annotation else entry

    async def fork_before(self, seq: int) -> int | None:
        """Return the position of the last message shown (-1 for none) behind which a hidden branch goes on at `seq`."""
        found, _ = await self.ask(self.session.reads.branches())
        forks = forks_in(found.branches)[1] if found.branches else ()
        return next((int(fork.after) for _, fork in forks if fork.theirs == seq), None)

    async def search(self, query: Query, best: Best[Match], first: Slice | None = None) -> int:
        """Offer what matches a query to `best`; return how many messages could not be read.

        Args:
            query: what to look for.
            best: takes the matches.
            first: the session's first slice, if it has been read already.
        """
        unreadable = characters = 0
        checkpoint = self.session.transport.checkpoint
        async for entry, _ in self.stored(first):
            if entry.message is None:
                unreadable += 1
                continue
            text = text_of(entry.message)
            characters += len(text)
            if characters >= STEP_CHARACTERS:  # several short messages take as long as a long one
                await checkpoint()
                characters = 0
            found = await query.match_with_checkpoints(text, checkpoint)
            if found is not None:
                age = (entry.created_at.timestamp() if entry.created_at else 0.0, entry.seq)
                best.offer(found.score, age, Match(self.session.id, entry, text, found.spans, found.score))
        return unreadable
