"""Building a session aside, in slices, and putting it in place in one step: for forks and imports."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from chatmem.core.annotations import packed
from chatmem.core.keys import aside
from chatmem.core.session import FIRST_OF_SUMMARY, Session
from chatmem.scripts import answers, calls
from chatmem.scripts.answers import Refusal
from chatmem.scripts.calls import Extras
from chatmem.transports.base import Command


class Staged(NamedTuple):
    """A message of a session that is built aside."""

    id: bytes
    record: bytes
    annotations: Mapping[str, Any]
    is_readable: bool = True
    """If false, the record stays as it is; others are encrypted if the memory has keys."""


class Beside(NamedTuple):
    """What a session that is built aside has beside messages."""

    created: int | None = None
    updated: int | None = None
    """`created` and `updated` are in microseconds since 1970; None for now."""
    branches: bytes = b""
    """the branches, as scripts keep them; empty if there is one"""
    summarized: int | None = None
    """the position up to which the summary speaks, -1 if those messages are gone; None for no summary"""
    summary: Sequence[bytes] = ()
    """the records of the summary"""


NOTHING = Beside()


class Staging:
    """Builds a session aside. Nobody sees it before `commit`, and it expires if that never comes.

    Attributes:
        session: the session.
        count: how many messages were added.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.count = 0
        log = session.written_keys[len(session.keys) :]
        self._keys = (*session.keys, *aside(session.keys, secrets.token_hex(4).encode()), *log)
        self._is_annotated = False

    def add(self, messages: Iterable[Staged], pinned: int = 0) -> list[Command]:
        """Return the commands that add messages; send them with `Session.send`, or hand them to `commit`.

        Args:
            messages: the messages, oldest first.
            pinned: how many messages at the head of the session a compaction put there.
        """
        copies: list[bytes] = []
        notes: list[tuple[int, bytes]] = []
        first = self.count
        for one in messages:
            copies += (one.id, self._sealed(one.record, self.count) if one.is_readable else one.record)
            if one.annotations:
                notes.append((self.count, packed(self.session, one.annotations, self.count)))
            self.count += 1
        commands = [calls.stage_add(self._keys, first, pinned, copies)]
        if notes:
            self._is_annotated = True
            commands.append(calls.stage_annotate(self._keys, notes))
        return commands

    def _sealed(self, record: bytes, place: int) -> bytes:
        sealer = self.session.sealer
        return record if sealer is None else sealer.seal(record, place)

    async def commit(
        self, last: Sequence[Command], *, idempotency_key: bytes, pinned: int = 0, beside: Beside = NOTHING
    ) -> Refusal | None:
        """Put the session in its place, and enter it in its user's index. One round trip, atomic.

        Args:
            last: the commands that add the last messages.
            idempotency_key: names what was built, so that a repeated commit is recognised.
            pinned: how many messages at the head a compaction put there.
            beside: what the session has beside messages.

        Returns:
            Why that was refused: there is another session, a torn one, or what was built has expired. Else None.
        """
        session, policy = self.session, self.session.policy
        now = b"" if beside.updated is None else b"%d" % beside.updated
        extras = Extras(
            created=b"" if beside.created is None else b"%d" % beside.created,
            updated=now,
            noted=b"1" if self._is_annotated else b"",
            branches=beside.branches,
            summarized=b"" if beside.summarized is None else b"%d" % beside.summarized,
        )
        summary = [self._sealed(*one) for one in zip(beside.summary, count(FIRST_OF_SUMMARY), strict=False)]
        call = policy.calls.begin(session.keys.messages)
        try:
            commit = calls.stage_commit(
                self._keys,
                call.token,
                ttl=policy.ttl_argument,
                user=session.user_name,
                idempotency_key=idempotency_key,
                count=self.count,
                pinned=pinned,
                extras=extras,
                summary=summary,
            )
            commands = [*last, commit]
            registers = [] if session.user is None else [session.register(session.user_name, "CH", now=now)]
            replies = await session.confirmed(*commands, *(registers if policy.wait is None else ()))
            if registers and policy.wait is not None:
                await session.run(*registers)
        finally:
            policy.calls.end(call)
        return answers.refusal(replies[len(last)])
