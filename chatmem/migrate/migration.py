"""Moving sessions one by one: read, compared, written, read again, compared again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from langchain_core.messages import BaseMessage

from chatmem.codec import record
from chatmem.codec.record import Encoded
from chatmem.connect import Connection
from chatmem.errors import ConflictError, CorruptRecordError, EncodingError
from chatmem.history import History
from chatmem.migrate.content import Content, Source, Unreadable
from chatmem.migrate.layouts import Layout
from chatmem.migrate.server import Server
from chatmem.policy import Policy
from chatmem.transports.blocking import drive

SLICE = 500
"""How many messages are appended at a time."""

Status = Literal["new", "moved", "there", "conflict", "nothing", "failed"]


class Outcome(NamedTuple):
    """What became of a session, or would."""

    source: Source
    status: Status
    """new: to be moved; moved; there: was moved before; conflict: the session holds something else; nothing: no message
    of this layout is in it, or it is gone; failed: it cannot be stored, or came back different"""
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

    def __init__(self, server: Server, layout: Layout, target: Connection, prefix: str) -> None:
        self._server = server
        self._layout = layout
        self._target = target
        self._prefix = prefix

    def find(self, match: str) -> Iterator[Source]:
        """Yield the sessions whose ids match a glob."""
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
        content = self._layout.read(self._server, source)
        if content is None or not content.messages:
            unreadable = () if content is None else tuple(content.unreadable)
            return Outcome(source, "nothing", unreadable=unreadable)
        size = sum(map(len, content.raw))
        outcome = Outcome(source, "new", size=size, unreadable=tuple(content.unreadable))
        try:
            outcome = self._store(outcome, content, write=write)
        except (ConflictError, EncodingError, ValueError) as error:
            status: Status = "conflict" if isinstance(error, ConflictError) else "failed"
            return outcome._replace(status=status, messages=0, reason=str(error))
        if remove and outcome.status in ("moved", "there") and not content.unreadable:
            removed = self._layout.remove(self._server, source, content)
            reason = "" if removed else "the source has changed meanwhile, so it stays: do it again"
            outcome = outcome._replace(removed=removed, reason=reason)
        return outcome

    def _store(self, outcome: Outcome, content: Content, *, write: bool) -> Outcome:
        ttl = None if content.ttl is None else max(content.ttl, 1) / 1000
        history = History(self._target.blocking(), Policy(self._prefix, ttl), outcome.source.session)
        version = drive(history.info()).version
        wanted = _encode(content)
        held = _held(history)
        if held[: len(wanted)] != [_essence(message) for message in content.messages[: len(held)]]:
            reason = f"session {history.session_id!r} holds something else at the target"
            return outcome._replace(status="conflict", reason=reason)
        rest = wanted[len(held) :]
        outcome = outcome._replace(messages=len(rest), status="new" if rest else "there")
        if not write or not rest:
            return outcome
        for start in range(0, len(rest), SLICE):
            done = drive(history._store(rest[start : start + SLICE], expected_version=version))
            version = done.version
        if _held(history)[: len(wanted)] != [_essence(message) for message in content.messages]:
            return outcome._replace(status="failed", reason="what was written came back different")
        return outcome._replace(status="moved")


def _encode(content: Content) -> list[Encoded]:
    """Return the records; an id that stands there twice counts once, so that both messages are kept."""
    now, seen, parts = record.now(), set[bytes](), []
    for index, (message, created) in enumerate(zip(content.messages, content.created, strict=True)):
        part = record.encode(message, index, now if created is None else created)
        parts.append(part._replace(id=b"", digest=b"") if part.id in seen else part)
        seen.add(part.id)
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
