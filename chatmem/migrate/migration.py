"""Moves sessions one by one: reads, compares with the target, writes, and verifies what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from langchain_core.messages import BaseMessage

from chatmem.backends.admin import Server
from chatmem.backends.connection import Connection
from chatmem.codec import record
from chatmem.codec.record import Encoded
from chatmem.core.policy import Policy
from chatmem.errors import ChatMemError, ConflictError, CorruptRecordError, NotYoursError, UnavailableError
from chatmem.history import History
from chatmem.migrate.content import Content, OtherKey, Source, Unreadable
from chatmem.migrate.layouts import Layout
from chatmem.sessions import Sessions
from chatmem.transports.driving import drive

BATCH = 500
"""The number of messages in one append."""

Status = Literal["new", "moved", "there", "unowned", "owned", "conflict", "nothing", "failed"]


class Outcome(NamedTuple):
    """What happened to a session, or would happen.

    The statuses:
        new: it would be moved.
        moved: it was moved.
        there: it was moved before.
        unowned: it was moved before, and would get its user.
        owned: it was moved before, and got its user.
        conflict: the target session holds something else, or belongs to another user.
        nothing: the source has no message of this layout, or is gone.
        failed: it cannot be stored, or what was written came back different.
    """

    source: Source
    status: Status
    messages: int = 0
    """how many messages were moved, or would be"""
    size: int = 0
    """the size in bytes of the records that were read"""
    unreadable: tuple[Unreadable, ...] = ()
    reason: str = ""
    removed: bool = False
    """whether the source was removed"""


class Migration:
    """Moves sessions of one layout to a target connection."""

    def __init__(
        self,
        server: Server,
        layout: Layout,
        target: Connection,
        prefix: str,
        owner: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        """Set up the migration. No round trip.

        Args:
            server: the source server.
            layout: the layout of the sessions there.
            target: the connection to the target server.
            prefix: the prefix of the target memory.
            owner: returns the user for a session's id, or None for no user.
        """
        self._server = server
        self._layout = layout
        self._target = target
        self._prefix = prefix
        self._owner = owner

    def find(self, match: str) -> Iterator[Source | OtherKey]:
        """Yield the sessions whose ids match a glob, and the keys among them that are not sessions."""
        return self._layout.find(self._server, match)

    def look(self, source: Source) -> Outcome:
        """Return what `move` would do. Nothing is written.

        Raises:
            UnavailableError: a server did not answer.
        """
        return self._handle(source, write=False, remove=False)

    def move(self, source: Source, *, remove: bool) -> Outcome:
        """Move the messages that the target does not have yet, and verify them.

        Args:
            source: the session.
            remove: whether to remove the source if everything was verified and the source has not changed since.

        Raises:
            UnavailableError: a server did not answer; repeat the call to resume.
        """
        return self._handle(source, write=True, remove=remove)

    def _handle(self, source: Source, *, write: bool, remove: bool) -> Outcome:
        try:
            content = self._layout.read(self._server, source)
        except CorruptRecordError as error:  # the source's key was changed since it was found
            return Outcome(source, "failed", reason=str(error))
        if content is None or not content.messages:
            unreadable = () if content is None else tuple(content.unreadable)
            return Outcome(source, "nothing", unreadable=unreadable)
        size = sum(map(len, content.raw))
        outcome = Outcome(source, "new", size=size, unreadable=tuple(content.unreadable))
        try:
            outcome = self._store(outcome, content, write=write)
        except UnavailableError:
            raise
        except (ChatMemError, ValueError) as error:  # concerns this session only
            status: Status = "conflict" if isinstance(error, ConflictError | NotYoursError) else "failed"
            return outcome._replace(status=status, messages=0, reason=str(error))
        if remove and outcome.status in ("moved", "there", "owned") and not content.unreadable:
            removed = self._layout.remove(self._server, source, content)
            reason = "" if removed else "the source changed meanwhile, so it was not removed: run the migration again"
            outcome = outcome._replace(removed=removed, reason=reason)
        return outcome

    def _store(self, outcome: Outcome, content: Content, *, write: bool) -> Outcome:
        ttl = None if content.ttl is None else max(content.ttl, 1) / 1000
        user = self._owner(outcome.source.session)
        sessions = Sessions(self._target, Policy(prefix=self._prefix, ttl=ttl))
        session, claim = outcome.source.session, user is not None
        history = sessions.history(session, user, claim=claim, blocking=True)
        writer = sessions.writer(session, user, claim=claim, blocking=True)
        info = drive(history.info())
        version = info.version
        wanted = _encode(content)
        held = _held(history)
        if held[: len(wanted)] != [_comparable(message) for message in content.messages[: len(held)]]:
            reason = f"the target session {history.session_id!r} holds other messages"
            return outcome._replace(status="conflict", reason=reason)
        rest = wanted[len(held) :]
        outcome = outcome._replace(messages=len(rest), status="new" if rest else "there")
        if not rest and user is not None and info.user is None:
            if write:
                drive(history.update())
            return outcome._replace(status="owned" if write else "unowned")
        if not write or not rest:
            return outcome
        for start in range(0, len(rest), BATCH):
            done = drive(writer.store(rest[start : start + BATCH], expected_version=version, on_known_id="add"))
            version = done.version
        if _held(history)[: len(wanted)] != [_comparable(message) for message in content.messages]:
            return outcome._replace(status="failed", reason="the messages read back differ from those written")
        return outcome._replace(status="moved")


def _encode(content: Content) -> list[Encoded]:
    """Return the messages as records. Of equal messages, only the first keeps its id, so that all are stored."""
    now, seen, parts = record.now(), set[bytes](), []
    for index, (message, created) in enumerate(zip(content.messages, content.created, strict=True)):
        part = record.encode(message, index, now if created is None else created)
        essence = _comparable(message)
        parts.append(part._replace(id=b"") if essence in seen else part)
        seen.add(essence)
    return parts


def _held(history: History) -> list[bytes]:
    """Return the target's messages in comparable form.

    Raises:
        ValueError: a message cannot be read.
    """
    try:
        return [_comparable(message) for message in drive(history.messages(strict=True))]
    except CorruptRecordError as error:
        raise ValueError(f"the target session holds a record that cannot be read: {error}") from error


def _comparable(message: BaseMessage) -> bytes:
    """Return a message's whole content in comparable form, in which NaN equals itself."""
    return record.encode(message, 0, 0).record
