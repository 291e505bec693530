"""The changes of a user's list of sessions, in order, as they come."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from chatmem.core.feed import NOTHING, Changes, is_newer
from chatmem.core.keys import name_of, user_keys, user_log
from chatmem.core.policy import Policy
from chatmem.model import SessionChange
from chatmem.scripts import calls
from chatmem.scripts.answers import UserNews
from chatmem.transports.base import Transport

_MOST = 1000
"""How many sessions the script returns at most, and how many messages are remembered until it is asked."""
_CURSOR = re.compile(rb"(\d+-\d+) (\d+(?:\.\d+)?(?:e[+-]\d+)?)")


class UserChanges(Changes[SessionChange]):
    """Iterates over the changes of a user's list; see `ChatMemory.changes`."""

    def __init__(
        self, transport: Transport, policy: Policy, user: bytes, after: str | None, timeout: float | None
    ) -> None:
        self._log = user_log(policy.prefix, user)
        super().__init__(transport, self._log, timeout)
        self._keys = (*user_keys(policy.prefix, user), self._log)
        self._publishes = policy.publish
        self._known, self._time = (b"", b"0") if after is None else _from_cursor(after)
        """The id of the last change that was seen, and the time up to which all writes are known."""
        self._pushed: set[tuple[bytes, float]] = set()
        """Sessions and times of their writes, as messages told since that time."""
        self._removed = False
        """Whether the last change was a removal: the log goes with the last session."""

    async def _take(self, message: bytes | None) -> list[SessionChange]:
        """Return the changes that a message holds, or that the server tells."""
        if message and len(self._pushed) < _MOST:
            before, change_id, text = message.split(b" ", 2)
            if before == self._known:
                self._published = True
                return [self._followed(change_id, text)]
            if self._known and not is_newer(change_id, self._known):
                return []
        read = calls.user_changes(self._keys, self._known, self._time)
        (reply,) = await self._transport.run([read.command])
        return self._told(read.answer(reply))

    def _told(self, news: UserNews) -> list[SessionChange]:
        begun, self._known = self._known, self._known or news.newest
        changes: list[SessionChange] = []
        if begun and (news.unbroken or begun == NOTHING):
            changes = [self._followed(*change) for change in news.changes]
            unpublished = [one for one in news.written if (one[0], float(one[1])) not in self._pushed]
            self._published = not unpublished and (self._publishes or news.newest != NOTHING)
        elif begun:
            unpublished = []
            if not (self._removed and news.newest == NOTHING):
                changes = [SessionChange("reset", None, self._cursor(news.newest, news.time))]
        else:
            unpublished = []
            self._published = self._publishes or news.newest != NOTHING
        self._known, self._time = news.newest, news.time
        self._pushed.clear()
        if len(unpublished) >= _MOST:
            return [SessionChange("reset", None, self._cursor(self._known, self._time))]
        return changes + [self._change("written", name) for name, _ in unpublished]

    def _followed(self, change_id: bytes, text: bytes) -> SessionChange:
        """Return a change of the log that follows the last one."""
        time, kind, name = text.split(b" ", 2)
        self._known, self._removed = change_id, kind == b"removed"
        self._pushed.add((name, float(time)))
        return self._change(kind.decode(), name)

    def _change(self, kind: str, name: bytes) -> SessionChange:
        return SessionChange(kind, name_of(name), self._cursor(self._known, self._time))

    @staticmethod
    def _cursor(change_id: bytes, time: bytes) -> str:
        return urlsafe_b64encode(b"%b %b" % (change_id, time)).decode()


def _from_cursor(cursor: str) -> tuple[bytes, bytes]:
    try:
        found = _CURSOR.fullmatch(urlsafe_b64decode(cursor))
    except (ValueError, TypeError):
        found = None
    if found is None:
        raise ValueError("after must be the `cursor` of a change of this list")
    return found[1], found[2]
