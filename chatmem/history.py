"""History: the operations on one conversation. This is the core, and it awaits nothing but its transport."""

from __future__ import annotations

from chatmem.codec import record
from chatmem.codec.encryption import is_bound, key_of
from chatmem.core.forking import build, slices
from chatmem.core.policy import Policy, check_count
from chatmem.core.reading import Reads
from chatmem.core.session import ATTEMPTS, SLICE, Session, target
from chatmem.core.telemetry import observed
from chatmem.core.writing import Writes
from chatmem.deprecated import renamed_argument
from chatmem.errors import ConflictError, NotFoundError, UnavailableError
from chatmem.model import Entry
from chatmem.transports.base import Transport


class History(Reads, Writes):
    """One conversation. Made by `ChatMemory.history`; making one costs no round trip and needs no event loop."""

    def __init__(
        self, transport: Transport, policy: Policy, session_id: str, user: str | None = None, *, claim: bool = False
    ) -> None:
        self._session = Session(transport, policy, session_id, user, claim=claim)
        self.session_id = session_id

    def __repr__(self) -> str:
        return f"History({self.session_id!r})"

    @renamed_argument("upto", "up_to")
    @observed
    async def fork(
        self, new_session_id: str, *, up_to: str | int | None = None, expected_version: int | None = None
    ) -> History:
        """Copy the conversation, or its beginning, into a new session of the same user.

        The copy is of one moment and is stored whole or not at all. Positions begin at 0 there; ids and times stay.
        The same fork may be done again after an error. Two round trips for up to 256 messages, and two for each 256 of
        a longer conversation, which is built aside: nobody else waits for it.

        Args:
            new_session_id: the new session's id; there must be no such session.
            up_to: the id or position of the last message to copy; all by default.
            expected_version: this session's version as the caller knows it.

        Returns:
            The new conversation.

        Raises:
            ConflictError: there is a session of the new id, or this one is not at `expected_version`.
            NotFoundError: there is no message `up_to`.
            UnavailableError: the server did not confirm.
            ValueError: an argument is wrong.
        """
        session = self._session
        check_count("expected_version", expected_version, least=0)
        if up_to is not None:
            target("up_to", up_to)
        for _ in range(ATTEMPTS):
            fork = await build(slices(session, up_to, expected_version), session, new_session_id, self._copy)
            if fork is not None:
                return History(session.transport, session.policy, new_session_id, fork.user)
        with session.named:
            raise UnavailableError("others change the session faster than it can be copied: fork again")

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
        count, after, more, left = 0, -1, True, set[int]()
        while more:
            further, elements, first, version, *_ = await self._session.raw_slice(after, None, SLICE, newest=False)
            entries = await self._session.entries(elements, first)
            pairs = zip(entries, elements, strict=True)
            for entry, element in [one for one in pairs if _is_stale(*one, sealer.ring.newest)]:
                if entry.seq in left:
                    continue
                where, part = target("message", entry.seq), self._copy(entry, element)
                try:
                    done = await self._edit(
                        b"replace", *where, parts=[part], places=[entry.seq], expected_version=version
                    )
                except ConflictError:  # somebody wrote
                    break
                except NotFoundError:
                    left.add(entry.seq)
                else:
                    version, count = done.version, count + 1
            else:
                more, after = bool(further), entries[-1].seq if entries else after
        return count

    def _copy(self, entry: Entry, element: bytes) -> record.Encoded:
        if entry.message is None:  # unreadable there, and no less so here
            _, _, rest = element.partition(b":") if record.position_of(element) is not None else (b"", b"", element)
            return record.Encoded(b"", rest)
        return record.copied(element, self._session.policy.compression, self._session.sealer)


def _is_stale(entry: Entry, element: bytes, newest: bytes) -> bool:
    if entry.message is None or element[:1] == b"{":
        return entry.message is not None
    sealed = record.record_of(element)
    return key_of(sealed) != newest or not is_bound(sealed)
