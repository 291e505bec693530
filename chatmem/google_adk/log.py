"""The log of a session: its events, and its own state, which follows from them.

The first entry says when the session was created and with which state; each event changes the state by its delta. So
one append stores an event and its delta. Now and then a reader puts the state, and up to which entry it goes, into the
metadata of the chatmem session, so that later readers need not read all entries for it. Without it, or if it does not
fit the entries, the state is made from all of them again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from google.adk.events.event import Event
from google.adk.sessions.base_session_service import GetSessionConfig
from langchain_core.messages import AIMessage

from chatmem.core.reader import ENTRIES_PER_CALL
from chatmem.errors import ConflictError, CorruptRecordError
from chatmem.google_adk.deltas import own
from chatmem.google_adk.events import KEPT, to_event
from chatmem.google_adk.names import joined
from chatmem.model import Entry, SessionInfo
from chatmem.sessions import Sessions

SAVE_AFTER = 16
"""How many entries after the last saved state a reader saves it again."""
NO_EVENTS = GetSessionConfig(num_recent_events=0)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a session holds.

    Attributes:
        version: the version of the chatmem session.
        updated: the time of the last event, or of the creation, in seconds since 1970; 0 if none can be read.
        state: the state, without that of the app and the user.
        events: the events that were asked for.
        last_id: the id of the last event; None if there is none.
    """

    version: int
    updated: float
    state: dict[str, Any]
    events: list[Event]
    last_id: str | None


@dataclass(frozen=True, slots=True)
class _Saved:
    at: int = -1
    """the position of the last entry that the state counts"""
    state: dict[str, Any] = field(default_factory=dict)


class EventLog:
    """The log of one session.

    Attributes:
        id: the id of the chatmem session.
        history: the chatmem session.
    """

    def __init__(self, sessions: Sessions, app_name: str, user_id: str, session_id: str) -> None:
        self.id = joined(app_name, user_id, session_id)
        owner = joined(app_name, user_id)
        self.history = sessions.history(self.id, owner)
        self._reader = sessions.reader(self.id, owner)

    async def read(self, config: GetSessionConfig | None = None) -> Stored | None:
        """Return what the session holds; None if it does not exist.

        One round trip for each 256 entries or about 1 MB, and one more where it saves the state.

        Args:
            config: which events are wanted; by default all.
        """
        config = config or GetSessionConfig()
        few = SAVE_AFTER + (config.num_recent_events or 0)
        size = ENTRIES_PER_CALL if config.num_recent_events is None else few
        info, part = await asyncio.gather(self.history.info(), self._reader.slice(None, None, size, newest=True))
        version, entries = part.page.version, part.entries
        if not version or not entries:
            return None
        saved = _saved_in(info, entries[-1].seq)
        while part.more and (entries[0].seq > saved.at + 1 or not _are_enough(entries, config)):
            part = await self._reader.slice(None, entries[0].seq, ENTRIES_PER_CALL, newest=True)
            entries = [*part.entries, *entries]
        self._reader.decoder.readable([entry for entry in entries if entry.error is not None])  # logs them
        state, later = dict(saved.state), [entry for entry in entries if entry.seq > saved.at]
        for entry in later:
            state.update(own(_delta_of(entry)))
        if entries[-1].seq - saved.at >= SAVE_AFTER and all(entry.error is None for entry in later):
            await self._save(info, _Saved(entries[-1].seq, state), version)
        starts = [entry for entry in entries if _is_event(entry)]
        updated = next((time for entry in reversed(entries) if (time := _time_of(entry)) is not None), 0.0)
        last_id = starts[-1].id if starts else None
        return Stored(version, updated, state, list(self._events(starts, config)), last_id)

    def _events(self, starts: list[Entry], config: GetSessionConfig) -> Iterator[Event]:
        """Yield the wanted events of these entries."""
        if config.num_recent_events is not None:
            starts = starts[len(starts) - min(config.num_recent_events, len(starts)) :]
        if config.after_timestamp is not None:
            early = [n for n, entry in enumerate(starts) if (_time_of(entry) or 0) < config.after_timestamp]
            starts = starts[early[-1] + 1 :] if early else starts
        for entry in starts:
            event = to_event(entry.message) if entry.message is not None else None
            if event is not None:
                event.timestamp = _time_of(entry) or event.timestamp
                yield event

    async def _save(self, info: SessionInfo, saved: _Saved, version: int) -> None:
        kept = {"at": saved.at, "state": json.dumps(saved.state), "life": _life(info)}
        with suppress(ConflictError, CorruptRecordError):  # somebody appended, or the metadata cannot be read
            await self.history.update(metadata={KEPT: kept}, merge=True, expected_version=version)


def creation(event_id: str, time: float, delta: dict[str, Any]) -> AIMessage:
    """Return the first entry of a session."""
    return AIMessage("", id=event_id, additional_kwargs={KEPT: {"created": time, "delta": delta}})


def _saved_in(info: SessionInfo, last: int) -> _Saved:
    """Return the state that was saved. Nothing if it counts more than the entries, or is of a session cleared since."""
    kept = info.metadata.get(KEPT)
    if not isinstance(kept, dict) or kept["at"] > last or kept["life"] != _life(info):
        return _Saved()
    return _Saved(kept["at"], json.loads(kept["state"]))


def _life(info: SessionInfo) -> str | None:
    return None if info.created_at is None else info.created_at.isoformat()


def _are_enough(entries: list[Entry], config: GetSessionConfig) -> bool:
    """Return whether entries from some on to the last hold all events that are wanted."""
    most, after = config.num_recent_events, config.after_timestamp
    if most is not None and sum(map(_is_event, entries)) >= most:
        return True
    return after is not None and any((_time_of(entry) or after) < after for entry in entries if _is_event(entry))


def _kept(entry: Entry) -> dict[str, Any]:
    kept = entry.message.additional_kwargs.get(KEPT) if entry.message is not None else None
    return kept if isinstance(kept, dict) else {}


def _is_event(entry: Entry) -> bool:
    """Return whether an entry is an event, or a message that another framework stored, and can be read."""
    kept = _kept(entry)
    return entry.message is not None and "of" not in kept and "created" not in kept


def _time_of(entry: Entry) -> float | None:
    """Return the time of an event, or of the creation, in seconds since 1970; None if the entry does not say."""
    kept = _kept(entry)
    time = kept["event"].get("timestamp") if "event" in kept else kept.get("created")
    return entry.created_at.timestamp() if time is None and entry.created_at is not None else time


def _delta_of(entry: Entry) -> dict[str, Any]:
    kept = _kept(entry)
    delta = kept.get("delta") or kept.get("event", {}).get("actions", {}).get("state_delta")
    return delta or {}
