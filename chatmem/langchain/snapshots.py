"""The messages that the open runs of LangChain's `RunnableWithMessageHistory` began with."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import FrameType
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage

_MOST_OPEN = 10_000
"""runs of one object at once; more would lose messages"""


class _Beginning(NamedTuple):
    """What a run began with: as little as tells runs apart, since one object may serve thousands at once."""

    length: int
    last: tuple[str, Any] | None
    """the type and content of the last message"""


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
        # Runs that fail, or that do not read at their end, leave their beginnings behind.
        self._open: deque[_Beginning] = deque(maxlen=_MOST_OPEN)

    def keep(self, caller: FrameType | None, messages: list[BaseMessage]) -> list[BaseMessage]:
        """Return the messages, and remember them if the caller is the beginning of a run."""
        if self._is_run(caller, self._ENTER):
            self._open.append(_beginning(messages))
        return messages

    def of_exit(self, caller: FrameType | None) -> list[BaseMessage] | None:
        """Return what the run began with if the caller is its end, else None."""
        if caller is None or not self._is_run(caller, self._EXIT):
            return None
        given: Sequence[BaseMessage] = caller.f_locals.get("input_messages", ())
        own = [one for one in list(self._open) if _begins_with(given, one)]
        if not own:
            return None
        longest = max(own, key=lambda one: one.length)
        self._open.remove(longest)
        return list(given[: longest.length])

    def _is_run(self, caller: FrameType | None, names: tuple[str, ...]) -> bool:
        return (
            caller is not None and caller.f_code.co_name in names and caller.f_globals.get("__name__") == self._MODULE
        )


def _beginning(messages: Sequence[BaseMessage]) -> _Beginning:
    return _Beginning(len(messages), _told_by(messages[-1]) if messages else None)


def _begins_with(given: Sequence[BaseMessage], beginning: _Beginning) -> bool:
    length, last = beginning
    return length <= len(given) and (not length or _told_by(given[length - 1]) == last)


def _told_by(message: BaseMessage) -> tuple[str, Any]:
    return message.type, message.content
