"""History: the operations on one conversation. This is the core, and it awaits nothing but its transport."""

from __future__ import annotations

from chatmem import scripts
from chatmem.codec import record
from chatmem.codec.encryption import is_bound, key_of
from chatmem.errors import ConflictError, NotFoundError
from chatmem.model import Entry
from chatmem.policy import Policy, check_count
from chatmem.reading import Reads
from chatmem.session import VERSION, Session, target
from chatmem.storing import CONFLICT
from chatmem.telemetry import observed
from chatmem.transports.base import Transport
from chatmem.writing import Writes


class History(Reads, Writes):
    """One conversation. Made by `ChatMemory.history`; making one costs no round trip and needs no event loop."""

    def __init__(self, transport: Transport, policy: Policy, session_id: str, user: str | None = None) -> None:
        self._session = Session(transport, policy, session_id, user)
        self.session_id = session_id

    def __repr__(self) -> str:
        return f"History({self.session_id!r})"

    @observed
    async def fork(
        self, new_session_id: str, *, upto: str | int | None = None, expected_version: int | None = None
    ) -> History:
        """Copy the conversation, or its beginning, into a new session of the same user. Two round trips.

        The copy is of one moment and is stored whole or not at all. Positions begin at 0 there; ids and times stay.
        The same fork may be done again after an error.

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
        elements, version, user = await session.everything()
        fork = History(session.transport, session.policy, new_session_id, user)
        with session.named():
            if expected_version is not None and version != expected_version:
                what = f"the session is at version {version}, not at {expected_version}: read it again, then fork"
                raise ConflictError(what, expected=expected_version, actual=version)
            entries = _until(upto, await session.entries(elements))
            parts = [self._copy(*pair) for pair in zip(entries, elements, strict=False)]
        key = f"fork of {self.session_id!r} at {version} up to {upto!r}"
        await fork._store(parts, idempotency_key=key, expected_version=0)
        return fork

    @observed
    async def reencrypt(self) -> int:
        """Seal with the newest key of the memory's ring what another key sealed, or none; title and metadata too.

        Positions, ids and times stay. One round trip to look, and one for each message that is sealed anew; where
        others write meanwhile, it looks again.

        Returns:
            How many messages were sealed. Those that cannot be read stay as they are, and so do those whose place the
            session's index of ids does not know.

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
        count, left = 0, set[int]()
        while True:
            elements, version, _ = await self._session.everything()
            pairs = zip(await self._session.entries(elements), elements, strict=True)
            stale = [pair for pair in pairs if pair[0].seq not in left and _is_stale(*pair, sealer.ring.newest)]
            if not stale:
                return count
            for entry, element in stale:
                done = await self._reseal(entry, self._copy(entry, element), version)
                if done == CONFLICT:  # somebody wrote
                    break
                if done < 0:
                    left.add(entry.seq)
                else:
                    version, count = done, count + 1

    async def _reseal(self, entry: Entry, part: record.Encoded, version: int) -> int:
        """Put a record in its own place; return the session's new version, or why it was not done."""
        sealed = (self._written_for([entry.seq]), *self._sealed([part], [entry.seq]))
        places = [target("message", name) for name in (entry.id, entry.seq) if name is not None]
        for where in places:  # by position the script has to look through all ids, which may not say the place
            reply = await self._session.write(
                scripts.EDIT, b"replace", *where, *sealed, entry="XX", expected_version=version
            )
            if reply[VERSION] >= 0 or reply[VERSION] == CONFLICT:
                break
        return int(reply[VERSION])

    def _copy(self, entry: Entry, element: bytes) -> record.Encoded:
        if entry.message is None:  # unreadable there, and no less so here
            _, _, rest = element.partition(b":") if record.position_of(element) is not None else (b"", b"", element)
            return record.Encoded(b"", b"", rest)
        created = record.now() if entry.created_at is None else record.from_datetime(entry.created_at)
        return record.encode(entry.message, entry.seq, created, self._session.policy.compression)


def _is_stale(entry: Entry, element: bytes, newest: bytes) -> bool:
    if entry.message is None or element[:1] == b"{":
        return entry.message is not None
    sealed = record.record_of(element)
    return key_of(sealed) != newest or not is_bound(sealed)


def _until(upto: str | int | None, entries: list[Entry]) -> list[Entry]:
    if upto is None:
        return entries
    for index, entry in enumerate(entries):
        if upto in (entry.seq, entry.id):
            return entries[: index + 1]
    raise NotFoundError(f"the session holds no message {upto!r}")
