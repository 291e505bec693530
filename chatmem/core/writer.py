"""Writing to a session: encode, encrypt for a position, run one script, and act on its refusals."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from langchain_core.messages import BaseMessage

from chatmem.codec import record
from chatmem.codec.compression import UnknownDictionaryError
from chatmem.codec.messages import is_equal
from chatmem.core.checks import check_count
from chatmem.core.encoding import arguments_of, encode, sealed_for
from chatmem.core.healing import cannot_mend, mend
from chatmem.core.keys import field, name_of
from chatmem.core.reader import Reader
from chatmem.core.session import ATTEMPTS, Session, answer_keys, index_keys
from chatmem.core.telemetry import moved
from chatmem.errors import (
    ChatMemError,
    ConflictError,
    CorruptRecordError,
    DuplicateIdError,
    NotFoundError,
    UnavailableError,
)
from chatmem.model import Appended, Edited, Entry, Switched
from chatmem.scripts import answers, calls
from chatmem.scripts.answers import Code, Refusal, Written
from chatmem.scripts.calls import How, Part, Shared
from chatmem.transports.base import Command

RESEALS = 100
"""How often records are encrypted anew because others took their positions, or compared anew."""

Known = Literal["error", "add", "replace"]
"""What an append does with a message whose id the session holds with other content."""


class Writer:
    """Writes to one session.

    Attributes:
        reader: reads the same session.
    """

    def __init__(self, session: Session, reader: Reader) -> None:
        self._session = session
        self.reader = reader

    async def encode(self, messages: Sequence[BaseMessage]) -> list[record.Encoded]:
        """Return the records of messages; see `encoding.encode`."""
        return await encode(self._session, messages)

    async def store(
        self,
        parts: Sequence[record.Encoded],
        *,
        idempotency_key: str | None = None,
        expected_version: int | None = None,
        on_known_id: Known | Literal["put"] = "error",
        removed: Sequence[str] = (),
        time: int | None = None,
        answer: bytes = b"",
    ) -> Appended:
        """Append encoded messages; see `History.append`.

        Args:
            parts: the messages.
            idempotency_key: as for `append`.
            expected_version: as for `append`.
            on_known_id: as for `append`; "put" also replaces a message that is the same.
            removed: the ids of messages to remove in the same step, before these are added.
            time: the time of the write in microseconds since 1970; by default now.
            answer: which answer begins or ends, as `scripts.answering` writes it; empty for none.
        """
        check_count("expected_version", expected_version, least=0)
        session = self._session
        places = [session.next_position + offset for offset in range(len(parts))]
        verdicts = b""
        key = b"" if idempotency_key is None else field(idempotency_key)
        most = b"" if session.policy.max_messages is None else b"%d" % session.policy.max_messages
        gone = [*map(field, removed)]
        how: How | None = "CH" if parts or answer else None
        keys = answer_keys(session) if answer else session.written_keys
        moved([part.record for part in parts])

        def command(shared: Shared) -> Command:
            return calls.append(
                keys,
                shared,
                arguments,
                idempotency_key=key,
                max_messages=most,
                on_known_id=on_known_id.encode(),
                sealed_for=sealed,
                verdicts=verdicts,
                removed=gone,
                answer=answer,
            )

        code = Code.TORN
        for _ in range(RESEALS):
            arguments = await arguments_of(session, parts, places, with_digests=on_known_id == "add")
            sealed = await sealed_for(session, places)
            done = await session.write(command, how, expected_version=expected_version, time=time)
            if isinstance(done, Written):
                return self._appended(done)
            code = done.code
            if code == Code.MOVED:
                places = _places(*done.details)
            elif code == Code.HIDDEN:
                verdicts = await self._verdicts(parts, *done.details)
            else:
                await self._mend(done, parts, expected_version)
        raise self._gave_up(code)

    def _appended(self, done: Written) -> Appended:
        session = self._session
        session.next_position = max(session.next_position, done.last + 1)
        if done.last >= 0:
            session.policy.seen.add(session.keys.messages)
        first, last = (None if position < 0 else position for position in (done.first, done.last))
        return Appended(done.version, first, last, done.affected)

    async def edit(
        self,
        task: bytes,
        *arguments: bytes,
        parts: Sequence[record.Encoded] = (),
        places: Sequence[int] = (),
        expected_version: int | None = None,
        how: How | None = "XX",
        about: str = "message",
        pack: Callable[[Sequence[int]], Iterable[Part]] | None = None,
    ) -> Edited:
        """Change or remove messages.

        Args:
            task: what `edit.lua` is to do.
            arguments: which message it is about.
            parts: the encoded messages that come.
            places: the positions that these are going to have, as far as the caller knows.
            expected_version: the version that the session must have; None for any.
            how: how the session enters its user's index; None to leave the index alone.
            about: what the task is about, for the error if there is none.
            pack: returns what the task takes instead of messages, given their positions.
        """
        check_count("expected_version", expected_version, least=0)
        session = self._session
        replaced = b""
        moved([part.record for part in parts])

        def command(shared: Shared) -> Command:
            return calls.edit(session.written_keys, shared, task, *arguments, sealed, replaced, *packed)

        code = Code.TORN
        for _ in range(RESEALS):
            if pack is None:
                packed = await arguments_of(session, parts, places)
            else:
                packed = [value for part in pack(places) for value in part]
            sealed = await sealed_for(session, places)
            done = await session.write(command, how, expected_version=expected_version)
            if isinstance(done, Written):
                return Edited(done.version, None if done.first < 0 else done.first, done.affected)
            code = done.code
            if code == Code.MOVED:
                places = range(done.details[0], done.details[0] + len(places))
            elif code == Code.HIDDEN:
                (entry,) = await self.reader.decoder.entries([done.details[1]])
                replaced = b"=" + (field(entry.id) if entry.id else b"")
            elif code == Code.MISSING:
                with session.named:
                    raise NotFoundError(f"the session has no such {about}")
            else:
                await self._mend(done, parts, expected_version)
        raise self._gave_up(code)

    async def switch(self, task: bytes, *arguments: bytes, about: str, expected_version: int | None) -> Switched:
        """Make another branch the active one; the chat keeps its place in its user's list.

        Args:
            task: what `edit.lua` is to do: `branch` or `switch`.
            arguments: what it takes.
            about: what must be there.
            expected_version: the version that the session must have; None for any.
        """
        done = await self.edit(task, *arguments, expected_version=expected_version, how=None, about=about)
        return Switched(done.version, done.seq or 0)

    async def keep(
        self, first: int, last: int, parts: Sequence[record.Encoded], *, expected_version: int | None = None
    ) -> Edited:
        """Keep a range of the messages, remove all others, and put encoded messages behind it. One round trip, atomic.

        Title, metadata, owner and TTL stay. If there is no session and there are messages to store, it begins.

        Args:
            first: the position of the first message to keep.
            last: the position of the last message to keep; one below `first` to keep none.
            parts: the messages that come. They get new positions.
            expected_version: the version that the session must have; None for any.

        Returns:
            The version, the position of the first message that came, and the number of messages removed.
        """
        start = self._session.next_position
        places = range(start, start + len(parts))
        span = (b"%d" % first, b"%d" % last)
        return await self.edit(b"keep", *span, parts=parts, places=places, expected_version=expected_version, how="CH")

    async def touch(self, ttl: bytes) -> bool:
        """Give the session a TTL in milliseconds; empty leaves it alone. Return whether the session exists."""
        session = self._session
        for _ in range(ATTEMPTS):
            (reply,) = await session.run(calls.edit(session.written_keys, session.shared(ttl=ttl), b"touch"))
            done = answers.written(reply)
            if isinstance(done, Written):
                if done.user and ttl:
                    await session.enter(done, "NX", ttl=ttl)
                return True
            if done.code == Code.MISSING:
                return False
            await mend(session, done)
        raise cannot_mend(session)

    async def clear(self) -> None:
        """Erase the session, and take it off its user's list; see `History.clear`."""
        session, name, marked = self._session, field(self._session.id), self._session.is_marked
        command = calls.edit(session.written_keys, session.shared(), b"clear", b"")
        session.next_position = 0
        if session.user is not None:
            index = index_keys(session.policy, session.user_name, marked=marked)
            time, reply = await session.run(calls.registered(index, name), command)
        else:
            (reply,) = await session.run(command)
        done = answers.written(reply)
        if isinstance(done, Refusal):
            await mend(session, done)
        elif done.user and (session.user is None or (done.marks and not marked)):
            # The time is read before the session: who writes in between sets another time, and stays on the list.
            index = index_keys(session.policy, done.user, marked=marked or bool(done.marks))
            time, counted = await session.run(calls.registered(index, name), session.reads.count().command)
            time = time if counted == [0, 0] else b""
        elif session.user is None:
            return
        if time:
            await session.run(calls.unregister(index, [(time, name)]))
        session.know_marks(b"")

    async def rewrite(self, messages: Sequence[BaseMessage], removed: Sequence[str] = ()) -> Appended:
        """Bring stored messages up to date. One round trip, atomic.

        Args:
            messages: each replaces the stored message with its id, or is appended.
            removed: ids of messages to remove first; one that is among `messages` too is appended anew.
        """
        return await self.store(await self.encode(messages), on_known_id="replace", removed=removed)

    def copy_of(self, entry: Entry, element: bytes) -> record.Encoded:
        """Return a stored message as an encoded one. What cannot be read is copied as it is."""
        if entry.message is None:
            _, _, rest = element.partition(b":") if record.position_of(element) is not None else (b"", b"", element)
            return record.Encoded(b"", rest)
        return record.copied(element, self._session.policy.compression, self._session.sealer)

    async def _verdicts(self, parts: Sequence[record.Encoded], version: int, *hidden: Any) -> bytes:
        """Compare messages with stored ones of the same ids that the script cannot read.

        Args:
            parts: the messages.
            version: the session's version at which the stored ones were found.
            hidden: in turn, the index of a message, and the stored element with its id.

        Returns:
            The version, and for each message "=" if it is the same, "!" if it is another, "?" if the element has
            another id, "." if it was not compared.
        """
        session, verdicts = self._session, bytearray(b"." * len(parts))
        for index, element in zip(hidden[::2], hidden[1::2], strict=True):
            (entry,) = await self.reader.decoder.entries([element], 0)
            given = record.decode(b"0:" + parts[index].record)  # not encrypted yet
            await session.pause_after(len(element))
            if entry.message is None:  # it cannot be read, so the new one counts as another
                verdict = b"!"
            elif entry.id != given.id:
                verdict = b"?"
            else:
                verdict = b"=" if await self._is_same(element, entry, parts[index], given) else b"!"
            verdicts[index : index + 1] = verdict
        return b"%d:%b" % (version, bytes(verdicts))

    async def _is_same(self, element: bytes, entry: Entry, part: record.Encoded, given: record.Decoded) -> bool:
        """Return whether a stored message equals a given one, whatever their times and forms."""
        try:
            stored = record.plain_record(element, self._session.sealer)
            await self._session.pause_after(len(element))
            new = record.plain_record(b"0:" + part.record)
        except (UnknownDictionaryError, CorruptRecordError):
            return False
        return record.content_of(stored) == record.content_of(new) or is_equal(entry.message, given.message)

    async def _mend(self, refusal: Refusal, parts: Sequence[record.Encoded], expected: int | None) -> None:
        """Mend the session if that is why the script refused; else raise what the refusal means."""
        if refusal.code not in (Code.TORN, Code.LATE, Code.OTHER_USER, Code.RAN_OUT):
            raise self._error(refusal, parts, expected)
        await mend(self._session, refusal)

    def _gave_up(self, code: Code) -> ChatMemError:
        if code == Code.TORN:
            return cannot_mend(self._session)
        task = "encrypted for its position" if code == Code.MOVED else "compared"
        what = f"the session changes faster than a message can be {task}: try again"
        return UnavailableError(what, session=self._session.id, key=self._session.key)

    def _error(
        self, refusal: Refusal, parts: Sequence[record.Encoded], expected: int | None
    ) -> ChatMemError | ValueError:
        """Return the error that a refusal means."""
        session, key = self._session.id, self._session.key
        match refusal:
            case Refusal(Code.CONFLICT, (version,)):
                what = f"the session is at version {version}, not at {expected}: read it again, then write"
                return ConflictError(what, expected=expected, actual=version, session=session, key=key)
            case Refusal(Code.ANSWERING, (name,)):
                running = name_of(name)
                what = f"the answer {running!r} runs in this session: follow it, or end it with stop({running!r})"
                return ConflictError(what, answer=running, session=session, key=key)
            case Refusal(Code.MISSING):
                what = "the answer does not run any more: its lease was over, or the session was cleared"
                return ConflictError(what, session=session, key=key)
            case Refusal(Code.DUPLICATE_ID, (-1,)):
                what = "the session holds a message with the id of this answer: give the answer another id"
                return DuplicateIdError(what, session=session, key=key)
            case Refusal(Code.DUPLICATE_ID, (index, _)):
                name = name_of(parts[index].id)
                what = f"messages[{index}] has the id {name!r}, which an answer that runs is going to have"
                what += ": give it an id of its own"
                return DuplicateIdError(what, index=index, message_id=name, session=session, key=key)
            case Refusal(Code.ACTIVE):
                what = "the branch is the active one: switch to another branch, then delete it"
                return ConflictError(what, session=session, key=key)
            case Refusal(Code.OUTDATED, (position,)):
                what = f"a newer summary speaks of the messages up to position {position}: read it with summary()"
                return ConflictError(what, session=session, key=key)
            case Refusal(Code.TOO_MANY_BRANCHES):
                return ValueError("the session has too many branches: delete some of them with delete_branch")
            case Refusal(Code.TOO_MANY, (most,)):
                return ValueError(f"replacement must be no more than the {most:,} messages that it replaces")
            case Refusal(Code.TAKEN, (index,)):
                message_id = name_of(parts[index].id)
                return ValueError(f"messages[{index}] has the id {message_id!r}, which another message has")
            case Refusal(Code.DUPLICATE_ID, (index,)):
                return self._duplicate(index, parts[index])
        raise AssertionError(f"a script refused with {refusal}, which it never should")

    def _duplicate(self, index: int, part: record.Encoded) -> DuplicateIdError:
        message_id = name_of(part.id)
        if record.is_chunk(part.record):
            what = f"messages[{index}] is a chunk, and another chunk is stored under its id {message_id!r}"
            fix = "chunks of one answer share an id, so add them up (chunk + chunk) and append the sum"
        else:
            what = f"messages[{index}] has the id {message_id!r}, which the session holds with other content"
            what += ", or on another branch"
            fix = 'give it an id of its own, or pass on_known_id="replace" to overwrite that one, or "add" to keep both'
        session = self._session
        return DuplicateIdError(
            f"{what}: {fix}", index=index, message_id=message_id, session=session.id, key=session.key
        )


def _places(next_position: int, *known: int) -> list[int]:
    """Return where messages are or will be: those with -1 come after the last, the others are there already."""
    free = itertools.count(next_position)
    return [next(free) if place < 0 else place for place in known]
