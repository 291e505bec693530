"""What can be changed in one conversation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, get_args

from langchain_core.messages import BaseMessage, MessageLikeRepresentation, RemoveMessage

from chatmem import scripts
from chatmem.core.keys import field, user_keys
from chatmem.core.policy import milliseconds
from chatmem.core.session import ATTEMPTS, USER, VERSION, target
from chatmem.core.storing import MISSING, Known, Stores, as_messages, to_json
from chatmem.core.telemetry import observed
from chatmem.deprecated import renamed_argument
from chatmem.errors import ConflictError, NotFoundError
from chatmem.model import Appended, Edited


class Writes(Stores):
    """The writing half of a `History`."""

    @observed
    async def append(
        self,
        *messages: MessageLikeRepresentation,
        idempotency_key: str | None = None,
        expected_version: int | None = None,
        on_known_id: Known = "error",
    ) -> Appended:
        """Append messages: all of them, each once, or none. One round trip.

        A message that the session holds already, with the same id and the same content, is left out and counted as a
        duplicate, so you can append again after an error; `idempotency_key` does the same for messages without ids.
        Where the memory has `max_messages`, the oldest ones go in the same step.

        Args:
            messages: LangChain messages, or what LangChain makes one of: a string, `("ai", "hi")`,
                `{"role": "user", "content": "hi"}`. With none, nothing is stored and the version comes back.
            idempotency_key: a name for this append. A second append to this session under the same name stores
                nothing, and returns what the first one did, with all messages as duplicates.
            expected_version: the session's version as the caller knows it, 0 for a session that must be new. An append
                of messages with ids that was done before is no conflict, but finds them all there.
            on_known_id: what to do with a message whose id the session holds with other content: "error" stores
                nothing; "replace" puts it in the place of the other; "add" stores it as one more message, for ids that
                are not unique, and `get` finds the first.

        Returns:
            The session's new version, the positions of the first and last of these messages, and how many were
            duplicates.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was stored.
            DuplicateIdError: the session holds another message under the id of one of these. Nothing was stored.
            EncodingError: a message holds what cannot be stored. Nothing was sent.
            NotYoursError: the session is not this history's user's.
            TornSessionError: a part of the session is lost. Nothing was stored.
            UnavailableError: the server did not confirm. The messages are stored all or none. Where `wait_replicas`
                of them were not reached, all are stored; the same append again waits again.
            ValueError: a value is no message, or an argument is wrong.
        """
        if on_known_id not in get_args(Known):
            raise ValueError(f'on_known_id must be "error", "add" or "replace", not {on_known_id!r}')
        if idempotency_key is not None and (not isinstance(idempotency_key, str) or not idempotency_key):
            raise ValueError("idempotency_key must be a non-empty string, or None for none")
        parts = await self._encode(as_messages("messages", messages))
        return await self._store(
            parts, idempotency_key=idempotency_key, expected_version=expected_version, known=on_known_id
        )

    @observed
    async def _rewrite(self, messages: Sequence[BaseMessage], removed: Sequence[str] = ()) -> Appended:
        """Bring stored messages up to date. One round trip, atomic.

        Args:
            messages: what is to be there: each takes the place of the one with its id, or is appended.
            removed: ids of messages that go first; one that is among `messages` too is appended anew.
        """
        return await self._store(await self._encode(messages), known="replace", removed=removed)

    @observed
    async def put(self, message: BaseMessage, *, expected_version: int | None = None) -> Edited:
        """Store a message in the place of the one with its id, or append it where there is none. One round trip.

        So an answer can be stored as it grows: put what there is of it, again and again, under one id.

        Args:
            message: a message with an id.
            expected_version: the session's version as the caller knows it.

        Returns:
            The new version, the message's position, and how many messages it took the place of: 1 or 0.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was stored.
            EncodingError: the message holds what cannot be stored. Nothing was sent.
            UnavailableError: the server did not confirm; it may be done again.
            ValueError: the message has no id.
        """
        if not isinstance(message, BaseMessage) or isinstance(message, RemoveMessage) or not message.id:
            raise ValueError("message must be a message with an id: put finds by it what to write over")
        done = await self._store(await self._encode([message]), expected_version=expected_version, known="put")
        return Edited(done.version, done.first, done.duplicates)

    @observed
    async def replace(
        self, message: str | int, by: MessageLikeRepresentation, *, expected_version: int | None = None
    ) -> Edited:
        """Put another message in the place of one. One round trip, atomic.

        Args:
            message: the id or position of the one that goes.
            by: the message that comes. Without an id of its own it gets that of the other, where that is known.
            expected_version: the session's version as the caller knows it.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was changed.
            EncodingError: the new message holds what cannot be stored. Nothing was sent.
            NotFoundError: there is no such message.
            UnavailableError: the server did not confirm; it may be done again.
            ValueError: another message has the new one's id, or an argument is wrong.
        """
        where = target("message", message)
        (new,) = as_messages("by", [by])
        if isinstance(message, str) and new.id is None:
            new = new.model_copy(update={"id": message})
        parts = await self._encode([new])
        place = message if isinstance(message, int) else 0  # of an id the script says it
        return await self._edit(b"replace", *where, parts=parts, places=[place], expected_version=expected_version)

    @observed
    async def delete(self, message: str | int, *, expected_version: int | None = None) -> Edited:
        """Remove one message; its id is forgotten. One round trip, atomic.

        Args:
            message: its id or position.
            expected_version: the session's version as the caller knows it.

        Returns:
            The version, and a count of 1, or 0 where there was no such message.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was changed.
            UnavailableError: the server did not confirm; it may be done again.
            ValueError: an argument is wrong.
        """
        return await self._edit(b"delete", *target("message", message), expected_version=expected_version)

    @observed
    async def truncate(self, *, after: str | int, expected_version: int | None = None) -> Edited:
        """Remove all messages behind one, as for a new answer to it. One round trip, atomic.

        Args:
            after: the id or position of the last message that stays; -1 for none.
            expected_version: the session's version as the caller knows it.

        Returns:
            The version, the position, and how many messages were removed.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was changed.
            NotFoundError: there is no message of that id.
            UnavailableError: the server did not confirm; it may be done again.
            ValueError: an argument is wrong.
        """
        return await self._edit(b"truncate", *target("after", after, least=-1), expected_version=expected_version)

    @renamed_argument("upto", "up_to")
    @observed
    async def compact(
        self,
        *,
        up_to: str | int,
        replacement: Sequence[MessageLikeRepresentation],
        expected_version: int | None = None,
    ) -> Edited:
        """Replace the head of the conversation, by a summary of it for example. One round trip, atomic.

        Messages written meanwhile stay. Where a tool exchange reaches across `up_to`, all of it stays.

        Args:
            up_to: the id or position of the last message that goes. All before it go too, a system message as well:
                what of them is to stay must be in `replacement`.
            replacement: what comes in their place, from position 0 on.
            expected_version: the session's version as the caller knows it; leave it out if messages may be appended
                meanwhile.

        Returns:
            The version, the position of the replacement, and how many messages it took the place of.

        Raises:
            ConflictError: the message `up_to` is gone, so another compacted the conversation first; or the session is
                not at `expected_version`. Nothing was changed.
            EncodingError: a message holds what cannot be stored. Nothing was sent.
            UnavailableError: the server did not confirm.
            ValueError: a message that stays has the id of one in `replacement`, or an argument is wrong.
        """
        where = target("up_to", up_to)
        if isinstance(replacement, str) or not isinstance(replacement, Sequence):
            raise ValueError("replacement must be a list of messages")
        parts = await self._encode(as_messages("replacement", replacement))
        try:
            places = range(len(parts))
            return await self._edit(b"compact", *where, parts=parts, places=places, expected_version=expected_version)
        except NotFoundError as error:
            with self._session.named:
                what = f"the head of the conversation has changed: message {up_to!r} is gone; read it again"
                raise ConflictError(what) from error

    @observed
    async def update(self, *, title: str | None = None, metadata: dict[str, Any] | None = None) -> None:
        """Set what is known of the session beside its messages; its version stays. One round trip.

        Args:
            title: a title for lists of sessions; None leaves it as it is.
            metadata: anything that JSON can carry, in the place of what was there; None leaves it as it is.

        Raises:
            EncodingError: JSON cannot carry the metadata. Nothing was sent.
            NotYoursError: the session is not this history's user's.
            TornSessionError: a part of the session is lost. Nothing was changed.
            UnavailableError: the server did not confirm; it may be done again.
            ValueError: `title` is no string, or `metadata` no dict.
        """
        if title is not None and not isinstance(title, str):
            raise ValueError("title must be a string, or None for as it is")
        if metadata is not None and not isinstance(metadata, dict):
            raise ValueError("metadata must be a dict, or None for as it is")
        with self._session.named:
            values = [b"" if value is None else to_json(value) for value in (title, metadata)]
        for _ in range(ATTEMPTS):
            reply = await self._session.annotate(*values)
            if reply[VERSION] >= 0:
                return
            await self._session.mend(reply)
        raise self._session.cannot_mend()

    @observed
    async def touch(self, *, ttl: float | timedelta | None = None) -> bool:
        """Restart the session's time to live. One round trip, and one more for a session of a user.

        Args:
            ttl: seconds or a `timedelta`; the memory's own by default. Where neither is given, nothing changes.

        Returns:
            Whether the session exists.

        Raises:
            UnavailableError: the server did not confirm.
            ValueError: `ttl` is not more than 0.
        """
        left = self._session.policy.ttl_argument if ttl is None else milliseconds("ttl", ttl)
        reply = await self._ask(b"touch", ttl=left)
        if reply[VERSION] == MISSING:
            return False
        if reply[USER] and left:
            await self._session.run(self._session.registration(reply[USER], "NX", ttl=left))
        return True

    async def _ask(self, task: bytes, *arguments: bytes, ttl: bytes | None = None) -> Any:
        """Run a task of `edit.lua` that may be done twice, mending the session first where that is needed."""
        session = self._session
        for _ in range(ATTEMPTS):
            (reply,) = await session.run(session.command(scripts.EDIT, task, *arguments, ttl=ttl))
            if reply[VERSION] >= 0 or reply[VERSION] == MISSING:
                return reply
            await session.mend(reply)
        raise session.cannot_mend()

    @observed
    async def clear(self) -> None:
        """Remove the session: its messages and all that is known of it, also what is left of a torn one. Atomic.

        One round trip; two for a session of this history's user, three for one of a user that it was not opened for,
        which take it from the list of the user's sessions.

        Raises:
            NotYoursError: the session is not this history's user's.
            UnavailableError: the server did not confirm; do it again.
        """
        session, name = self._session, field(self._session.id)
        clear = session.command(scripts.EDIT, b"clear", b"")
        session.following = 0
        if session.user is not None:
            index = user_keys(session.policy.prefix, session.user_name)
            time, reply = await session.run(scripts.USER.call(index, b"get", name), clear)
        else:
            (reply,) = await session.run(clear)
        if reply[VERSION] < 0:
            await session.mend(reply)
        if session.user is None and reply[USER]:
            # Its time first: who writes to it after the look finds another time there, and stays on the list.
            index = user_keys(session.policy.prefix, reply[USER])
            time, (_, length) = await session.run(scripts.USER.call(index, b"get", name), session.reading(b"count"))
            time = time if not length else b""
        elif session.user is None:
            return
        if time:
            await session.run(scripts.USER.call(index, b"drop", time, name))
