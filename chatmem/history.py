"""History: the operations on one conversation. This is the core, and it awaits nothing but its transport."""

from __future__ import annotations

from chatmem.codec import record
from chatmem.codec.encryption import key_of
from chatmem.errors import ConflictError, NotFoundError, UnavailableError
from chatmem.forking import ATTEMPTS, build, name_of_fork, slices
from chatmem.model import Entry
from chatmem.policy import Policy, check_count
from chatmem.reading import Reads
from chatmem.session import SLICE, Session, target
from chatmem.telemetry import observed
from chatmem.transports.base import Transport
from chatmem.writing import Writes


class History(Reads, Writes):
    """One conversation. Made by `ChatMemory.history`; making one costs no round trip and needs no event loop."""

    def __init__(
        self, transport: Transport, policy: Policy, session_id: str, user: str | None = None, *, claim: bool = False
    ) -> None:
        self._session = Session(transport, policy, session_id, user, claim=claim)
        self.session_id = session_id

    def __repr__(self) -> str:
        return f"History({self.session_id!r})"

    @observed
    async def fork(
        self, new_session_id: str, *, upto: str | int | None = None, expected_version: int | None = None
    ) -> History:
        """Copy the conversation, or its beginning, into a new session of the same user.

        The copy is of one moment and is stored whole or not at all. Positions begin at 0 there; ids and times stay.
        The same fork may be done again after an error. Two round trips for up to 256 messages, and two for each 256 of
        a longer conversation, which is built aside: nobody else waits for it.

        Args:
            new_session_id: the new session's id; there must be no such session.
            upto: the id or position of the last message to copy; all by default.
            expected_version: this session's version as the caller knows it.

        Returns:
            The new conversation.

        Raises:
            ConflictError: there is a session of the new id, or this one is not at `expected_version`.
            NotFoundError: there is no message `upto`.
            UnavailableError: the server did not confirm.
            ValueError: an argument is wrong.
        """
        session = self._session
        check_count("expected_version", expected_version, least=0)
        if upto is not None:
            target("upto", upto)
        for _ in range(ATTEMPTS):
            first = await anext(slices(session, upto, expected_version))
            fork = History(session.transport, session.policy, new_session_id, first.user)
            if not first.more and not first.pinned:
                parts = [self._copy(*pair) for pair in zip(first.entries, first.elements, strict=False)]
                key = name_of_fork(session, first)
                await fork._store(parts, idempotency_key=key, expected_version=0, known="add")
                return fork
            if await build(slices(session, upto, expected_version), fork._session, session, self._copy):
                return fork
        with session.named():
            raise UnavailableError("others change the session faster than it can be copied: fork again")

    @observed
    async def reencrypt(self) -> int:
        """Seal with the newest key of the memory's ring what another key sealed, or none; title and metadata too.

        Positions, ids and times stay. One round trip to look, and one for each message that is sealed anew; where
        others write meanwhile, it looks again.

        Returns:
            How many messages were sealed; those that cannot be read stay as they are.

        Raises:
            UnavailableError: the server did not confirm; do it again for the rest.
            ValueError: the memory has no `encryption`.
        """
        sealer = self._session.sealer
        if sealer is None:
            raise ValueError("reencrypt needs keys: connect with encryption=chatmem.KeyRing(...)")
        info = await self.info()
        if info.title is not None or info.metadata:
            await self.update(title=info.title, metadata=info.metadata or None)
        count, after, more = 0, -1, True
        while more:
            left, elements, first, version, *_ = await self._session.raw_slice(after, None, SLICE, newest=False)
            entries = await self._session.entries(elements, first)
            stale = [pair for pair in zip(entries, elements, strict=True) if _is_stale(*pair, sealer.ring.newest)]
            for entry, element in stale:
                where = target("message", entry.seq)
                try:
                    done = await self._edit(
                        b"replace", *where, parts=[self._copy(entry, element)], places=[entry.seq], expected_version=version
                    )
                except (ConflictError, NotFoundError):  # somebody wrote
                    break
                version, count = done.version, count + 1
            else:
                more = bool(left)
                after = entries[-1].seq if entries else after
        return count

    def _copy(self, entry: Entry, element: bytes) -> record.Encoded:
        if entry.message is None:  # unreadable there, and no less so here
            _, _, rest = element.partition(b":") if record.position_of(element) is not None else (b"", b"", element)
            return record.Encoded(b"", rest)
        created = record.now() if entry.created_at is None else record.from_datetime(entry.created_at)
        return record.encode(entry.message, entry.seq, created, self._session.policy.compression)


def _is_stale(entry: Entry, element: bytes, newest: bytes) -> bool:
    return entry.message is not None and (element[:1] == b"{" or key_of(record.record_of(element)) != newest)
