"""The writing half of `History`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, get_args

from langchain_core.messages import BaseMessage, MessageLikeRepresentation, RemoveMessage

from chatmem.core.checks import as_messages, check_count, milliseconds, target
from chatmem.core.marks import change_of
from chatmem.core.session import Session
from chatmem.core.telemetry import observed
from chatmem.core.updating import Expected, merge_update, update
from chatmem.core.writer import Known, Writer
from chatmem.deprecated import renamed_argument
from chatmem.errors import ConflictError, NotFoundError, NotYoursError
from chatmem.model import Appended, Edited


class Writes:
    """What can be changed in one conversation."""

    _session: Session
    _writer: Writer

    @observed
    async def append(
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
        if on_known_id not in get_args(Known):
            raise ValueError(f'on_known_id must be "error", "add" or "replace", not {on_known_id!r}')
        if idempotency_key is not None and (not isinstance(idempotency_key, str) or not idempotency_key):
            raise ValueError("idempotency_key must be a non-empty string, or None for none")
        parts = await self._writer.encode(as_messages("messages", messages))
        return await self._writer.store(
            parts, idempotency_key=idempotency_key, expected_version=expected_version, on_known_id=on_known_id
        )

    @observed
    async def put(self, message: BaseMessage, *, expected_version: int | None = None) -> Edited:
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
        if not isinstance(message, BaseMessage) or isinstance(message, RemoveMessage) or not message.id:
            raise ValueError("message must be a message with an id: put uses it to find the message to overwrite")
        parts = await self._writer.encode([message])
        done = await self._writer.store(parts, expected_version=expected_version, on_known_id="put")
        return Edited(done.version, done.first, done.duplicates)

    @observed
    async def replace(
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
        where = target("message", message)
        (new,) = as_messages("by", [by])
        if isinstance(message, str) and new.id is None:
            new = new.model_copy(update={"id": message})
        parts = await self._writer.encode([new])
        place = message if isinstance(message, int) else 0  # the script says which position an id has
        return await self._writer.edit(
            b"replace", *where, parts=parts, places=[place], expected_version=expected_version
        )

    @observed
    async def delete(self, message: str | int, *, expected_version: int | None = None) -> Edited:
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
        return await self._writer.edit(b"delete", *target("message", message), expected_version=expected_version)

    @observed
    async def truncate(self, *, after: str | int, expected_version: int | None = None) -> Edited:
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
        where = target("after", after, least=-1)
        return await self._writer.edit(b"truncate", *where, expected_version=expected_version)

    @renamed_argument("upto", "up_to")
    @observed
    async def compact(
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
        where = target("up_to", up_to)
        if isinstance(replacement, str) or not isinstance(replacement, Sequence):
            raise ValueError("replacement must be a list of messages")
        parts = await self._writer.encode(as_messages("replacement", replacement))
        try:
            places = range(len(parts))
            return await self._writer.edit(
                b"compact", *where, parts=parts, places=places, expected_version=expected_version
            )
        except NotYoursError:
            raise
        except NotFoundError as error:
            with self._session.named:
                what = f"the head of the conversation has changed: message {up_to!r} is gone; read it again"
                raise ConflictError(what) from error

    @observed
    async def update(
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
        check_count("expected_version", expected_version, least=0)
        if title is not None and not isinstance(title, str):
            raise ValueError(f"title must be a string, or None to keep it, not {type(title).__name__}")
        if metadata is not None and not isinstance(metadata, dict):
            raise ValueError(f"metadata must be a dict, or None to keep it, not {type(metadata).__name__}")
        if merge and metadata is None:
            raise ValueError("merge needs metadata=: the keys to set, and None for those to remove")
        check_count("expected_revision", expected_revision, least=0)
        expected = Expected(expected_version, expected_revision)
        change = change_of(archived, pinned, tags)
        if merge and metadata is not None:
            return await merge_update(self._session, self._writer.reader, title, metadata, change, expected)
        return await update(self._session, title, metadata, change, expected)

    @observed
    async def touch(self, *, ttl: float | timedelta | None = None) -> bool:
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
        return await self._writer.touch(self._session.policy.ttl_argument if ttl is None else milliseconds("ttl", ttl))

    @observed
    async def clear(self) -> None:
        """Erase the session: its messages, its state, and whatever is left of a torn session. Atomic.

        One round trip. Two if the session belongs to this history's user, and three if it belongs to a user that this
        history was not opened for: these take the session off the user's list.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            UnavailableError: the server did not confirm; you can repeat the call.
        """
        await self._writer.clear()
