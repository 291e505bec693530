"""The changes of one session, in order, as they come."""

from __future__ import annotations

from chatmem.core.feed import NOTHING, Changes, is_newer
from chatmem.core.healing import cannot_mend, mend
from chatmem.core.keys import log_of
from chatmem.core.session import ATTEMPTS, Session
from chatmem.model import Change
from chatmem.scripts import answers, calls
from chatmem.scripts.answers import News


class SessionChanges(Changes[Change]):
    """Iterates over the changes of a session; see `History.changes`."""

    def __init__(self, session: Session, after: int | None, timeout: float | None) -> None:
        self._log = log_of(session.keys)
        super().__init__(session.transport, self._log, timeout)
        self._session = session
        self._known = b""
        """The id of the last change that was seen, empty before the first answer."""
        self._version = after
        """The version that its reader knows, None before the first answer."""
        self._next: int | None = None
        """The next position at that version, None if it is not known."""

    async def _take(self, message: bytes | None) -> list[Change]:
        """Return the changes that a message holds, or that the server tells."""
        if message:
            before, change_id, text = message.split(b" ", 2)
            whose = self._session.user is None or before != NOTHING  # the first change may begin another user's session
            if before == self._known and whose and (change := self._followed(change_id, text)) is not None:
                self._published = True
                return [change]
            if self._known and not is_newer(change_id, self._known):
                return []
        return self._told(await self._ask())

    async def _ask(self) -> News:
        session = self._session
        keys, after = (*session.keys, self._log), None if self._known else self._version
        read = calls.changes(keys, session.user_name, session.claim, since=self._known, after=after)
        for _ in range(ATTEMPTS):
            (reply,) = await session.run(read.command)
            refusal = answers.refusal(reply)
            if refusal is None:
                return read.answer(reply[1:])
            await mend(session, refusal)
        raise cannot_mend(session)

    def _told(self, news: News) -> list[Change]:
        """Return the changes that an answer holds; one for all that the log does not hold."""
        changes: list[Change] = []
        unbroken = news.unbroken or self._known in (b"", NOTHING)
        for change_id, text in news.changes if unbroken else ():
            change = self._followed(change_id, text)
            if change is None:
                break
            changes.append(change)
        else:
            if unbroken and self._version in (None, news.version):
                self._published = self._session.policy.publish or news.newest != NOTHING
                self._jump(news)
                return changes
        changes.append(self._coarse(news, unbroken=bool(unbroken)))
        self._published = False
        self._jump(news)
        return changes

    def _followed(self, change_id: bytes, text: bytes) -> Change | None:
        """Return a change of the log that follows the last one; None if there is a version between them."""
        number, kind, first, last = text.split(b" ")
        version, ends = int(number), [None if place == b"-1" else int(place) for place in (first, last)]
        if self._version is None or version not in (self._version, self._version + 1):
            return None
        self._known, self._version = change_id, version
        if kind == b"appended" and ends[1] is not None:
            self._next = ends[1] + 1
        return Change(kind.decode(), version, *ends)

    def _coarse(self, news: News, *, unbroken: bool) -> Change:
        """Return one change for all that happened since the last one."""
        if not news.exists:
            return Change("cleared", 0, None, None)
        known, following = self._version or 0, self._next
        only_appends = unbroken and news.edited <= known < news.version
        if only_appends and following is not None and following < news.next:
            return Change("appended", news.version, following, news.next - 1)
        return Change("reset", news.version, None, None)

    def _jump(self, news: News) -> None:
        self._known, self._version, self._next = news.newest, news.version, news.next
