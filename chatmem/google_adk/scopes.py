"""State that several sessions share: an app's, and a user's.

A scope is a chatmem session whose messages are changes (deltas), in the order in which they count. Its state is what
the changes make of it one after another; now and then a message with the state takes the place of those before it.

An event and its delta lie in different slots, so no script can store both. Therefore the delta is stored first, as one
that waits for its event (`prepare`). The event's append decides. Afterwards the delta is marked as done (`confirm`).
Whoever reads the scope in between looks whether the event is there, and only then counts the delta. A waiting delta
says at which version of its session the event was to be appended. A session's version only grows, so if the session is
past that version without the event, the event never comes, and the reader removes the delta. Each attempt to store an
event has a delta of its own, so nobody removes what another attempt still needs.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from chatmem.errors import ConflictError, CorruptRecordError, NotFoundError, TornSessionError
from chatmem.google_adk.deltas import of_app, of_user
from chatmem.google_adk.events import KEPT
from chatmem.history import History
from chatmem.sessions import Sessions

FOLD_AT = 32
"""How many deltas a scope has when a reader puts one message with the state in their place."""
_GIVEN_UP = 3600.0
"""The seconds after which an event that nobody stored is not stored any more. Calls are given up much earlier."""


class Scope:
    """The state of an app, or of a user of an app."""

    def __init__(self, sessions: Sessions, scope_id: str, owner: str | None, title: str) -> None:
        """Open a scope. No round trip.

        Args:
            sessions: where the scope is.
            scope_id: the id of the chatmem session.
            owner: the id of the scope that lists this one; None for none.
            title: the name of the app or the user.
        """
        self._sessions = sessions
        self._history = sessions.history(scope_id, owner)
        self._title = title

    async def state(self) -> dict[str, Any]:
        """Return the state. One round trip; more if there are deltas to decide about, or many to fold."""
        state, whole = dict[str, Any](), list[BaseMessage]()
        folded: dict[str, Any] | None = None
        for message in await self._history.messages():
            kept = message.additional_kwargs.get(KEPT, {})
            if "waits" in kept and not await self._decide(message):
                folded = dict(state) if folded is None else folded
                continue
            state = {**kept["state"]} if "state" in kept else state
            state.update(kept.get("delta", {}))
            if folded is None:
                whole.append(message)
        if len(whole) > FOLD_AT:
            await self._fold(whole[-1].id, state if folded is None else folded)
        return state

    async def prepare(self, delta: dict[str, Any], event_id: str, session_id: str, version: int) -> AIMessage:
        """Store a delta that waits for its event, and return it for `confirm`. One round trip.

        Args:
            delta: the new values.
            event_id: the event's id.
            session_id: the id of the chatmem session with the events.
            version: the version that this session has when the event is appended.
        """
        waits = {"event": event_id, "session": session_id, "version": version, "since": time.time()}
        kept = {KEPT: {"delta": delta, "waits": waits}}
        message = AIMessage("", id=secrets.token_urlsafe(9), additional_kwargs=kept)
        await self._history.append(message)
        return message

    async def confirm(self, message: BaseMessage) -> None:
        """Mark a delta as done: its event is stored. One round trip."""
        done = {KEPT: {"delta": message.additional_kwargs[KEPT]["delta"]}}
        with suppress(NotFoundError):  # a reader saw the event, and folded the delta
            await self._history.replace(message.id or "", message.model_copy(update={"additional_kwargs": done}))

    async def begin(self) -> None:
        """Begin the scope if it does not exist, and let it live as long as a session that begins now.

        One round trip. Three if a TTL begins only once.
        """
        await self._history.update(title=self._title)
        if self._sessions.policy.ttl_argument and self._sessions.policy.refresh == "never":
            await self._history.touch()

    async def keep(self) -> None:
        """Restart the TTL, if an append to a session restarts the session's. One round trip, or none."""
        if self._sessions.policy.ttl_argument and self._sessions.policy.refresh != "never":
            await self._history.update(title=self._title)

    async def _decide(self, message: BaseMessage) -> bool:
        """Return whether a delta's event is stored. Mark the delta if it is; remove it if it never will be."""
        waits = message.additional_kwargs[KEPT]["waits"]
        session = self._sessions.history(waits["session"])
        is_over = time.time() - waits["since"] > _GIVEN_UP
        with suppress(TornSessionError, CorruptRecordError):  # then nobody can tell
            version = (await session.info()).version  # before the event: it may be stored in between
            if await session.get(waits["event"]) is not None:
                await self.confirm(message)
                return True
            is_over = is_over or version > waits["version"]
        if is_over:
            await self._history.delete(message.id or "")
        return False

    async def _fold(self, last: str | None, state: dict[str, Any]) -> None:
        """Put the state in the place of the messages up to one, unless one cannot be read: it may hold a delta."""
        folded = AIMessage("", additional_kwargs={KEPT: {"state": state}})
        with suppress(ConflictError, CorruptRecordError):  # another reader may be faster
            await self._history.messages(strict=True)
            await self._history.compact(up_to=last or "", replacement=[folded])


def scoped(delta: dict[str, Any], app: Scope, user: Scope) -> list[tuple[Scope, dict[str, Any]]]:
    """Return the parts of a delta that belong to the app and to the user, as far as there are any."""
    return [(scope, part) for scope, part in ((app, of_app(delta)), (user, of_user(delta))) if part]


@asynccontextmanager
async def deciding(
    deltas: Sequence[tuple[Scope, dict[str, Any]]], event_id: str, session: History, version: int
) -> AsyncIterator[None]:
    """Store deltas around the block that stores their event.

    Three round trips if there are any. If the event is stored already, they are too, and nothing is done.

    Args:
        deltas: the scopes, and the new values of each.
        event_id: the event's id.
        session: the chatmem session with the events.
        version: the version that it has when the event is appended.
    """
    if not deltas or await session.get(event_id) is not None:
        yield
        return
    preparing = [scope.prepare(delta, event_id, session.session_id, version) for scope, delta in deltas]
    waiting = await asyncio.gather(*preparing)
    yield
    await asyncio.gather(*(scope.confirm(message) for (scope, _), message in zip(deltas, waiting, strict=True)))
