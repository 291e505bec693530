"""What can be read of one conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from langchain_core.messages import BaseMessage, SystemMessage

from chatmem import scripts
from chatmem.errors import CorruptRecordError
from chatmem.model import Entry, Match, Page, SessionInfo
from chatmem.policy import check_count, check_limit
from chatmem.search import Best, Query, text_of
from chatmem.session import Session, info_commands, target, to_info
from chatmem.steps import AT_ONCE
from chatmem.telemetry import observed
from chatmem.window import StartOn, Window

if TYPE_CHECKING:
    from chatmem.window import TokenCounter

SLICE = 256
"""How many records are read at a time where there may be many."""
LARGEST_PAGE = 1000


class Reads:
    """The reading half of a `History`."""

    _session: Session

    @observed
    async def messages(self, *, last: int | None = None, strict: bool = False) -> list[BaseMessage]:
        """Return the messages, oldest first. One round trip.

        A record that cannot be read is left out, and a warning with key and position is logged.

        Args:
            last: only so many from the end; the others are not read at all. All of them by default.
            strict: raise for a record that cannot be read.

        Raises:
            CorruptRecordError: with `strict`, a record cannot be read.
            UnavailableError: the server did not answer.
            ValueError: `last` is not a whole number from 1 on.
        """
        check_count("last", last)
        start = b"0" if last is None else b"-%d" % last
        (elements,) = await self._session.read(("LRANGE", self._session.keys.messages, start, b"-1"))
        try:
            return await self._session.decode(elements)
        except CorruptRecordError:
            return self._session.messages_of(await self._session.entries(elements), strict=strict)

    @observed
    async def window(
        self,
        *,
        messages: int | None = None,
        turns: int | None = None,
        tokens: int | None = None,
        token_counter: TokenCounter = "approximate",
        keep_system: bool = True,
        start_on: StartOn = "human",
    ) -> list[BaseMessage]:
        """Return the last messages, as many as the limits allow, fit to be sent to a model.

        No tool result is among them without its call, and no call without all its results. What is returned is what
        `langchain_core.messages.trim_messages` makes of the whole conversation; of that, only the end is read. One
        round trip, or a few where messages are much shorter than usual. A record that cannot be read is left out.

        Args:
            messages: at most so many, the system message included.
            turns: at most so many turns; each begins with a human message.
            tokens: at most so many tokens, the system message included.
            token_counter: a chat model, a function of a list of messages (or of one, if annotated so), or
                "approximate", which counts characters.
            keep_system: put the system message at the head of the conversation first, if there is one.
            start_on: the type or class of message, or several of them, to begin with after that; None for any.

        Raises:
            UnavailableError: the server did not answer.
            ValueError: a limit is not a whole number from 1 on, or `token_counter` cannot count.
        """
        wanted = Window(messages=messages, turns=turns, tokens=tokens, token_counter=token_counter, start_on=start_on)
        size = wanted.first_slice()
        name = self._session.keys.messages
        first, tail = await self._session.read(("LRANGE", name, b"0", b"0"), ("LRANGE", name, b"-%d" % size, b"-1"))
        head = await self._session.entries(first)
        system = next((one.message for one in head if keep_system and isinstance(one.message, SystemMessage)), None)
        entries, more = await self._session.entries(tail), len(tail) == size and tail[:1] != first
        while more and wanted.reaches_beyond(system, [one.message for one in entries if one.message is not None]):
            size = min(4 * size, LARGEST_PAGE)
            older, _, more = await self._session.slice(None, entries[0].seq, size, newest=True)
            if not older or older[0].seq >= entries[0].seq:  # positions that something else wrote
                break
            entries = older + entries
        if system is not None and entries[0].seq == head[0].seq:
            del entries[0]
        return wanted.choose(system, self._session.messages_of(entries))

    async def entries(self, *, strict: bool = False) -> AsyncIterator[Entry]:
        """Iterate over the stored messages with their positions, ids and times, oldest first.

        Reads in slices, one round trip each, so that the whole session never lies in memory. What others append,
        change or remove meanwhile makes it neither miss nor repeat a message that stays.

        Args:
            strict: raise for a record that cannot be read; by default its entry carries the error.

        Raises:
            CorruptRecordError: with `strict`, a record cannot be read.
            UnavailableError: the server did not answer.
        """
        async for entry, _ in self._stored():
            if entry.error is not None and strict:
                raise entry.error
            yield entry

    async def _stored(self) -> AsyncIterator[tuple[Entry, bytes]]:
        """Iterate over the entries and the elements that they are made of, as `entries` does."""
        last, more = -1, True
        while more:
            entries, elements, more = await self._session.slice(last, None, SLICE, newest=False)
            if more and entries[-1].seq <= last:
                with self._session.named():
                    raise CorruptRecordError("the positions do not grow: something else wrote to this session")
            for entry, element in zip(entries, elements, strict=True):
                yield entry, element
                last = entry.seq

    @observed
    async def page(
        self, *, before: int | None = None, after: int | None = None, limit: int = 50, newest_first: bool = True
    ) -> Page:
        """Return a page of the conversation. One round trip.

        Cursors are positions, and positions never change, so pages fit together whatever is appended, changed or
        removed between them.

        Args:
            before: only messages before this position.
            after: only messages behind this position.
            limit: at most so many, from 1 to 1,000.
            newest_first: begin with the newest, and walk back: `before=page.next` gives the next page. Otherwise
                begin with the oldest, and go on with `after=page.next`.

        Returns:
            The entries, in that order, those that cannot be read with their errors.

        Raises:
            UnavailableError: the server did not answer.
            ValueError: a cursor or the limit is out of range.
        """
        check_count("before", before, least=0)
        check_count("after", after, least=-1)
        check_limit(limit, LARGEST_PAGE)
        entries, _, more = await self._session.slice(after, before, limit, newest=newest_first)
        if newest_first:
            entries.reverse()
        return Page(entries, entries[-1].seq if more else None)

    @observed
    async def get(self, message: str | int) -> Entry | None:
        """Return one message by its id or position, or None where there is none. One round trip.

        Raises:
            UnavailableError: the server did not answer.
            ValueError: `message` is neither.
        """
        keys = self._session.keys
        (elements,) = await self._session.read(scripts.READ.call(keys, *target("message", message)))
        entries = await self._session.entries(elements, message if isinstance(message, int) else None)
        return entries[0] if entries else None

    @observed
    async def search(self, query: str, *, limit: int = 10) -> list[Match]:
        """Return the messages that hold the words of a query, the best first.

        Those that hold more of its words and phrases come first, of equals those that hold them more often, then the
        newer. Upper and lower case do not matter. The whole conversation is read, in slices, one round trip each; of
        it, at most a slice and `limit` messages are in memory.

        Args:
            query: words, and "phrases in quotation marks".
            limit: at most so many, from 1 on.

        Raises:
            UnavailableError: the server did not answer.
            ValueError: `query` holds no word, or `limit` is out of range.
        """
        wanted, best = Query(query), Best[Match](limit)
        await self._search(wanted, best)
        return best.ranked()

    async def _search(self, query: Query, best: Best[Match]) -> int:
        """Offer what is found; return how many messages could not be read."""
        unreadable = seen = 0
        rest = self._session.transport.rest
        async for entry in self.entries():
            if entry.message is None:
                unreadable += 1
                continue
            text = text_of(entry.message)
            seen += len(text)
            if seen >= AT_ONCE:  # several messages are as long as one
                await rest()
                seen = 0
            found = await query.match_with_rests(text, rest)
            if found is not None:
                age = (entry.created_at.timestamp() if entry.created_at else 0.0, entry.seq)
                best.offer(found.score, age, Match(self._session.id, entry, text, found.spans, found.score))
        return unreadable

    @observed
    async def count(self) -> int:
        """Return how many messages the session holds, unreadable ones included. One round trip."""
        (count,) = await self._session.run(("LLEN", self._session.keys.messages))
        return int(count)

    @observed
    async def info(self) -> SessionInfo:
        """Return what is known of the session: count, version, times, TTL, user, title, metadata. One round trip.

        For a session that does not exist, count and version are 0 and the rest is None or empty.
        """
        return to_info(
            self._session.policy, self._session.id, await self._session.run(*info_commands(self._session.keys))
        )
