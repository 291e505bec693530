"""A store for the snapshots of AG-UI threads, of `agent_framework_ag_ui`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from itertools import takewhile
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from langchain_core.messages.tool import tool_call
from pydantic_core import from_json

from chatmem.codec.record import digest
from chatmem.core.reader import LARGEST_PAGE
from chatmem.errors import ConflictError
from chatmem.extras import needed
from chatmem.history import History
from chatmem.memory import ChatMemory

with needed("chatmem.agent_framework.ag_ui needs", "agent-framework-ag-ui", "agent_framework_ag_ui"):
    from agent_framework_ag_ui import AGUIThreadSnapshot

_ORIGIN = "ag_ui"
"""The key in `additional_kwargs` with "message": the AG-UI message, with None for content that is the message's.

The last message also has "snapshot": the snapshot's other fields. If there is no AG-UI message, it has only that.
"""
_SESSIONS = "ag-ui:"
_CLASSES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
    "tool": ToolMessage,
}


class ChatmemSnapshotStore:
    """An `AGUIThreadSnapshotStore`: the last snapshot of each AG-UI thread.

    The scope is the user of the sessions, so `ChatMemory.sessions` lists a scope's threads and `ChatMemory.forget`
    erases them. A thread's session is named `ag-ui:SCOPE:THREAD`, with `%3A` for a colon in the scope.

    Messages are stored one by one as LangChain messages with the same text, and come back exactly. A snapshot is
    replaced as a whole: a reader finds all of one snapshot or all of another.

    Example:
        >>> store = ChatmemSnapshotStore(memory)
        >>> add_agent_framework_fastapi_endpoint(app, agent, snapshot_store=store, snapshot_scope_resolver=user_of)
    """

    def __init__(self, memory: ChatMemory) -> None:
        """Make a store. No round trip.

        Args:
            memory: the memory that `chatmem.connect` returned. With `max_messages`, a snapshot loses its oldest
                messages too.
        """
        self._memory = memory

    async def save(self, *, scope: str, thread_id: str, snapshot: AGUIThreadSnapshot) -> None:
        """Store a snapshot in place of the thread's last one, atomically. What has not changed is not sent.

        Two round trips, and one more for each further 1,000 messages or about 1 MB. If others save at the same time,
        one snapshot wins.

        Raises:
            EncodingError: the snapshot holds a value that cannot be stored. Nothing was changed.
            TypeError: the scope or the thread's id is not a string.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: the scope or the thread's id is empty.
        """
        name, made = _session_id(scope, thread_id), _messages_of(snapshot)
        writer = self._memory.core.writer(name, scope)
        parts = await writer.encode(made)
        while True:
            version, stored = await self._stored(name, scope)
            # Not the messages are compared: in Python, 1 equals True.
            pairs = zip(parts, await writer.encode(stored), strict=False)
            same = sum(1 for _ in takewhile(lambda pair: digest(pair[0]) == digest(pair[1]), pairs))
            removed = [str(one.id) for one in stored[same:]]
            try:
                await writer.store(parts[same:], expected_version=version, on_known_id="replace", removed=removed)
            except ConflictError:  # somebody else saved: look again
                continue
            return

    async def get(self, *, scope: str, thread_id: str) -> AGUIThreadSnapshot | None:
        """Return the thread's last snapshot, or None. One round trip.

        Raises:
            CorruptRecordError: a part of the snapshot cannot be read.
            TypeError: the scope or the thread's id is not a string.
            UnavailableError: the server did not answer.
            ValueError: the scope or the thread's id is empty.
        """
        stored = await self._history(scope, thread_id).messages(strict=True)
        if not stored:
            return None
        messages = [_ag_ui_message(one) for one in stored if "message" in one.additional_kwargs[_ORIGIN]]
        return AGUIThreadSnapshot(messages=messages, **stored[-1].additional_kwargs[_ORIGIN].get("snapshot", {}))

    async def delete(self, *, scope: str, thread_id: str) -> bool:
        """Remove the thread's snapshot; return whether there was one. Four round trips.

        Raises:
            TypeError: the scope or the thread's id is not a string.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: the scope or the thread's id is empty.
        """
        history = self._history(scope, thread_id)
        removed = await history.truncate(after=-1)
        await history.clear()
        return removed.count > 0

    async def clear(self, *, scope: str | None = None) -> None:
        """Remove all snapshots of a scope.

        Without a scope, all snapshots of all scopes are removed. For that, the server looks at every key; see
        `ChatMemory.all_sessions`.

        Raises:
            TypeError: the scope is not a string.
            UnavailableError: the server did not confirm, or does not allow SCAN; you can repeat the call.
            ValueError: the scope is empty.
        """
        if scope is None:
            async for name in self._memory.all_sessions(f"{_SESSIONS}*"):
                await self._memory.history(name).clear()
            return
        head = _sessions_of(scope)
        for info in await self._memory.core.of_user(scope).every():
            if info.session_id.startswith(head):
                await self._memory.history(info.session_id, user=scope).clear()

    def _history(self, scope: str, thread_id: str) -> History:
        return self._memory.history(_session_id(scope, thread_id), user=scope)

    async def _stored(self, name: str, scope: str) -> tuple[int, list[BaseMessage]]:
        """Return the version of a thread's session, and its messages at that version."""
        reader, messages, version, after = self._memory.core.reader(name, scope), list[BaseMessage](), None, -1
        while True:
            part = await reader.slice(after, None, LARGEST_PAGE, newest=False)
            if version not in (None, part.page.version):  # somebody else saved: begin anew
                messages, version, after = [], None, -1
                continue
            version = part.page.version
            messages += [one.message for one in part.entries if one.message is not None]
            if not part.more or not part.entries:
                return version, messages
            after = part.entries[-1].seq


def _session_id(scope: str, thread_id: str) -> str:
    _check("thread_id", thread_id)
    return _sessions_of(scope) + thread_id


def _sessions_of(scope: str) -> str:
    """Return the beginning of the ids of a scope's sessions. It is no other scope's."""
    _check("scope", scope)
    return f"{_SESSIONS}{scope.replace('%', '%25').replace(':', '%3A')}:"


def _check(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must be a non-empty string")


def _messages_of(snapshot: AGUIThreadSnapshot) -> list[BaseMessage]:
    """Return the messages that are stored for a snapshot."""
    made = [_stored_message(one) for one in snapshot.messages] or [AIMessage("", additional_kwargs={_ORIGIN: {}})]
    rest = {one.name: getattr(snapshot, one.name) for one in fields(snapshot) if one.name != "messages"}
    made[-1].additional_kwargs[_ORIGIN]["snapshot"] = {name: value for name, value in rest.items() if value is not None}
    for number, one in enumerate(made):
        one.id = str(number)
    return made


def _stored_message(message: dict[str, Any]) -> BaseMessage:
    role, said = message.get("role"), message.get("content")
    kind = _CLASSES.get(role, AIMessage) if isinstance(role, str) else AIMessage
    extra: dict[str, Any] = {"tool_calls": _calls(message)} if role == "assistant" else {}
    if kind is ToolMessage:
        extra["tool_call_id"] = str(message.get("toolCallId") or message.get("tool_call_id") or "")
    if isinstance(said, str) and role in (*_CLASSES, "assistant"):
        kept: dict[str, Any] = {"message": {**message, "content": None}, "said": True}
        return kind(content=said, additional_kwargs={_ORIGIN: kept}, **extra)
    return kind(content=_texts(said), additional_kwargs={_ORIGIN: {"message": message}}, **extra)


def _ag_ui_message(message: BaseMessage) -> dict[str, Any]:
    kept = message.additional_kwargs[_ORIGIN]
    said = {"content": str(message.text)} if kept.get("said") else {}
    return {**kept["message"], **said}


def _texts(said: Any) -> str:
    parts = said if isinstance(said, list) else []
    return "\n".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def _calls(message: dict[str, Any]) -> list[ToolCall]:
    """Return the tool calls that are well-formed."""
    calls = message.get("toolCalls") or message.get("tool_calls")
    return [call for one in calls for call in _call(one)] if isinstance(calls, list) else []


def _call(given: Any) -> Iterator[ToolCall]:
    match given:
        case {"id": str(name), "function": {"name": str(tool), "arguments": str(text)}}:
            with suppress(ValueError):
                args = from_json(text or "{}")
                if isinstance(args, dict):
                    yield tool_call(name=tool, args=args, id=name)
