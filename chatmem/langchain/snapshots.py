"""The messages that the open runs of LangChain's `RunnableWithMessageHistory` began with."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import FrameType

from langchain_core.messages import BaseMessage


class Snapshots:
    """Answers the read at the end of a run with what the run read at its beginning.

    At its end, a run reads the history again, only to count how many of its input messages came from there. If another
    run has stored messages meanwhile, that count is too high, and LangChain drops as many of the run's new messages.

    Only the calling frame tells these two reads from others. Its names are LangChain's private ones; tests would notice
    if they changed.
    """

    _ENTER = ("_enter_history", "_aenter_history")
    _EXIT = ("_exit_history", "_aexit_history")
    _MODULE = "langchain_core.runnables.history"

    def __init__(self) -> None:
        # Runs that fail, or that do not read at their end, leave their snapshots behind.
        self._open: deque[list[BaseMessage]] = deque(maxlen=32)

    def keep(self, caller: FrameType | None, messages: list[BaseMessage]) -> list[BaseMessage]:
        """Return the messages, and keep a copy if the caller is the beginning of a run."""
        if self._is_run(caller, self._ENTER):
            self._open.append(list(messages))
        return messages

    def of_exit(self, caller: FrameType | None) -> list[BaseMessage] | None:
        """Return what the run began with if the caller is its end, else None."""
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
    """Return whether a run's input begins with a snapshot; its last message is enough to tell runs apart."""
    if len(snapshot) > len(given):
        return False
    return not snapshot or snapshot[-1].content == given[len(snapshot) - 1].content
