"""What the runs of LangChain's `RunnableWithMessageHistory` read when they began."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import FrameType

from langchain_core.messages import BaseMessage


class Snapshots:
    """The messages that open runs began with.

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
