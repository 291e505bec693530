"""What can be read of one conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from langchain_core.messages import BaseMessage, SystemMessage

from chatmem.core.policy import check_count, check_limit
from chatmem.core.session import ATTEMPTS, SLICE, STATE_FIELDS, Session, target, to_info
from chatmem.core.steps import AT_ONCE
from chatmem.core.telemetry import observed
from chatmem.core.window import Selection, StartOn, Window
from chatmem.errors import CorruptRecordError, UnavailableError
from chatmem.model import Entry, Match, Page, SessionInfo
from chatmem.search import Best, Query, text_of

if TYPE_CHECKING:
    from chatmem.core.window import TokenCounter

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
            NotYoursError: the session is not this history's user's.
            TornSessionError: the session's messages are gone, but not all of it.
            UnavailableError: the server did not answer.
            ValueError: `last` is not a whole number from 1 on.
        """
        check_count("last", last)
        elements = await self._session.tail(last)
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

        It is a request that every provider takes: each call is answered once, directly behind it, whatever is stored.
        What a person said is not left out for that. Of a conversation where nothing has to be mended, it is what
        `langchain_core.messages.trim_messages` makes of the whole, though only the end is read. What is stored stays as
        it is: messages that say something else in the window are copies. One round trip, or a few where messages are
        much shorter than usual. A record that cannot be read is left out.

        Args:
            messages: at most so many, the system message included.
            turns: at most so many turns; each begins with what a person said, not with a notification.
            tokens: at most so many tokens, the system message included.
            token_counter: a chat model, a function of a list of messages (or of one, if annotated so), or
                "approximate", which counts characters.
            keep_system: put the system message at the head of the conversation first, if there is one.
            start_on: the type or class of message, or several of them, to begin with after that; None for any.
                Anthropic and Gemini take windows that begin with a human message only.

        Raises:
            UnavailableError: the server did not answer.
            ValueError: a limit is not a whole number from 1 on, or `token_counter` cannot count.
        """
        wanted = Window(messages=messages, turns=turns, tokens=tokens, token_counter=token_counter, start_on=start_on)
        size = wanted.first_slice()
        for _ in range(ATTEMPTS):
            chosen = await self._choose(wanted, size, keep_system=keep_system)
            if chosen is not None:
                return await chosen.messages(self._session.transport.checkpoint)
        with self._session.named:
            raise UnavailableError("others change the session faster than a window of it can be read: try again")

    async def _choose(self, wanted: Window, size: int, *, keep_system: bool) -> Selection | None:
        """Read slice after slice, from the end back, until a window is full; None where one was changed meanwhile."""
        session = self._session
        first, tail, more, edited = await session.ends(size)
        pinned = [
            one for one in await session.entries(first) if keep_system or not isinstance(one.message, SystemMessage)
        ]
        entries, known = await session.entries(tail), {one.seq for one in pinned}
        chosen = wanted.select(pinned=session.messages_of(pinned))
        while chosen.take(session.messages_of([one for one in entries if one.seq not in known])) and more:
            size = min(4 * size, LARGEST_PAGE)
            more, elements, position, _, _, now, _ = await session.raw_slice(None, entries[0].seq, size, newest=True)
            if now != edited:
                return None
            older = await session.entries(elements, position)
            if not older or older[0].seq >= entries[0].seq:  # positions that something else wrote
                break
            entries = older
        return chosen

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
            read = [entry.seq for entry in entries if entry.error is None]  # the others may claim any position
            end = max(read) if read else entries[-1].seq if entries else last
            if more and end <= last:
                with self._session.named:
                    raise CorruptRecordError("the positions do not grow: something else wrote to this session")
            for entry, element in zip(entries, elements, strict=True):
                yield entry, element
            last = end

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
        if not more:
            return Page(entries[::-1] if newest_first else entries, None)
        # A cursor moves on, also where something else wrote what does not say its place.
        if newest_first:
            start = entries[-1].seq + 1 if before is None else before
            return Page(entries[::-1], min(start - 1, *(entry.seq for entry in entries)))
        return Page(entries, max(-1 if after is None else after + 1, *(entry.seq for entry in entries)))

    @observed
    async def get(self, message: str | int) -> Entry | None:
        """Return one message by its id or position, or None where there is none. One round trip.

        Raises:
            UnavailableError: the server did not answer.
            ValueError: `message` is neither.
        """
        how, value = target("message", message)
        elements, _ = await self._session.ask(how, value)
        entries = await self._session.entries([one for one in elements if one], None if how == b"id" else int(value))
        if not entries or (how == b"id" and entries[0].id not in (message, None)):
            return None
        return entries[0]

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
        checkpoint = self._session.transport.checkpoint
        async for entry in self.entries():
            if entry.message is None:
                unreadable += 1
                continue
            text = text_of(entry.message)
            seen += len(text)
            if seen >= AT_ONCE:  # several messages are as long as one
                await checkpoint()
                seen = 0
            found = await query.match_with_checkpoints(text, checkpoint)
            if found is not None:
                age = (entry.created_at.timestamp() if entry.created_at else 0.0, entry.seq)
                best.offer(found.score, age, Match(self._session.id, entry, text, found.spans, found.score))
        return unreadable

    @observed
    async def count(self) -> int:
        """Return how many messages the session holds, unreadable ones included. One round trip."""
        (count,), _ = await self._session.ask(b"count")
        return int(count)

    @observed
    async def info(self) -> SessionInfo:
        """Return what is known of the session: count, version, times, TTL, user, title, metadata. One round trip.

        For a session that does not exist, count and version are 0 and the rest is None or empty.
        """
        said, _ = await self._session.ask(b"info", *STATE_FIELDS)
        return to_info(self._session.policy, self._session.id, said)
