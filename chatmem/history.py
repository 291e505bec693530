"""History: the operations on one conversation."""

from __future__ import annotations

from contextlib import suppress

from chatmem.codec import record
from chatmem.codec.encryption import is_bound, key_of
from chatmem.core.annotating import Annotating
from chatmem.core.annotations import resealed
from chatmem.core.answering.public import Answering
from chatmem.core.branching import Branching
from chatmem.core.checks import check_count, target
from chatmem.core.forking import build, slices
from chatmem.core.policy import Policy
from chatmem.core.reader import ENTRIES_PER_CALL, Reader, Slice
from chatmem.core.reading import Reads
from chatmem.core.session import ATTEMPTS, Session
from chatmem.core.telemetry import observed
from chatmem.core.writer import Writer
from chatmem.core.writing import Writes
from chatmem.deprecated import renamed_argument
from chatmem.errors import ConflictError, CorruptRecordError, NotFoundError, UnavailableError
from chatmem.model import Entry
from chatmem.scripts.calls import Part
from chatmem.transports.base import Transport


class History(Reads, Writes, Branching, Annotating, Answering):
    """One conversation. `ChatMemory.history` makes it, without a round trip and without an event loop.

    Attributes:
        session_id: the id of the conversation.
    """

    def __init__(
        self, transport: Transport, policy: Policy, session_id: str, user: str | None = None, *, claim: bool = False
    ) -> None:
        self._session = Session(transport, policy, session_id, user, claim=claim)
        self._reader = Reader(self._session)
        self._writer = Writer(self._session, self._reader)
        self.session_id = session_id

    def __repr__(self) -> str:
        return f"History({self.session_id!r})"

    @renamed_argument("upto", "up_to")
    @observed
    async def fork(
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
        session = self._session
        check_count("expected_version", expected_version, least=0)
        if up_to is not None:
            target("up_to", up_to)
        for _ in range(ATTEMPTS):
            source = slices(self._reader, up_to, expected_version)
            fork = await build(source, session, new_session_id, self._writer.copy_of)
            if fork is not None:
                return History(session.transport, session.policy, new_session_id, fork.user)
        with session.named:
            raise UnavailableError("the session changes faster than it can be copied: fork it again")

    @observed
    async def reencrypt(self) -> int:
        """Encrypt with the memory's newest key whatever another key encrypted, or none, all branches included.

        Title, metadata, annotations and summary are encrypted anew, too.

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
        sealer = self._session.sealer
        if sealer is None:
            raise ValueError("reencrypt needs keys: connect with encryption=chatmem.KeyRing(...)")
        await self._reencrypt_info()
        count, after, more, left = 0, -1, True, set[int]()
        while more:
            part = await self._reader.slice(after, None, ENTRIES_PER_CALL, newest=False, all_branches=True)
            version, pairs = part.page.version, zip(part.entries, part.elements, strict=True)
            for entry, element in [one for one in pairs if _is_stale(*one, sealer.ring.newest)]:
                if entry.seq in left:
                    continue
                try:
                    version = await self._reencrypt_one(entry, element, version)
                except ConflictError:  # somebody else wrote: read again
                    break
                except NotFoundError:
                    left.add(entry.seq)
                else:
                    count += 1
            else:
                await self._reencrypt_annotations(part)
                more, after = part.more, part.entries[-1].seq if part.entries else after
        summary = await self.summary()
        if summary is not None and summary.up_to is not None:
            with suppress(ConflictError):  # somebody else has stored another one
                await self.summarize(up_to=summary.up_to, summary=summary.messages)
        return count

    async def _reencrypt_info(self) -> None:
        while True:
            info = await self.info()
            if info.title is None and not info.metadata and not info.revision:
                return
            with suppress(ConflictError):  # somebody else has updated: read again
                try:
                    await self.update(title=info.title, metadata={}, merge=True, expected_revision=info.revision)
                except CorruptRecordError:  # metadata that cannot be read stays as it is
                    await self.update(title=info.title, expected_revision=info.revision)
                return

    async def _reencrypt_annotations(self, part: Slice) -> None:
        for entry, text in zip(part.entries, part.page.annotations, strict=bool(part.page.annotations)):
            if parts := resealed(self._session, text, entry.seq):
                await self._annotate_again(entry.seq, parts)

    async def _annotate_again(self, seq: int, parts: list[Part]) -> None:
        with suppress(NotFoundError):  # somebody else has removed the message
            where = target("message", seq)
            await self._writer.edit(b"annotate", *where, places=[seq], how=None, pack=lambda _: parts)

    async def _reencrypt_one(self, entry: Entry, element: bytes, version: int) -> int:
        """Encrypt one message anew; return the session's new version."""
        done = await self._writer.edit(
            b"replace",
            *target("message", entry.seq),
            parts=[self._writer.copy_of(entry, element)],
            places=[entry.seq],
            expected_version=version,
        )
        return done.version


def _is_stale(entry: Entry, element: bytes, newest: bytes) -> bool:
    """Return whether a readable message is not encrypted with the newest key, or not bound to its position."""
    if entry.message is None or element[:1] == b"{":
        return entry.message is not None
    sealed = record.record_of(element)
    return key_of(sealed) != newest or not is_bound(sealed)
