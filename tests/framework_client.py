"""An offline chat client for Microsoft's Agent Framework."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from agent_framework import (
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
)

Answer = Callable[[Sequence[Message]], Sequence[Content]]


class OfflineClient(FunctionInvocationLayer[Any], ChatMiddlewareLayer[Any], BaseChatClient[Any]):
    """A client that answers with what a function returns, and records what it was sent.

    Args:
        answer: returns the contents of the answer.
        name: the beginning of the ids of answers; None for answers without an id.
    """

    def __init__(self, answer: Answer, name: str | None = "m") -> None:
        super().__init__()
        self._answer = answer
        self._name = name
        self.seen: list[list[Message]] = []

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
    ) -> Awaitable[ChatResponse] | ResponseStream[ChatResponseUpdate, ChatResponse]:
        self.seen.append(list(messages))
        contents, name = self._answer(messages), self._name and f"{self._name}{len(self.seen)}"

        async def updates() -> AsyncIterator[ChatResponseUpdate]:
            for content in contents:
                yield ChatResponseUpdate(role="assistant", contents=[content], message_id=name)

        async def whole() -> ChatResponse:
            return ChatResponse(messages=[Message("assistant", list(contents), message_id=name)])

        return ResponseStream(updates(), finalizer=ChatResponse.from_updates) if stream else whole()


def scripted(*script: Sequence[Content]) -> Answer:
    """Return what answers with one item of a script after the other."""
    left = list(script)
    return lambda messages: left.pop(0)


def said(text: str) -> list[Content]:
    return [Content.from_text(text)]


def calling(**calls: str) -> list[Content]:
    """Return calls of the tool `weather`, for a city each."""
    return [
        Content.from_function_call(name, "weather", arguments=f'{{"city": "{city}"}}') for name, city in calls.items()
    ]
