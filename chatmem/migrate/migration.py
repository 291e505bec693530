"""Moving sessions one by one: read, compared, written, read again, compared again."""

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
from chatmem.migrate.content import Content, Left, Source, Unreadable
from chatmem.migrate.layouts import Layout
from chatmem.sessions import Sessions
from chatmem.transports.driving import drive

SLICE = 500
"""How many messages are appended at a time."""

Status = Literal["new", "moved", "there", "unowned", "owned", "conflict", "nothing", "failed"]


class Outcome(NamedTuple):
    """What became of a session, or would."""

    source: Source
    status: Status
    """new: to be moved; moved; there: was moved before; unowned: was moved before and is to get its owner; owned: got
    it; conflict: the session holds something else, or is another user's; nothing: no message of this layout is in it,
    or it is gone; failed: it cannot be stored, or came back different"""
    messages: int = 0
    """how many were moved, or would be"""
    size: int = 0
    """bytes of the records that were read"""
    unreadable: tuple[Unreadable, ...] = ()
    reason: str = ""
    removed: bool = False
    """whether the source was removed"""


class Migration:
    """Moves sessions of one layout to where a connection leads."""

    def __init__(
        self,
        server: Server,
        layout: Layout,
        target: Connection,
        prefix: str,
        owner: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        """Begin; nothing is sent yet.

        Args:
            server: where the sessions are.
            layout: how they lie there.
            target: where they go.
            prefix: of the memory there.
            owner: returns whose a session is to be, by its id; None for nobody's.
        """
        self._server = server
        self._layout = layout
        self._target = target
        self._prefix = prefix
        self._owner = owner

    def find(self, match: str) -> Iterator[Source | Left]:
        """Yield the sessions whose ids match a glob, and the keys beside them that are none."""
        return self._layout.find(self._server, match)

    def look(self, source: Source) -> Outcome:
        """Return what moving a session would do; nothing is written.

        Raises:
            UnavailableError: a server did not answer.
        """
        return self._handle(source, write=False, remove=False)

    def move(self, source: Source, *, remove: bool) -> Outcome:
        """Move a session, as far as it is not there yet, and verify what was written.

        Args:
            source: the session.
            remove: whether to remove the source, where all of it is verified and it has not changed meanwhile.

        Raises:
            UnavailableError: a server did not answer; moving again goes on where this ended.
        """
        return self._handle(source, write=True, remove=remove)

    def _handle(self, source: Source, *, write: bool, remove: bool) -> Outcome:
        try:
            content = self._layout.read(self._server, source)
        except CorruptRecordError as error:  # its key holds something else by now
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
        except (ChatMemError, ValueError) as error:  # of this session alone
            status: Status = "conflict" if isinstance(error, ConflictError | NotYoursError) else "failed"
            return outcome._replace(status=status, messages=0, reason=str(error))
        if remove and outcome.status in ("moved", "there", "owned") and not content.unreadable:
            removed = self._layout.remove(self._server, source, content)
            reason = "" if removed else "the source has changed meanwhile, so it stays: do it again"
            outcome = outcome._replace(removed=removed, reason=reason)
        return outcome

    def _store(self, outcome: Outcome, content: Content, *, write: bool) -> Outcome:
        ttl = None if content.ttl is None else max(content.ttl, 1) / 1000
        user = self._owner(outcome.source.session)
        sessions, session, claim = (
            Sessions(self._target, Policy(self._prefix, ttl)),
            outcome.source.session,
            user is not None,
        )
        history = sessions.history(session, user, claim=claim, blocking=True)
        writer = sessions.writer(session, user, claim=claim, blocking=True)
        info = drive(history.info())
        version = info.version
        wanted = _encode(content)
        held = _held(history)
        if held[: len(wanted)] != [_essence(message) for message in content.messages[: len(held)]]:
            reason = f"session {history.session_id!r} holds something else at the target"
            return outcome._replace(status="conflict", reason=reason)
        rest = wanted[len(held) :]
        outcome = outcome._replace(messages=len(rest), status="new" if rest else "there")
        if not rest and user is not None and info.user is None:
            if write:
                drive(history.update())
            return outcome._replace(status="owned" if write else "unowned")
        if not write or not rest:
            return outcome
        for start in range(0, len(rest), SLICE):
            done = drive(writer.store(rest[start : start + SLICE], expected_version=version, on_known_id="add"))
            version = done.version
        if _held(history)[: len(wanted)] != [_essence(message) for message in content.messages]:
            return outcome._replace(status="failed", reason="what was written came back different")
        return outcome._replace(status="moved")


def _encode(content: Content) -> list[Encoded]:
    """Return the records; a message that stands there twice has its id once, so that both are kept."""
    now, seen, parts = record.now(), set[bytes](), []
    for index, (message, created) in enumerate(zip(content.messages, content.created, strict=True)):
        part = record.encode(message, index, now if created is None else created)
        essence = _essence(message)
        parts.append(part._replace(id=b"") if essence in seen else part)
        seen.add(essence)
    return parts


def _held(history: History) -> list[bytes]:
    """Return the essence of each message that the target has.

    Raises:
        ValueError: one of them cannot be read.
    """
    try:
        return [_essence(message) for message in drive(history.messages(strict=True))]
    except CorruptRecordError as error:
        raise ValueError(f"the target holds what cannot be read: {error}") from error


def _essence(message: BaseMessage) -> bytes:
    """Return all that is in a message, comparable: NaN is equal to itself here."""
    return record.encode(message, 0, 0).record
