"""Finds where turns begin: with a message that a person wrote, not with a human message that a program made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, HumanMessageChunk

from chatmem.core.window.forms import NOTIFICATION

_RUN = "pydantic_ai"
"""the key in `additional_kwargs` where `chatmem.pydantic_ai` keeps the original of a message"""
_NO_RUN = object()


class Turns:
    """Finds where turns begin, walking forward through a conversation, some messages at a time.

    A human message begins a turn, except for notifications (which LangChain marks), chunks, and prompts within a run of
    pydantic-ai: corrections, files that a tool returned, and prompts that were enqueued. The first run seen may have
    begun earlier, so its first prompt does not count. That makes no difference to the last turns.
    """

    def __init__(self) -> None:
        self._run: object = _NO_RUN
        self._is_first = False  # whether the request at hand begins its run

    def starts(self, messages: Sequence[BaseMessage]) -> list[int]:
        """Return the indexes of those of the next messages that begin a turn."""
        found: list[int] = []
        for index, message in enumerate(messages):
            kwargs = message.additional_kwargs
            if kwargs and isinstance(origin := kwargs.get(_RUN), dict):
                if self._begins(message, origin):
                    found.append(index)
            elif isinstance(message, HumanMessage) and _is_typed(message):
                found.append(index)
        return found

    def _begins(self, message: BaseMessage, origin: dict[str, Any]) -> bool:
        if isinstance(whole := origin.get("message"), dict):
            run = whole.get("run_id")
            self._is_first = run is None or (run != self._run and self._run is not _NO_RUN)
            self._run = run
        kind = part.get("part_kind") if isinstance(part := origin.get("part"), dict) else None
        begins = kind == "speech" or (kind == "user-prompt" and self._is_first)
        if not begins or not isinstance(message, HumanMessage):
            return False
        self._is_first = False
        return True


def _is_typed(message: HumanMessage) -> bool:
    kwargs = message.additional_kwargs
    if kwargs and isinstance(kwargs.get(NOTIFICATION), str):
        return False
    return not isinstance(message, HumanMessageChunk)
