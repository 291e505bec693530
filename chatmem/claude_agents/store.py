"""A session store for the Claude Agent SDK. Only the summaries of sessions import the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatmem.claude_agents.entries import entry_of, message_of
from chatmem.claude_agents.summaries import summary_of
from chatmem.history import History
from chatmem.memory import ChatMemory
from chatmem.model import SessionInfo
from chatmem.repeats import Repeats

if TYPE_CHECKING:
    from claude_agent_sdk import (
        SessionKey,
        SessionListSubkeysKey,
        SessionStoreEntry,
        SessionStoreListEntry,
        SessionSummaryEntry,
    )

_SUBPATH = "claude_agents_subpath:"
"""The beginning of the metadata keys that name the transcripts of subagents."""


class ChatmemSessionStore:
    """A store that implements the SDK's `SessionStore`, with all of its optional methods.

    Entries come back equal to what was appended. An entry whose `uuid` is stored already takes the place of the stored
    one, and one without a `uuid` is always added. They are stored as LangChain messages with the same content, so
    LangChain, `memory.search` and `chatmem show` can read a transcript.

    A transcript is a session of the memory; `session_id` says which. So is each transcript of a subagent, and an append
    to one of them restarts the TTL of all transcripts of its session.

    Sessions belong to `user`. Every method checks that, as `ChatMemory.history` does, and raises NotYoursError for a
    session of somebody else, so no user can resume another's. Without it, they belong to a user with the name of the
    project's key.

    Example:
        >>> store = ChatmemSessionStore(memory, user="alice")
        >>> options = ClaudeAgentOptions(session_store=store)
    """

    def __init__(self, memory: ChatMemory, *, user: str | None = None) -> None:
        """Make a store. No round trip.

        Args:
            memory: the memory that `chatmem.connect` returned.
            user: the user whose sessions this store keeps; by default, each project's key is a user.
        """
        self._memory = memory
        self._user = user
        self._repeats = Repeats()

    def session_id(self, key: SessionKey | SessionListSubkeysKey) -> str:
        """Return the id of a transcript's session, for `memory.history`.

        Raises:
            ValueError: the key has an empty subpath.
        """
        subpath = _subpath(key)
        return _main_id(key) if subpath is None else f"{_main_id(key)}/{subpath}"

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Append entries to a transcript, all or none.

        One round trip. If the memory has a TTL, one more, and one for each transcript of a subagent. The first append
        to such a transcript takes two more.

        If the call fails or is cancelled, you can repeat it on the same store: the entries are then stored once. For
        those without a `uuid`, the repeat must be the next call for this session.

        Raises:
            EncodingError: an entry holds a value that cannot be stored. Nothing was sent.
            NotYoursError: the session does not belong to the user. Nothing was stored.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: an entry is not a dict, or the key is wrong.
        """
        messages = [message_of(entry) for entry in entries]
        if not messages:
            return
        subpath, others = _subpath(key), list[History]()
        policy = self._memory.core.policy
        if subpath is not None or (policy.ttl_argument and policy.refresh != "never"):
            others = await self._enter(key, subpath)
        with self._repeats.named(self.session_id(key), entries) as name:
            for number, (entry, message) in enumerate(zip(entries, messages, strict=True)):
                uuid = entry.get("uuid")
                message.id = uuid if isinstance(uuid, str) and uuid else f"{name}{number}"
            await self._history(key).append(*messages, on_known_id="replace")
            for other in others:
                await other.touch()

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Return a transcript, or None if it has no entries. One round trip.

        Records that cannot be read are left out, with a warning in the log.

        Raises:
            NotYoursError: the session does not belong to the user.
            UnavailableError: the server did not answer.
            UnsupportedError: another program stored a message in this transcript.
        """
        entries: list[Any] = [entry_of(message) for message in await self._history(key).messages()]
        return entries or None

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Return the ids of a project's sessions, and when their transcripts were last written, by the server's clock.

        Two round trips for each 1,000 transcripts of the user.

        Raises:
            UnavailableError: the server did not answer.
        """
        return [
            {"session_id": name, "mtime": _mtime(info)} for name, info in (await self._sessions(project_key)).items()
        ]

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Return the SDK's summaries of a project's sessions.

        A summary is made when it is first listed, and kept in the session's metadata with the version that it is of. So
        an append writes no summary, and writers at once cannot lose one. For a session that has changed since, the
        entries behind it are read. Three more round trips for each such session.

        Raises:
            UnavailableError: the server did not answer.
            UnsupportedError: the SDK is not installed, or another program stored a message in a transcript.
        """
        summaries = list[Any]()
        for name, info in (await self._sessions(project_key)).items():
            key: Any = {"project_key": project_key, "session_id": name}
            reader = self._memory.core.reader(info.session_id, self._owner(key))
            data = await summary_of(key, info, reader, self._history(key))
            summaries.append({"session_id": name, "mtime": _mtime(info), "data": data})
        return summaries

    async def delete(self, key: SessionKey) -> None:
        """Erase a session with the transcripts of its subagents, or the transcript of one subagent.

        Three round trips, and two for each subagent. If the call fails, repeat it to erase the rest.

        Raises:
            NotYoursError: the session does not belong to the user.
            UnavailableError: the server did not confirm.
        """
        subpath, subpaths = _subpath(key), await self._subpaths(key)
        if subpath in subpaths:
            await self._main(key).update(metadata={_SUBPATH + str(subpath): None}, merge=True)
        for one in subpaths if subpath is None else ():
            await self._of(key, one).clear()
        await self._history(key).clear()

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """Return the subpaths of a session's subagents. One round trip, and one for each of them.

        Raises:
            NotYoursError: the session does not belong to the user.
            UnavailableError: the server did not answer.
        """
        return [one for one in await self._subpaths(key) if await self._of(key, one).count()]

    async def _enter(self, key: SessionKey, subpath: str | None) -> list[History]:
        """Enter a subagent in the metadata of its session, and return the session's other transcripts.

        This comes before the first append to its transcript, so that the metadata never lacks a transcript.
        """
        subpaths = await self._subpaths(key)
        others = [self._of(key, one) for one in subpaths if one != subpath]
        if subpath is None:
            return others
        if subpath not in subpaths:
            await self._main(key).update(metadata={_SUBPATH + subpath: True}, merge=True)
        return [self._main(key), *others]

    async def _subpaths(self, key: SessionKey | SessionListSubkeysKey) -> list[str]:
        metadata = (await self._main(key).info()).metadata
        return [name.removeprefix(_SUBPATH) for name in metadata if name.startswith(_SUBPATH)]

    async def _sessions(self, project_key: str) -> dict[str, SessionInfo]:
        """Return what is known of a project's sessions, by their ids in the SDK."""
        owner, beginning = self._user or project_key, f"{_part(project_key)}/"
        found: dict[str, SessionInfo] = {}
        for info in await self._memory.core.of_user(owner).every():
            name = info.session_id.removeprefix(beginning)
            if info.count and name != info.session_id and "/" not in name:
                found[_name(name)] = info
        return found

    def _owner(self, key: SessionKey | SessionListSubkeysKey) -> str:
        return self._user or key["project_key"]

    def _history(self, key: SessionKey) -> History:
        return self._memory.history(self.session_id(key), user=self._owner(key))

    def _main(self, key: SessionKey | SessionListSubkeysKey) -> History:
        return self._memory.history(_main_id(key), user=self._owner(key))

    def _of(self, key: SessionKey | SessionListSubkeysKey, subpath: str) -> History:
        return self._memory.history(f"{_main_id(key)}/{subpath}", user=self._owner(key))


def _subpath(key: Any) -> str | None:
    subpath = key.get("subpath")
    if subpath == "":
        raise ValueError("subpath must not be empty: leave it out for the main transcript")
    return None if subpath is None else str(subpath)


def _main_id(key: SessionKey | SessionListSubkeysKey) -> str:
    return f"{_part(key['project_key'])}/{_part(key['session_id'])}"


def _part(name: str) -> str:
    """Return a name without slashes, so that ids of different keys never are the same."""
    return name.replace("%", "%25").replace("/", "%2F")


def _name(part: str) -> str:
    return part.replace("%2F", "/").replace("%25", "%")


def _mtime(info: SessionInfo) -> int:
    return int(info.updated_at.timestamp() * 1000) if info.updated_at else 0
