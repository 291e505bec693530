"""Conversations in OpenAI's or LangChain's format: `{"id": ..., "messages": [...]}`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage, convert_to_messages, messages_from_dict

from chatmem.cli.formats.fields import LineError
from chatmem.ui import calls

OPENAI_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_UNREADABLE = (ValueError, TypeError, NotImplementedError, AttributeError)


class Conversation(NamedTuple):
    """A conversation of a file."""

    session: str
    user: str | None
    messages: Iterator[BaseMessage]
    """Converted one by one, as messages are much larger than their JSON. Raises LineError for an invalid message."""


def read_conversation(row: Mapping[str, Any]) -> Conversation:
    """Return the conversation in a row.

    Raises:
        LineError: the row holds no valid conversation.
    """
    given, session, user = row.get("messages"), row.get("id"), row.get("user")
    if not isinstance(given, list):
        raise LineError('not a conversation: expected {"id": ..., "messages": [...]}')
    if not isinstance(session, str) or not session:
        raise LineError('"id" must be a non-empty string')
    if not given:
        raise LineError('"messages" is empty')
    if user is not None and (not isinstance(user, str) or not user):
        raise LineError('"user" must be a non-empty string, or null')
    return Conversation(session, user, (_message(number, value) for number, value in enumerate(given, 1)))


def _message(number: int, value: Any) -> BaseMessage:
    if isinstance(value, dict) and isinstance(value.get("type"), str) and isinstance(value.get("data"), dict):
        return _read(messages_from_dict, value, f"message {number} is not in LangChain's format")
    if not isinstance(value, dict) or not isinstance(value.get("role"), str):
        raise LineError(f'message {number} is not an object with a "role"')
    problem = f"message {number} is not in OpenAI's format"
    if value["role"] != "assistant":
        return _read(convert_to_messages, value, problem)
    value = {"content": None, **value}  # an assistant that calls tools may omit its content
    given = value.get("tool_calls")
    invalid = [call for call in given if _is_invalid(call)] if isinstance(given, list) else []
    if not invalid:
        return _read(convert_to_messages, value, problem)
    others = [call for call in given if call not in invalid]
    message = _read(convert_to_messages, {**value, "tool_calls": others}, problem)
    return message.model_copy(update=calls.read(invalid, {}, f"tool_calls of message {number}"))


def _is_invalid(call: Any) -> bool:
    """Return whether a call's arguments, a text that a model wrote, are no JSON object. LangChain keeps these apart."""
    match call:
        case {"function": {"arguments": str(text)}}:
            try:
                return not isinstance(json.loads(text, strict=False), dict)
            except (ValueError, RecursionError):
                return True
    return False


def _read(convert: Callable[[list[Any]], list[BaseMessage]], value: Any, problem: str) -> BaseMessage:
    try:
        (message,) = convert([value])
    except _UNREADABLE as error:
        reason = re.split("For (?:troubleshooting|further information)", str(error))[0]
        raise LineError(f"{problem}: {reason}") from None
    except KeyError as error:
        raise LineError(f"{problem}: {error} is missing") from None
    return message
