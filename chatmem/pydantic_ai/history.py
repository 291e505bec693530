"""A conversation as pydantic-ai's `ModelMessage`s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chatmem.core.window import StartOn
from chatmem.errors import DuplicateIdError
from chatmem.history import History
from chatmem.memory import ChatMemory
from chatmem.model import Appended
from chatmem.pydantic_ai.reading import to_model_messages
from chatmem.pydantic_ai.writing import to_messages

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

    from chatmem.core.window import TokenCounter


class ModelMessageHistory:
    """A conversation as pydantic-ai's `ModelMessage`s.

    Messages come back as pydantic-ai itself would read them from its own JSON, except that bytes, dates and the like
    come back exactly.

    They are stored as LangChain messages with the same content, so LangChain can read the session. A session that
    LangChain or OpenAI's SDK wrote can be read here as far as it is text, files, plain reasoning, tool calls and their
    results; anything else raises UnsupportedError.

    With `user`, every method checks that the session is this user's, as `ChatMemory.history` does, and raises
    NotYoursError if it is not. Without it, nothing is checked.

    Example:
        >>> history = ModelMessageHistory(memory, "chat-1", user="alice")
        >>> result = await agent.run("Hello", message_history=await history.window(tokens=4000))
        >>> await history.append(result.new_messages())

    Attributes:
        session_id: the id of the conversation.
    """

    def __init__(self, memory: ChatMemory, session_id: str, *, user: str | None = None, claim: bool = False) -> None:
        """Open a conversation. No round trip.

        Args:
            memory: the memory that `chatmem.connect` returned.
            session_id: any non-empty string, taken exactly.
            user: the user that the conversation belongs to; see `ChatMemory.history`.
            claim: accept a session without a user, and make it this user's with the first write.

        Raises:
            ValueError: the id or the user is empty or not a string, or `claim` is without a user.
        """
        self._history: History = memory.history(session_id, user=user, claim=claim)
        self.session_id = session_id

    def __repr__(self) -> str:
        return f"ModelMessageHistory({self.session_id!r})"

    async def messages(self) -> list[ModelMessage]:
        """Return all messages, oldest first. One round trip.

        Raises:
            NotYoursError: the session does not belong to `user`.
            UnavailableError: the server did not answer.
            UnsupportedError: a message that another framework stored cannot be written as a `ModelMessage`.
        """
        return to_model_messages(await self._history.messages())

    async def window(
        self,
        *,
        messages: int | None = None,
        turns: int | None = None,
        tokens: int | None = None,
        token_counter: TokenCounter = "approximate",
        keep_system: bool = True,
        start_on: StartOn = "human",
    ) -> list[ModelMessage]:
        """Return the last messages within limits, to send to a model. Tool calls and their results stay together.

        One round trip, or a few for a large window. Each part of a request counts as a message. See `History.window`
        for more on the arguments.

        Args:
            messages: return at most this many messages; None for no limit.
            turns: return at most this many turns.
            tokens: return at most this many tokens.
            token_counter: how to count tokens.
            keep_system: put the system message at the head of the conversation first, if there is one.
            start_on: the kind of message that the window must begin with.

        Raises:
            NotYoursError: the session does not belong to `user`.
            UnavailableError: the server did not answer.
            UnsupportedError: a message that another framework stored cannot be written as a `ModelMessage`.
            ValueError: an argument is wrong.
        """
        return to_model_messages(
            await self._history.window(
                messages=messages,
                turns=turns,
                tokens=tokens,
                token_counter=token_counter,
                keep_system=keep_system,
                start_on=start_on,
            )
        )

    async def append(self, messages: Sequence[ModelMessage], *, idempotency_key: str | None = None) -> Appended:
        """Append messages, all or none. One round trip.

        A message that an agent's run made is stored once, however often you append it. If it was changed in the memory
        since, it stays as it is, and the append takes one more round trip.

        Args:
            messages: the messages, as `result.new_messages()` returns them.
            idempotency_key: names this append, so that messages made by hand are stored once, too; see
                `History.append`.

        Returns:
            What the append did. `duplicates` counts the messages that were stored already.

        Raises:
            EncodingError: a message holds a value that cannot be stored or read back. Nothing was sent.
            NotYoursError: the session does not belong to `user`. Nothing was stored.
            UnavailableError: the server did not confirm; you can repeat the call if the messages are of a run, or it
                had an `idempotency_key`.
            ValueError: an argument is wrong.
        """
        left, changed = to_messages(messages), 0
        while True:
            try:
                done = await self._history.append(*left, idempotency_key=idempotency_key)
            except DuplicateIdError as error:  # the stored message was changed since
                del left[error.index]
                changed += 1
            else:
                return replace(done, duplicates=done.duplicates + changed)

    async def clear(self) -> None:
        """Remove the session. One round trip, or two for a user's session.

        Raises:
            NotYoursError: the session does not belong to `user`.
            UnavailableError: the server did not confirm.
        """
        await self._history.clear()
