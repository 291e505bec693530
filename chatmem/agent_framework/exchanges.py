"""Leaves out calls of tools that were never answered."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

from agent_framework import Content, Message


def without_open_calls(history: Sequence[Message], given: Iterable[Message]) -> list[Message]:
    """Return messages without the function calls that have no result, and without messages that are empty then.

    A run that was killed leaves such calls if the agent stores each call of the model, and models refuse them. Calls
    that run elsewhere, and those that a person is asked about, stay.

    Args:
        history: the messages that were loaded.
        given: the messages that the run was given, which may hold results.
    """
    settled = {name for one in (*history, *given) for content in one.contents for name in _settled_by(content)}
    kept = []
    for message in history:
        contents = [one for one in message.contents if not _is_local_call(one) or one.call_id in settled]
        if len(contents) == len(message.contents):
            kept.append(message)
        elif contents:
            left = copy.copy(message)
            left.contents = contents
            kept.append(left)
    return kept


def _is_local_call(content: Content) -> bool:
    return content.type == "function_call" and not content.informational_only and not content.hosted


def _settled_by(content: Content) -> Iterable[str | None]:
    if content.type == "function_result" or content.user_input_request:
        yield content.call_id
    if content.function_call is not None:  # a person is or was asked
        yield content.function_call.call_id
