"""Converts messages that not every provider knows: chat messages with named roles, function calls, removed messages."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.system import SystemMessageChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call

from chatmem.core.checks import from_json
from chatmem.core.typed import is_typed, typed
from chatmem.core.window.calls import is_call

NOTIFICATION = "lc_source"
"""the key in `additional_kwargs` where LangChain names the program that wrote a human message"""

_ROLES: dict[str, type[BaseMessage]] = {
    "assistant": AIMessage,
    "ai": AIMessage,
    "model": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}
_OLD = ("function_call", "tool_calls")


def is_known(message: BaseMessage) -> bool:
    """Return whether every provider knows the message's form."""
    if not is_typed(message):
        return False
    if isinstance(message, HumanMessage):
        return isinstance(message.content, str) or not any(map(_is_of_an_exchange, message.content))
    if isinstance(message, AIMessage):
        kwargs = message.additional_kwargs
        if not kwargs or message.tool_calls or message.invalid_tool_calls:
            return True
        return not any(name in kwargs for name in _OLD)
    if isinstance(message, SystemMessage):
        return not isinstance(message, SystemMessageChunk)
    return isinstance(message, ToolMessage)


def known(message: BaseMessage) -> list[BaseMessage]:
    """Return messages with the same content, in a form that every provider knows."""
    if is_known(message):
        return [message]
    if not is_typed(message):
        return known(typed(message))
    if isinstance(message, HumanMessage):
        return _split(message)
    if isinstance(message, AIMessage):
        return [_with_tool_call(message)]
    if isinstance(message, FunctionMessage):
        result = ToolMessage(message.content, tool_call_id=_id_of(message.name), name=message.name)
        return [result.model_copy(update={"id": message.id, "additional_kwargs": message.additional_kwargs})]
    if isinstance(message, RemoveMessage):
        return []
    if isinstance(message, ChatMessage):
        return known(_like(message, _ROLES.get(message.role.lower(), HumanMessage)))
    if isinstance(message, SystemMessage):
        return [_like(message, SystemMessage)]
    return [notification(message, message.type)] if message.text.strip() else []  # the application's own class


def notification(message: BaseMessage, source: str) -> HumanMessage:
    """Return the text of a message as a human message, marked as written by a program, as LangChain does."""
    content: Any = message.content
    if isinstance(content, list):  # a human message must not hold reasoning or a model's images
        content = [block for block in content if isinstance(block, str) or block.get("type") == "text"]
    kwargs = {NOTIFICATION: source, **message.additional_kwargs}
    return HumanMessage(content, id=message.id, name=message.name, additional_kwargs=kwargs)


def _like(message: BaseMessage, kind: type[BaseMessage]) -> BaseMessage:
    return kind(
        content=message.content,
        id=message.id,
        name=message.name,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
    )


def _with_tool_call(message: AIMessage) -> AIMessage:
    """Return a message with OpenAI's old function call turned into a tool call.

    `tool_calls` in `additional_kwargs` is dropped: the message's field has none, so the application removed them.
    """
    kwargs = {name: value for name, value in message.additional_kwargs.items() if name not in _OLD}
    update: dict[str, Any] = {"additional_kwargs": kwargs}
    function = message.additional_kwargs.get("function_call")
    if isinstance(function, dict) and isinstance(name := function.get("name"), str):
        arguments = function.get("arguments")
        try:
            args = from_json(arguments or "{}")
        except (ValueError, TypeError):
            args = None
        if isinstance(args, dict):
            update["tool_calls"] = [tool_call(name=name, args=args, id=_id_of(name))]
        else:
            error = "the arguments are not a JSON object"
            call = invalid_tool_call(name=name, args=str(arguments), id=_id_of(name), error=error)
            update["invalid_tool_calls"] = [call]
    return message.model_copy(update=update)


def _id_of(function: str) -> str:
    return f"call_{function}"


def _split(message: HumanMessage) -> list[BaseMessage]:
    """Return the tool results in a human message, as Anthropic writes them, and then the rest of the message.

    Calls are left out, since a person makes none.
    """
    results: list[BaseMessage] = []
    said = []
    for block in message.content:
        if isinstance(block, dict) and _is_result(block):
            status = "error" if block.get("is_error") else "success"
            content: Any = block.get("content") or ""
            results.append(ToolMessage(content, tool_call_id=str(block.get("tool_use_id") or ""), status=status))
        elif not is_call(block):
            said.append(block)
    return [*results, message.model_copy(update={"content": said})] if said else results


def _is_of_an_exchange(block: Any) -> bool:
    return _is_result(block) or is_call(block)


def _is_result(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_result"
