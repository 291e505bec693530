"""A history provider for Microsoft's Agent Framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from agent_framework import AgentSession, HistoryProvider, Message, SessionContext, SupportsAgentRun
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from chatmem.agent_framework.exchanges import sendable
from chatmem.agent_framework.reading import from_messages
from chatmem.agent_framework.writing import ORIGIN, to_messages
from chatmem.core.reader import LARGEST_PAGE, Reader
from chatmem.errors import ConflictError
from chatmem.history import History
from chatmem.memory import ChatMemory
from chatmem.model import Entry
from chatmem.repeats import Repeats


class ChatmemHistoryProvider(HistoryProvider):
    """A `HistoryProvider` for the framework's agents.

    Messages come back as the framework reads its own `Message.to_dict()`, which leaves out values that JSON does not
    have. They are stored as LangChain messages with the same content, so LangChain can read the session. A session that
    another adapter wrote can be read here as far as it is text, files, plain reasoning, tool calls and their results;
    anything else raises UnsupportedError.

    With a user, every method checks that the session is this user's, and raises NotYoursError if it is not. An agent
    that serves many users finds the user of a run in the state of its `AgentSession`.

    Example:
        >>> agent = Agent(client, context_providers=[ChatmemHistoryProvider(memory)])
        >>> session = agent.create_session(session_id="chat-1")
        >>> session.state["chatmem"] = {"user": "alice"}
        >>> await agent.run("Hello", session=session)
    """

    DEFAULT_SOURCE_ID: ClassVar[str] = "chatmem"

    def __init__(
        self,
        memory: ChatMemory,
        source_id: str = DEFAULT_SOURCE_ID,
        *,
        user: str | None = None,
        load_messages: bool = True,
        store_inputs: bool = True,
        store_context_messages: bool = False,
        store_context_from: set[str] | None = None,
        store_outputs: bool = True,
    ) -> None:
        """Make a provider. No round trip.

        Args:
            memory: the memory that `chatmem.connect` returned.
            source_id: the provider's name among those of an agent, and the key of its state in a session.
            user: the user of all sessions whose state does not name one.
            load_messages: see the framework's `HistoryProvider`, for this argument and those that follow.
            store_inputs: whether to store what a run is given.
            store_context_messages: whether to store what other providers add.
            store_context_from: the providers whose messages to store; by default all.
            store_outputs: whether to store what a run answers.
        """
        super().__init__(
            source_id,
            load_messages=load_messages,
            store_inputs=store_inputs,
            store_context_messages=store_context_messages,
            store_context_from=store_context_from,
            store_outputs=store_outputs,
        )
        self._memory = memory
        self._user = user
        self._repeats = Repeats()

    async def get_messages(
        self, session_id: str | None, *, state: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Message]:
        """Return the messages, oldest first. One round trip.

        Args:
            session_id: the id of the session.
            state: the provider's state in the session. Its `user` is the session's user.
            kwargs: ignored.

        Raises:
            NotYoursError: the session does not belong to the user.
            UnavailableError: the server did not answer.
            UnsupportedError: a message that another framework stored cannot be written as a `Message`.
            ValueError: there is no session id.
        """
        return from_messages(await self._history(session_id, state).messages())

    async def save_messages(
        self,
        session_id: str | None,
        messages: Sequence[Message],
        *,
        state: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Append messages, all or none. Two round trips, or more if others write at the same time.

        For more than 1,000 messages, there is one more for each further 1,000.

        Clients may send a conversation again from its beginning. Messages at the beginning of `messages` that the
        session ends with are not stored again: they have the same `message_id`, text and calls or, without an id, the
        same content. If all of `messages` are there already and none has a `message_id`, they count as new.

        If the call fails, you can repeat it on the same object, as the next one for this session: the messages are then
        stored once.

        Args:
            session_id: the id of the session.
            messages: the messages.
            state: see `get_messages`.
            kwargs: ignored.

        Raises:
            NotYoursError: the session does not belong to the user. Nothing was stored.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: there is no session id.
        """
        history = self._history(session_id, state)
        made = [one for message in messages for one in to_messages(message)]
        if not made:
            return
        with self._repeats.named(history.session_id, made) as name:
            named = [one.model_copy(update={"id": f"{name}{number}"}) for number, one in enumerate(made)]
            await self._append(history, named, state)

    async def _append(self, history: History, messages: list[BaseMessage], state: dict[str, Any] | None) -> None:
        reader = self._memory.core.reader(history.session_id, self._user_in(state))
        while True:
            last = await _last(reader, len(messages) + 1)
            new = messages[_overlap(last.messages, messages, whole=last.are_all) :]
            try:
                await history.append(*new, expected_version=last.version)
            except ConflictError:  # somebody else wrote: look again
                continue
            return

    async def before_run(
        self, *, agent: SupportsAgentRun, session: AgentSession, context: SessionContext, state: dict[str, Any]
    ) -> None:
        """Load the messages into a run's context, as models accept them: see `sendable`."""
        await super().before_run(agent=agent, session=session, context=context, state=state)
        loaded = context.context_messages.get(self.source_id)
        if loaded:
            context.context_messages[self.source_id] = sendable(loaded, context.input_messages)

    async def clear(self, session_id: str | None, *, state: dict[str, Any] | None = None) -> None:
        """Remove the session. One round trip, or two for a user's session.

        Raises:
            NotYoursError: the session does not belong to the user.
            UnavailableError: the server did not confirm.
            ValueError: there is no session id.
        """
        await self._history(session_id, state).clear()

    def _user_in(self, state: dict[str, Any] | None) -> str | None:
        user: str | None = None if state is None else state.get("user")
        return self._user if user is None else user

    def _history(self, session_id: str | None, state: dict[str, Any] | None) -> History:
        if session_id is None:
            raise ValueError("session_id must be a non-empty string: the messages of a run need a session")
        return self._memory.history(session_id, user=self._user_in(state))


class _Last(NamedTuple):
    """The last messages of a session at one moment."""

    messages: list[BaseMessage]
    version: int
    are_all: bool
    """whether the session has no others"""


async def _last(reader: Reader, count: int) -> _Last:
    """Return the last messages of a session, at least `count` unless it has fewer, as far as they can be read."""
    entries, before, version = list[Entry](), None, None
    while True:
        size = min(count - len(entries), LARGEST_PAGE)
        part = await reader.slice(None, before, size, newest=True, size=None)
        if version not in (None, part.page.version):  # somebody else wrote: begin anew
            entries, before, version = [], None, None
            continue
        version, entries = part.page.version, [*part.entries, *entries]
        if not part.more or len(entries) >= count:
            return _Last([one.message for one in entries if one.message is not None], version, not part.more)
        before = part.page.first


def _overlap(stored: Sequence[BaseMessage], messages: Sequence[BaseMessage], *, whole: bool) -> int:
    """Return how many messages, from the first on, are those that a session ends with.

    Args:
        stored: the last messages of the session.
        messages: the messages to store.
        whole: whether the session has no others.
    """
    there, given = [_identity(one) for one in stored], [_identity(one) for one in messages]
    ends: list[int] = [*range(min(len(there), len(given)), 0, -1)]
    if whole and there:
        ends = [*range(len(there), len(given) + 1), *ends]
    for end in ends:
        size = min(end, len(there))
        ends_alike = there[-1] == given[end - 1]  # which is quickly seen
        if ends_alike and there[-size:] == given[end - size : end] and _is_replay(messages[:end], end == len(given)):
            return end
    return 0


def _is_replay(messages: Sequence[BaseMessage], is_all: bool) -> bool:
    """Return whether messages that equal the end of a session are the same ones, rather than said once more."""
    if any(_message_id(one) is not None for one in messages):
        return True
    return not is_all and not (len(messages) == 1 and messages[0].type == "human")


def _identity(message: BaseMessage) -> Any:
    """Return what a message has in common with itself, sent again.

    Gateways number ids anew in each response, so what is said counts too; clients may lose the rest.
    """
    name = _message_id(message)
    if name is None:
        return message.type, message.content, message.additional_kwargs
    calls = [*message.tool_calls, *message.invalid_tool_calls] if isinstance(message, AIMessage) else []
    answered = message.tool_call_id if isinstance(message, ToolMessage) else None
    return name, message.type, str(message.text), [(one["id"], one["name"], one["args"]) for one in calls], answered


def _message_id(message: BaseMessage) -> str | None:
    name: str | None = message.additional_kwargs.get(ORIGIN, {}).get("message", {}).get("message_id")
    return name
