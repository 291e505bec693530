"""What readers of an answer get: what there is, what comes, and the end."""

from __future__ import annotations

import re

from chatmem.core.answering.batches import published, unpacked
from chatmem.core.answering.collecting import status_of, summed
from chatmem.core.answering.settling import ENTRIES_PER_CALL
from chatmem.core.decoder import Decoder
from chatmem.core.feed import Changes, is_newer
from chatmem.core.healing import cannot_mend, mend
from chatmem.core.keys import field, stream_of
from chatmem.core.session import ATTEMPTS, Session
from chatmem.errors import NotFoundError
from chatmem.model import Chunk
from chatmem.scripts import answering, answers
from chatmem.scripts.answers import Code, Ended, Running

POLLING = 0.25
"""How often, in seconds, the server is asked where it does not push."""
CHECKING = 5.0
"""The same where it pushes, after so long a silence: the producer may be gone."""
_CURSOR = re.compile(r"\d{1,20}-\d{1,20}")


class Following(Changes[Chunk]):
    """Iterates over the parts of an answer; see `History.follow`."""

    def __init__(
        self, session: Session, decoder: Decoder, answer: str, after: str | None, timeout: float | None
    ) -> None:
        if not isinstance(answer, str) or not answer:
            raise ValueError(f"answer_id must be the id of an answer, not {answer!r}")
        if after is not None and not (isinstance(after, str) and _CURSOR.fullmatch(after)):
            raise ValueError(f"after must be the `cursor` of a chunk, not {after!r}")
        super().__init__(session.transport, stream_of(session.keys), timeout)
        self._polling, self._checking = POLLING, CHECKING
        self._session, self._decoder = session, decoder
        self._name, self._answer = field(answer), answer
        self._known = (after or "").encode()
        self._calls = answering.Asking((*session.keys, self._channel), session.user_name, session.claim)
        self._ask_in = 0.0  # it may have ended: then there is nothing to listen to

    async def _take(self, message: bytes | None) -> list[Chunk]:
        """Return the part that a message holds, or what the server tells."""
        if message:
            before, entry, answer, number, records = published(message)
            if answer != self._name or (self._known and not is_newer(entry, self._known)):
                return []
            if self._known and not is_newer(before, self._known):
                return [await self._part(entry, [(number, records)])]
        found = await self._ask()
        if isinstance(found, Running):
            entries = [(int(number), records) for _, number, records in found.entries]
            part = await self._part(found.last, entries)
            if found.more:
                self._ask_in = 0.0
            return [part] if part.messages else []
        await self._unsubscribe()
        if found is None:
            last = Chunk(self._cursor, [], "interrupted")
        else:
            messages = self._decoder.readable(await self._decoder.entries(found.elements))
            last = Chunk(self._cursor, messages, status_of(messages))
        self._over = True  # only now: until here this may be cancelled, and the iteration goes on
        return [last]

    async def _part(self, last: bytes, batches: list[tuple[int, list[bytes]]]) -> Chunk:
        messages = []
        for number, records in batches:
            messages += await unpacked(self._decoder, self._name, number, records)
        self._known = last  # only now, since this may be cancelled
        return Chunk(self._cursor, summed(messages))

    @property
    def _cursor(self) -> str:
        return self._known.decode() or "0-0"

    async def _ask(self) -> Running | Ended | None:
        """Ask the server. Return None if the answer is gone since this iteration has begun.

        Raises:
            NotFoundError: there is no such answer.
        """
        session = self._session
        read = self._calls.follow(self._name, self._known, ENTRIES_PER_CALL, field(f"{self._answer}."))
        for _ in range(ATTEMPTS):
            (reply,) = await session.run(read.command)
            refusal = answers.refusal(reply)
            if refusal is None:
                return read.answer(reply[1:])
            if refusal.code == Code.MISSING and self._begun:
                return None
            if refusal.code == Code.MISSING:
                with session.named:
                    raise NotFoundError(f"the session has no answer {self._answer!r}")
            await mend(session, refusal)
        raise cannot_mend(session)
