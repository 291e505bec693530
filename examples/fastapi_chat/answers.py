"""Answers, streamed to the browser and stored while they grow."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import cast

from anyio import CancelScope
from fastapi.sse import ServerSentEvent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message

import chatmem

from .errors import explain

logger = logging.getLogger(__name__)

STORED_EVERY = 0.2
"""Seconds: what a killed process may lose of an answer."""
_REASON, _INCOMPLETE = "finish_reason", "incomplete"

Events = AsyncGenerator[ServerSentEvent]


def empty_answer() -> AIMessage:
    """Return the message that is stored with a question, in whose place the answer will grow."""
    return _incomplete("", str(uuid.uuid4()))


def is_finished(message: BaseMessage) -> bool:
    """Return whether the model has said all it would."""
    return message.response_metadata.get(_REASON) != _INCOMPLETE


def _incomplete(text: str, message_id: str) -> AIMessage:
    return AIMessage(text, id=message_id, response_metadata={_REASON: _INCOMPLETE})


class _Growing:
    """The stored side of an answer. It only ever takes the place of itself.

    So an answer whose chat is deleted meanwhile, or which is asked for anew, does not come back.
    """

    def __init__(self, history: chatmem.History, message_id: str) -> None:
        self._history = history
        self._id = message_id
        self._whole = AIMessageChunk(content="")
        self._stored_at = time.monotonic()

    def add(self, chunk: AIMessageChunk) -> None:
        """Take what the model says next."""
        self._whole += chunk

    async def keep_up(self) -> None:
        """Store what there is, unless that was done a moment ago."""
        if time.monotonic() - self._stored_at >= STORED_EVERY:
            with suppress(chatmem.UnavailableError):  # the next time may do, or the end
                await self._store()
            self._stored_at = time.monotonic()

    async def keep(self) -> None:
        """Store what there is, as the last that will be of it."""
        try:
            await self._store()
        except chatmem.ChatMemError as error:
            logger.warning("the end of an answer that was broken off is lost: %s", error)

    async def finish(self) -> int:
        """Store the whole answer, with what the model says of it; return the session's version."""
        message = message_chunk_to_message(self._whole)
        message.id = self._id
        return (await self._history.replace(self._id, message)).version

    async def _store(self) -> None:
        await self._history.replace(self._id, _incomplete(self._whole.text, self._id))


async def answer(history: chatmem.History, model: BaseChatModel, prompt: list[BaseMessage], place: AIMessage) -> Events:
    """Ask the model, and store what it says while it says it.

    Close this generator, should nobody read it to its end: then it stores what there is, and stops the model.

    Args:
        history: the chat.
        model: who answers.
        prompt: what the model is told.
        place: the stored message that the answer takes the place of.

    Yields:
        `text` events, then `end` with the session's version, or `error` with what to tell the user.
    """
    growing = _Growing(history, str(place.id))
    try:
        said = cast("AsyncGenerator[AIMessageChunk]", model.astream(prompt))  # annotated as less than it is
        async with aclosing(said):
            async for chunk in said:
                growing.add(chunk)
                yield ServerSentEvent(event="text", data=str(chunk.text))
                await growing.keep_up()
        with CancelScope(shield=True):
            version = await growing.finish()
    except chatmem.ChatMemError as error:
        logger.warning("an answer could not be stored: %s", error)
        yield ServerSentEvent(event="error", data=explain(error)[1])
    except BaseException:  # the browser has gone, or the model failed
        with CancelScope(shield=True):
            await growing.keep()
        raise
    else:
        yield ServerSentEvent(event="end", data={"version": version})


async def already_stored(version: int) -> Events:
    """Say that there is nothing to stream: the question was stored before, and so is its answer."""
    yield ServerSentEvent(event="end", data={"version": version})
