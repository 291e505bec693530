"""The synchronous `History`: each method runs the coroutine of the same name to its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, MessageLikeRepresentation

from chatmem import history as core
from chatmem.core.window import StartOn
from chatmem.core.writer import Known
from chatmem.deprecated import renamed_argument
from chatmem.model import Appended, Change, Edited, Entry, Match, Page, SessionInfo
from chatmem.sync.annotating import Annotating
from chatmem.sync.branching import Branching
from chatmem.transports.driving import drive, iterate

if TYPE_CHECKING:
    from chatmem.core.window import TokenCounter


class History(Branching, Annotating):
    """One conversation; see `chatmem.History`, whose methods these are."""

    def __init__(self, history: core.History) -> None:
        self._core = history
        self.session_id = history.session_id

    def __repr__(self) -> str:
        return f"sync.{self._core!r}"

    def append(
        self,
        *messages: MessageLikeRepresentation,
        idempotency_key: str | None = None,
        expected_version: int | None = None,
        on_known_id: Known = "error",
    ) -> Appended:
        """Append messages: all of them or none, each of them once. One round trip.

        If the session already holds a message with the same id and the same content, the append leaves that message out
        and counts it as a duplicate. So you can repeat an append after an error. `idempotency_key` does the same for
        messages without ids. If the memory has `max_messages`, the same step removes the oldest messages.

        Args:
            messages: LangChain messages, or what LangChain turns into messages: a string, `("ai", "hi")`,
                `{"role": "user", "content": "hi"}`. Without messages, nothing is stored and you get the version.
            idempotency_key: a name for this append. A second append to this session with the same name stores nothing,
                and returns what the first one did, with all messages as duplicates.
            expected_version: the session's version as you know it; 0 for a session that must be new. Repeating an
                append of messages with ids that succeeded is not a conflict: it finds them all there.
            on_known_id: what to do with a message whose id the session holds with other content. "error" stores
                nothing. "replace" overwrites the stored message. "add" stores one more message with that id, for ids
                that are not unique; `get` returns the first.

        Returns:
            The session's new version, the positions of the first and the last of these messages, and the number of
            duplicates.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was stored.
            DuplicateIdError: the session holds another message with the id of one of these. Nothing was stored.
            EncodingError: a message holds a value that cannot be stored. Nothing was sent.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was stored.
            UnavailableError: the server did not confirm. Either all messages are stored, or none. If fewer than
                `wait_replicas` replicas confirmed, all are stored; repeat the append to wait again.
            ValueError: a value is not a message, or an argument is wrong.
        """
        return drive(
            self._core.append(
                *messages,
                idempotency_key=idempotency_key,
                expected_version=expected_version,
                on_known_id=on_known_id,
            )
        )

    def put(self, message: BaseMessage, *, expected_version: int | None = None) -> Edited:
        """Store a message over the one with the same id, or append it if there is none. One round trip.

        Use it to store an answer while it grows: put what there is of it again and again, with one id.

        Args:
            message: a message with an id.
            expected_version: the session's version as you know it.

        Returns:
            The new version, the message's position, and the number of messages it replaced: 1 or 0.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was stored.
            EncodingError: the message holds a value that cannot be stored. Nothing was sent.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was stored.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: the message has no id.
        """
        return drive(self._core.put(message, expected_version=expected_version))

    def replace(
        self, message: str | int, by: MessageLikeRepresentation, *, expected_version: int | None = None
    ) -> Edited:
        """Replace one message with another at the same position. One round trip, atomic.

        Args:
            message: the id or position of the message to replace.
            by: the new message. If it has no id and you gave an id, it gets that id.
            expected_version: the session's version as you know it.

        Returns:
            The new version, the position, and a count of 1.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was changed.
            EncodingError: the new message holds a value that cannot be stored. Nothing was sent.
            NotFoundError: there is no such message.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was changed.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: another message has the new one's id, or an argument is wrong.
        """
        return drive(self._core.replace(message, by, expected_version=expected_version))

    def delete(self, message: str | int, *, expected_version: int | None = None) -> Edited:
        """Remove one message, and forget its id. One round trip, atomic.

        Args:
            message: its id or position.
            expected_version: the session's version as you know it.

        Returns:
            The version, the position, and a count of 1; a count of 0 if there was no such message.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was changed.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was changed.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: an argument is wrong.
        """
        return drive(self._core.delete(message, expected_version=expected_version))

    def truncate(self, *, after: str | int, expected_version: int | None = None) -> Edited:
        """Remove all messages behind one, for example to answer it again. One round trip, atomic.

        Args:
            after: the id or position of the last message to keep; -1 to keep none.
            expected_version: the session's version as you know it.

        Returns:
            The version, the position, and the number of messages removed.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was changed.
            NotFoundError: there is no message with that id.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was changed.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: an argument is wrong.
        """
        return drive(self._core.truncate(after=after, expected_version=expected_version))

    @renamed_argument("upto", "up_to")
    def compact(
        self,
        *,
        up_to: str | int,
        replacement: Sequence[MessageLikeRepresentation],
        expected_version: int | None = None,
    ) -> Edited:
        """Replace the head of the conversation, for example with a summary of it. One round trip, atomic.

        Messages that are appended meanwhile stay. If a tool exchange reaches across `up_to`, all of it stays.

        Args:
            up_to: the id or position of the last message to replace. All messages before it are replaced too, even a
                system message: put what you want to keep of them in `replacement`.
            replacement: the messages that take their place, from position 0 on.
            expected_version: the session's version as you know it; leave it out if others may append meanwhile.

        Returns:
            The version, the position of the replacement, and the number of messages it replaced.

        Raises:
            ConflictError: the message `up_to` is gone, because somebody else compacted the conversation first; or the
                session is not at `expected_version`. Nothing was changed.
            EncodingError: a message holds a value that cannot be stored. Nothing was sent.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was changed.
            UnavailableError: the server did not confirm. Read the conversation to see whether it was done.
            ValueError: a message that stays has the id of one in `replacement`, or an argument is wrong.
        """
        return drive(self._core.compact(up_to=up_to, replacement=replacement, expected_version=expected_version))

    @renamed_argument("upto", "up_to")
    def fork(
        self, new_session_id: str, *, up_to: str | int | None = None, expected_version: int | None = None
    ) -> History:
        """Copy the conversation, or its beginning, into a new session of the same user.

        The copy shows the conversation at one moment, and is stored as a whole or not at all. Its positions begin at
        0; ids, times and annotations stay, and so does the summary if it speaks only of what is copied. You can repeat
        a fork after an error. It takes two round trips for each 256 messages or 1 MB, and one more if there is a
        summary; a longer copy is built aside, so nobody else has to wait for it.

        Args:
            new_session_id: the id of the new session, which must not exist.
            up_to: the id or position of the last message to copy; by default all are copied.
            expected_version: this session's version as you know it.

        Returns:
            The new conversation.

        Raises:
            ConflictError: the new session exists, or this one is not at `expected_version`.
            NotFoundError: there is no message `up_to`.
            NotYoursError: this session does not belong to this history's user.
            TornSessionError: this session has lost its messages.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: an argument is wrong.
        """
        return History(drive(self._core.fork(new_session_id, up_to=up_to, expected_version=expected_version)))

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
                any. Anthropic and Gemini accept only windows that begin with a human message.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost its messages.
            UnavailableError: the server did not answer.
            ValueError: a limit is not a whole number of at least 1, or `token_counter` cannot count.
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
        """Return what is known of the session: count, version, times, TTL, user, title, metadata. One round trip.

        If there is no such session, count and version are 0 and the rest is None or empty.

        Raises:
            CorruptRecordError: chatmem did not write the session's state.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost its messages.
            UnavailableError: the server did not answer.
        """
        return drive(self._core.info())

    def update(self, *, title: str | None = None, metadata: dict[str, Any] | None = None) -> None:
        """Set the session's title and metadata. Its version stays. One round trip.

        Args:
            title: a title for lists of sessions; None keeps the title.
            metadata: anything that JSON can represent; it replaces the old metadata. None keeps the metadata.

        Raises:
            EncodingError: JSON cannot represent the metadata. Nothing was sent.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was changed.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: `title` is not a string, or `metadata` is not a dict.
        """
        drive(self._core.update(title=title, metadata=metadata))

    def reencrypt(self) -> int:
        """Encrypt with the memory's newest key whatever another key encrypted, or none; title and metadata too.

        Positions, ids and times stay. One round trip for each 256 messages, and one for each message that is encrypted
        anew. If others write meanwhile, more round trips read those messages again.

        Returns:
            The number of messages that were encrypted. Messages that cannot be read stay as they are, and so do
            messages that the session's index of ids does not know.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            UnavailableError: the server did not confirm; repeat the call to encrypt the remaining messages.
            ValueError: the memory has no `encryption`.
        """
        return drive(self._core.reencrypt())

    def touch(self, *, ttl: float | timedelta | None = None) -> bool:
        """Restart the session's TTL. One round trip, and one more if the session has a user.

        Args:
            ttl: seconds or a `timedelta`; by default the memory's TTL. If there is neither, nothing changes.

        Returns:
            Whether the session exists.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was changed.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: `ttl` is not above 0.
        """
        return drive(self._core.touch(ttl=ttl))

    def clear(self) -> None:
        """Erase the session: its messages, its state, and whatever is left of a torn session. Atomic.

        One round trip. Two if the session belongs to this history's user, and three if it belongs to a user that this
        history was not opened for: these take the session off the user's list.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            UnavailableError: the server did not confirm; you can repeat the call.
        """
        drive(self._core.clear())
