"""The writing half of the synchronous `History`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, MessageLikeRepresentation

from chatmem import history as core
from chatmem.core.writer import Known
from chatmem.deprecated import renamed_argument
from chatmem.model import Appended, Edited
from chatmem.transports.driving import drive

if TYPE_CHECKING:
    pass


class Writes:
    """See `chatmem.core.writing`."""

    _core: core.History

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

    def update(
        self,
        *,
        title: str | None = None,
        metadata: dict[str, Any] | None = None,
        merge: bool = False,
        archived: bool | None = None,
        pinned: bool | None = None,
        tags: Sequence[str] | None = None,
        expected_version: int | None = None,
        expected_revision: int | None = None,
    ) -> int:
        """Set the session's title, metadata, and marks for lists of sessions. Its version stays. Atomic.

        The session keeps its place in the lists. One round trip. With `merge`, one more to read the metadata, and two
        more each time that other metadata comes in between. One more if the marks of a session with a user change.

        Args:
            title: a title for lists of sessions; None keeps the title.
            metadata: anything that JSON can represent; it replaces the old metadata. None keeps the metadata.
            merge: keep the keys of the old metadata that `metadata` does not have, and remove those that are None in
                `metadata`. Keys are compared at the top level only. Of two calls at once, none undoes the other.
            archived: whether the session is archived; None keeps that. `sessions` leaves archived sessions out unless
                asked for them.
            pinned: whether the session is pinned; None keeps that.
            tags: at most 50 tags of 1 to 100 characters; they replace the old tags. None keeps the tags. Tags are not
                encrypted.
            expected_version: the session's version as you know it. It counts changes of the messages only.
            expected_revision: the session's revision as you know it from `SessionInfo` or an earlier update; 0 for a
                session without title, metadata and marks. Messages leave it as it is.

        Returns:
            The session's new revision. In the rare case that the answer was lost, and others wrote before the call was
            sent again, it is 0: no update that expects it changes anything.

        Raises:
            ConflictError: the session is not at `expected_version` or `expected_revision`. Nothing was changed.
            CorruptRecordError: with `merge`, the old metadata cannot be read. Nothing was changed.
            EncodingError: JSON cannot represent the metadata. Nothing was sent.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was changed.
            UnavailableError: the server did not confirm; you can repeat the call. With `merge`, also if others updated
                the session a hundred times in between.
            ValueError: an argument is wrong.
        """
        return drive(
            self._core.update(
                title=title,
                metadata=metadata,
                merge=merge,
                archived=archived,
                pinned=pinned,
                tags=tags,
                expected_version=expected_version,
                expected_revision=expected_revision,
            )
        )

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
