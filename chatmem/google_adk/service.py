"""A session service for Google's ADK."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakValueDictionary

from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.platform import time as platform_time
from google.adk.platform import uuid as platform_uuid
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
from google.adk.sessions.session import Session

from chatmem.errors import ConflictError
from chatmem.google_adk.deltas import in_json, own, whole
from chatmem.google_adk.events import to_messages
from chatmem.google_adk.log import NO_EVENTS, EventLog, Stored, creation
from chatmem.google_adk.names import joined, last_of
from chatmem.google_adk.scopes import Scope, deciding, scoped
from chatmem.history import History
from chatmem.memory import ChatMemory

_AT_ONCE = 100
"""How many sessions are read in one round trip."""


class ChatmemSessionService(BaseSessionService):
    """A session service that implements ADK's `BaseSessionService`.

    An append stores one event and nothing else again. The event, and what it changes in the state of the session, the
    user and the app, become visible together, or not at all. A session object that does not know the last stored event
    is refused with ADK's StaleSessionError. An event that is appended again, by its id, is stored once.

    Example:
        >>> service = ChatmemSessionService(memory)
        >>> runner = Runner(agent=agent, app_name="shop", session_service=service)
    """

    def __init__(self, memory: ChatMemory) -> None:
        """Take the memory that `chatmem.connect` returned; it stays yours to close. No round trip.

        Raises:
            ValueError: the memory has `max_messages`, which would remove events that the state follows from.
        """
        if memory.core.policy.max_messages is not None:
            raise ValueError("memory must have no max_messages: ADK's state follows from the events")
        self._memory = memory
        self._locks: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()

    def history(self, *, app_name: str, user_id: str, session_id: str) -> History:
        """Return a session as chatmem's `History`, to read, search or show it. No round trip."""
        return EventLog(self._memory.core, app_name, user_id, session_id).history

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        """Create a session. Three round trips, and two more if `state` changes the app's or the user's.

        Args:
            app_name: the name of the app.
            user_id: the id of the user.
            state: the initial state.
            session_id: the id of the session, without white space around it; by default a new one.

        Raises:
            AlreadyExistsError: the session exists. Nothing was changed.
            EncodingError: `state` holds a value that cannot be stored. Nothing was sent.
            UnavailableError: the server did not confirm. Whether the session exists, `get_session` tells.
        """
        session_id = (session_id or "").strip() or platform_uuid.new_uuid()
        delta = in_json(state or {})
        log = EventLog(self._memory.core, app_name, user_id, session_id)
        now, event_id = platform_time.get_time(), platform_uuid.new_uuid()
        app, user = self._scopes(app_name, user_id)
        await asyncio.gather(app.begin(), user.begin())
        try:
            async with deciding(scoped(delta, app, user), event_id, log.history, version=0):
                done = await log.history.append(creation(event_id, now, own(delta)), expected_version=0)
        except ConflictError as error:
            raise AlreadyExistsError(f"Session with id {session_id} already exists.") from error
        stored = Stored(done.version, now, own(delta), [], None)
        return _session(app_name, user_id, session_id, stored, *await asyncio.gather(app.state(), user.state()))

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Return a session; None if it does not exist.

        One round trip for each 256 events or about 1 MB that are read. Events that cannot be read are left out, with a
        warning in the log.

        Args:
            app_name: the name of the app.
            user_id: the id of the user.
            session_id: the id of the session.
            config: which events to return. Others are not read, except for those of the last few turns.

        Raises:
            UnavailableError: the server did not answer.
            UnsupportedError: a message that another framework stored cannot be written as an event.
        """
        session_id = session_id.strip()
        log = EventLog(self._memory.core, app_name, user_id, session_id)
        scopes = self._scopes(app_name, user_id)
        stored, *shared = await asyncio.gather(log.read(config), *(scope.state() for scope in scopes))
        return None if stored is None else _session(app_name, user_id, session_id, stored, *shared)

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Return sessions without their events, the one with the oldest last event first.

        For each user, two round trips for each 1,000 sessions, one for each 100, and one for the states.

        Args:
            app_name: the name of the app.
            user_id: the id of the user; None for all users of the app.

        Raises:
            UnavailableError: the server did not answer.
        """
        users = [] if user_id is None else [user_id]
        if user_id is None:
            users += await self._listed(joined(app_name))
        found = [session for one in users for session in await self._of_user(app_name, one)]
        return ListSessionsResponse(sessions=sorted(found, key=lambda one: (one.last_update_time, one.user_id, one.id)))

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session. The state of its app and its user stays.

        Raises:
            UnavailableError: the server did not confirm; you can repeat the call.
        """
        await asyncio.gather(*(scope.state() for scope in self._scopes(app_name, user_id)))  # decides what waits
        await EventLog(self._memory.core, app_name, user_id, session_id.strip()).history.clear()

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return a user's state, without the prefix `user:`. One round trip.

        Raises:
            UnavailableError: the server did not answer.
        """
        _, user = self._scopes(app_name, user_id)
        return await user.state()

    async def append_event(self, session: Session, event: Event) -> Event:
        """Store an event and its delta, and add them to the session object. Partial events are not stored.

        One round trip; three more if the event changes the state of the app or the user. You can repeat a call that
        failed, with the same objects.

        Args:
            session: the session, as this service returned it.
            event: the event. Its id names it: the same event is stored once.

        Raises:
            DuplicateIdError: another event with this id is stored.
            EncodingError: the event holds a value that cannot be stored. Nothing was sent.
            SessionNotFoundError: the session does not exist, or not any more.
            StaleSessionError: others have changed the session since it was read: get it again.
            UnavailableError: the server did not confirm.
        """
        if event.partial:
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        log = EventLog(self._memory.core, session.app_name, session.user_id, session.id)
        app, user = self._scopes(session.app_name, session.user_id)
        async with self._locks.setdefault((log.id, id(asyncio.get_running_loop())), asyncio.Lock()):
            version = await _version_of(session, log)
            delta = in_json(event.actions.state_delta)
            try:
                async with deciding(scoped(delta, app, user), event.id, log.history, version):
                    appending = log.history.append(*to_messages(event), expected_version=version)
                    done, *_ = await asyncio.gather(appending, app.keep(), user.keep())
            except ConflictError as error:
                if not error.actual:
                    raise SessionNotFoundError(f"Session {session.id} not found.") from error
                raise _stale(session) from error
            session._storage_update_marker = str(min(done.version, version + 1))
            session.last_update_time = event.timestamp
            if done.duplicates and any(one.id == event.id for one in session.events):
                return event
            return self._commit_event_to_session(session, event)

    async def _of_user(self, app_name: str, user_id: str) -> list[Session]:
        app, user = self._scopes(app_name, user_id)
        app_state, user_state = await asyncio.gather(app.state(), user.state())
        found, listed = [], await self._listed(joined(app_name, user_id))
        for names in (listed[at : at + _AT_ONCE] for at in range(0, len(listed), _AT_ONCE)):
            logs = [EventLog(self._memory.core, app_name, user_id, name) for name in names]
            read = await asyncio.gather(*(log.read(NO_EVENTS) for log in logs))
            for name, stored in zip(names, read, strict=True):
                if stored is not None:
                    found.append(_session(app_name, user_id, name, stored, app_state, user_state))
        return found

    async def _listed(self, owner: str) -> list[str]:
        """Return the names of what an app or a user has: of users, or of sessions."""
        return [last_of(info.session_id) for info in await self._memory.core.of_user(owner).every()]

    def _scopes(self, app_name: str, user_id: str) -> tuple[Scope, Scope]:
        """Return the state of the app, and that of the user."""
        sessions, app = self._memory.core, joined(app_name)
        return Scope(sessions, app, None, app_name), Scope(sessions, joined(app_name, user_id), app, user_id)


def _session(
    app_name: str, user_id: str, session_id: str, stored: Stored, app: dict[str, Any], user: dict[str, Any]
) -> Session:
    session = Session(
        id=session_id,
        app_name=app_name,
        user_id=user_id,
        state=whole(stored.state, app, user),
        events=stored.events,
        last_update_time=stored.updated,
    )
    session._storage_update_marker = str(stored.version)
    return session


async def _version_of(session: Session, log: EventLog) -> int:
    """Return the version of the chatmem session that a session object shows.

    ADK keeps the mark of the version in a private attribute. An object without it, such as one that came as JSON, is
    compared by its last event.
    """
    mark = session._storage_update_marker or ""
    if mark.isdigit():
        return int(mark)
    stored = await log.read(NO_EVENTS)
    if stored is None:
        raise SessionNotFoundError(f"Session {session.id} not found.")
    last_id = session.events[-1].id if session.events else None
    if stored.updated > session.last_update_time and stored.last_id != last_id:
        raise _stale(session)
    return stored.version


def _stale(session: Session) -> StaleSessionError:
    return StaleSessionError(
        f"The session {session.id} was modified in storage since it was read: get it again, then append the event."
    )
