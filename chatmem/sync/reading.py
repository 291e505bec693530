"""The reading half of the synchronous `History`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from langchain_core.messages import BaseMessage

from chatmem import history as core
from chatmem.core.window import StartOn
from chatmem.model import Change, Entry, Match, Page, SessionInfo
from chatmem.transports.driving import drive, iterate

if TYPE_CHECKING:
    from chatmem.core.window import TokenCounter


class Reads:
    """See `chatmem.core.reading`."""

    _core: core.History

    def messages(self, *, last: int | None = None, strict: bool = False) -> list[BaseMessage]:
        """Return the messages, oldest first. One round trip.

        A record that cannot be read is left out, and a warning with its key and position is logged.

        Args:
            last: return only this many from the end; the others are not read at all. By default all.
            strict: raise an error for a record that cannot be read.

        Raises:
            CorruptRecordError: with `strict`, a record cannot be read.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost its messages.
            UnavailableError: the server did not answer.
            ValueError: `last` is not a whole number of at least 1.
        """
        return drive(self._core.messages(last=last, strict=strict))

    def window(
        self,
        *,
        messages: int | None = None,
        turns: int | None = None,
        tokens: int | None = None,
        token_counter: TokenCounter = "approximate",
        keep_system: bool = True,
        start_on: StartOn = "human",
    ) -> list[BaseMessage]:
        """Return the last messages within limits, ready to be sent to a model.

        Every provider accepts the result: each tool call is answered once, directly behind it, whatever is stored.
        Nothing that a person said within the limits is left out. If nothing needs to be repaired, you get what
        `langchain_core.messages.trim_messages` returns for the whole conversation, although only its end is read.
        Stored messages stay as they are: messages that differ in the window are copies. A record that cannot be read is
        left out.

        One round trip, or a few if messages are much shorter than usual.

        Args:
            messages: return at most this many, the system message included.
            turns: return at most this many turns; each begins with a person's message, not with a notification.
            tokens: return at most this many tokens, the system message included.
            token_counter: a chat model, a function of a list of messages (or of one message, if annotated so), or
                "approximate", which counts characters.
            keep_system: put the system message at the head of the conversation first, if there is one.
            start_on: the type or class of message, or several, that the window begins with behind the head; None for
                any. Anthropic and Gemini accept only windows that begin with a human message. What follows a stored
                summary without a gap may begin with any.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost its messages.
            UnavailableError: the server did not answer.
            ValueError: a limit is not a whole number of at least 1, `token_counter` cannot count, or `start_on` is not
                what messages can be.
        """
        return drive(
            self._core.window(
                messages=messages,
                turns=turns,
                tokens=tokens,
                token_counter=token_counter,
                keep_system=keep_system,
                start_on=start_on,
            )
        )

    def entries(self, *, strict: bool = False, all_branches: bool = False) -> Iterator[Entry]:
        """Iterate over the stored messages with their positions, ids and times, oldest first.

        Each round trip reads up to 256 entries or about 1 MB, so a long session is never in memory as a whole. Every
        message that is there from beginning to end comes up exactly once, whatever others append, change or remove
        meanwhile.

        Args:
            strict: raise an error for a record that cannot be read; by default its entry carries the error.
            all_branches: go through the messages of all branches, in the order in which they came; by default through
                those of the active branch.

        Raises:
            CorruptRecordError: with `strict`, a record cannot be read.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost its messages.
            UnavailableError: the server did not answer.
        """
        return iterate(self._core.entries(strict=strict, all_branches=all_branches))

    def page(
        self, *, before: int | None = None, after: int | None = None, limit: int = 50, newest_first: bool = True
    ) -> Page:
        """Return a page of the conversation. One round trip.

        Cursors are positions, and positions never change. So pages fit together whatever is appended, changed or
        removed between two of them.

        Args:
            before: return only messages before this position.
            after: return only messages behind this position.
            limit: return at most this many, from 1 to 1,000.
            newest_first: begin with the newest message and walk back: `before=page.next` returns the next page. If
                false, begin with the oldest and go on with `after=page.next`.

        Returns:
            The entries in that order; an entry that cannot be read carries its error.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost its messages.
            UnavailableError: the server did not answer.
            ValueError: a cursor or the limit is out of range.
        """
        return drive(self._core.page(before=before, after=after, limit=limit, newest_first=newest_first))

    def changes(self, *, after: int | None = None, timeout: float | timedelta | None = None) -> Iterator[Change]:
        """Iterate over the session's changes as they happen, in whatever process, in the order of their versions.

        If the writers' memory has `publish=True` and the server can push, a change comes a moment after the write. Else
        one small command a second asks the server, and a change tells only what it can know. All listeners of an event
        loop share one connection to each server; synchronous code has one for each iteration. A listener that was away
        gets what it missed. If that is more than the server keeps (the last 1,000 changes or so), it gets one change of
        the kind "reset". While the server does not answer, the iteration waits for it. It ends when the memory is
        closed.

        No round trip for a change that is pushed. One at the beginning, after a lost connection, and each 15 seconds.

        Args:
            after: the session's version as you know it; 0 for the beginning. By default only changes from now on: from
                the moment at which you begin to iterate.
            timeout: end the iteration after so many seconds, or a `timedelta`, without a change. By default never.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part.
            UnavailableError: the server did not answer the first question, or denies this user a right.
            ValueError: an argument is wrong.
        """
        return iterate(self._core.changes(after=after, timeout=timeout))

    def get(self, message: str | int) -> Entry | None:
        """Return the entry of one message, or None if there is no such message. One round trip.

        Args:
            message: the message's id or position.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost its messages.
            UnavailableError: the server did not answer.
            ValueError: `message` is neither an id nor a position.
        """
        return drive(self._core.get(message))

    def search(self, query: str, *, limit: int = 10) -> list[Match]:
        """Return the messages that contain the words of a query, the best matches first.

        A message that contains more of the words and phrases ranks higher; then one that contains them more often;
        then the newer one. Case does not matter. The search reads the whole conversation, up to 256 messages or about
        1 MB in each round trip, and holds no more than those and `limit` matches in memory.

        Args:
            query: words, and "phrases in quotation marks".
            limit: return at most this many, at least 1.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost its messages.
            UnavailableError: the server did not answer.
            ValueError: `query` contains no word, or `limit` is out of range.
        """
        return drive(self._core.search(query, limit=limit))

    def count(self) -> int:
        """Return the number of messages in the session, unreadable ones included. One round trip.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost its messages.
            UnavailableError: the server did not answer.
        """
        return drive(self._core.count())

    def info(self) -> SessionInfo:
        """Return what is known of the session: count, times, TTL, user, title, metadata, marks. One round trip.

        If there is no such session, count and version are 0 and the rest is None or empty.

        Raises:
            CorruptRecordError: chatmem did not write the session's state.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost its messages.
            UnavailableError: the server did not answer.
        """
        return drive(self._core.info())
