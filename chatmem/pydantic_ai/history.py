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
    """A conversation as `ModelMessage`s: `agent.run(text, message_history=await history.window(tokens=4000))`.

    They come back as pydantic-ai reads what it wrote itself, but bytes, dates and the like exactly. They lie there as
    LangChain messages that say the same, so that LangChain reads the session too; a session of LangChain's or of
    OpenAI's SDK is read as `ModelMessage`s where it is text, files, plain reasoning and tool calls, and is an
    UnsupportedError where not.
    """

    def __init__(self, memory: ChatMemory, session_id: str, *, user: str | None = None, claim: bool = False) -> None:
        """Open a conversation. No round trip.

        Args:
            memory: what `chatmem.connect` returned.
            session_id: any non-empty string, taken exactly.
            user: whose conversation it is; see `ChatMemory.history`.
            claim: also open a conversation that has no user; the first write makes it this user's.

        Raises:
            ValueError: the id or the user is empty or no string, or `claim` is without a user.
        """
        self._history: History = memory.history(session_id, user=user, claim=claim)
        self.session_id = session_id

    def __repr__(self) -> str:
        return f"ModelMessageHistory({self.session_id!r})"

    async def messages(self) -> list[ModelMessage]:
        """Return all of them, oldest first. One round trip.

        Raises:
            NotFoundError: the conversation is another user's.
            UnavailableError: the server did not answer.
            UnsupportedError: a message, stored by other means, says what no `ModelMessage` can.
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
        """Return the last of them, as many as the limits allow: no tool's result without its call, nor the reverse.

        One round trip, or a few. A request of several parts counts as so many messages; see `History.window`.

        Raises:
            NotFoundError: the conversation is another user's.
            UnavailableError: the server did not answer.
            UnsupportedError: a message, stored by other means, says what no `ModelMessage` can.
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
        """Append messages, as `result.new_messages()` gives them: all of them, or none. One round trip.

        What an agent's run made is stored once, however often it is appended; `idempotency_key` does the same for
        messages made by hand. A message of a run that was changed since, by other means, counts as stored and stays as
        it is, at one more round trip.

        Raises:
            EncodingError: a message holds what cannot be stored or read back. Nothing was sent.
            NotFoundError: the conversation is another user's. Nothing was stored.
            UnavailableError: the server did not confirm; it may be done again.
            ValueError: an argument is wrong.
        """
        left, changed = to_messages(messages), 0
        while True:
            try:
                done = await self._history.append(*left, idempotency_key=idempotency_key)
            except DuplicateIdError as error:  # its id says that it is this one, and somebody has changed it since
                del left[error.index]
                changed += 1
            else:
                return replace(done, duplicates=done.duplicates + changed)

    async def clear(self) -> None:
        """Remove the session. One round trip, two for a session of a user.

        Raises:
            NotFoundError: it is another user's.
            UnavailableError: the server did not confirm.
        """
        await self._history.clear()
