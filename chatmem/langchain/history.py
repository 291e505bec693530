"""A conversation as LangChain's `BaseChatMessageHistory`, its synchronous and asynchronous names both native."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from types import FrameType

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from chatmem.connect import Connection
from chatmem.history import History
from chatmem.policy import Policy
from chatmem.transports.blocking import drive


class ChatMessageHistory(BaseChatMessageHistory):
    """One conversation, as `memory.langchain(session_id)` returns it. Making one costs no round trip.

    Synchronous names use a blocking client, asynchronous ones an asyncio client, both opened once for the whole
    memory. A memory made with only a `redis.asyncio.Redis` has no synchronous names: they raise a ValueError.
    """

    def __init__(self, connection: Connection, policy: Policy, session_id: str) -> None:
        super().__init__()
        self.session_id = session_id
        self._connection = connection
        self._policy = policy
        self._snapshots = _Snapshots()
        self._async = History(connection.asynchronous(), policy, session_id)

    def __repr__(self) -> str:
        return f"ChatMessageHistory({self.session_id!r})"

    def _sync(self) -> History:
        return History(self._connection.blocking(), self._policy, self.session_id)

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """The messages, oldest first. One round trip at every access."""
        frame = sys._getframe(1)
        snapshot = self._snapshots.of_exit(frame)
        return snapshot if snapshot is not None else self._snapshots.keep(frame, drive(self._sync().messages()))

    async def aget_messages(self) -> list[BaseMessage]:
        """Return the messages, oldest first. One round trip."""
        frame = sys._getframe(1)
        snapshot = self._snapshots.of_exit(frame)
        return snapshot if snapshot is not None else self._snapshots.keep(frame, await self._async.messages())

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages, all or none; those whose ids are stored are left out. One round trip, or none for none."""
        if messages:
            drive(self._sync().append(*messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Append messages, all or none; those whose ids are stored are left out. One round trip, or none for none."""
        if messages:
            await self._async.append(*messages)

    def clear(self) -> None:
        """Remove the session. One round trip."""
        drive(self._sync().clear())

    async def aclear(self) -> None:
        """Remove the session. One round trip."""
        await self._async.clear()


class _Snapshots:
    """What the runs of `RunnableWithMessageHistory` read when they began, until they end.

    At its end a run reads the history again, only to learn how many of its input messages came from there. What
    another run stored meanwhile makes that number too large, and as many new messages are dropped. So the read at the
    end gets what the read at the beginning got. Nothing but the calling frame tells those two reads from any other;
    the methods are LangChain's own, and a test runs them.
    """

    _ENTER = ("_enter_history", "_aenter_history")
    _EXIT = ("_exit_history", "_aexit_history")
    _MODULE = "langchain_core.runnables.history"

    def __init__(self) -> None:
        # Runs that fail, or that need no read at their end, leave theirs behind.
        self._open: deque[list[BaseMessage]] = deque(maxlen=32)

    def keep(self, caller: FrameType | None, messages: list[BaseMessage]) -> list[BaseMessage]:
        """Return the messages, remembered where a run begins with them."""
        if self._is_run(caller, self._ENTER):
            self._open.append(list(messages))
        return messages

    def of_exit(self, caller: FrameType | None) -> list[BaseMessage] | None:
        """Return what the run that ends here began with; None where the caller is no run's end."""
        if caller is None or not self._is_run(caller, self._EXIT):
            return None
        given = caller.f_locals.get("input_messages", ())
        own = [snapshot for snapshot in list(self._open) if _begins_with(given, snapshot)]
        if not own:
            return None
        longest = max(own, key=len)
        self._open.remove(longest)
        return longest

    def _is_run(self, caller: FrameType | None, names: tuple[str, ...]) -> bool:
        return (
            caller is not None and caller.f_code.co_name in names and caller.f_globals.get("__name__") == self._MODULE
        )


def _begins_with(given: Sequence[BaseMessage], snapshot: list[BaseMessage]) -> bool:
    """Return whether a run's input begins with what was read; a glance at the last one is enough to tell runs apart."""
    if len(snapshot) > len(given):
        return False
    return not snapshot or snapshot[-1].content == given[len(snapshot) - 1].content
