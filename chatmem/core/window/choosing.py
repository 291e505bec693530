"""Chooses the last messages of a conversation, as many as the limits allow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from langchain_core.messages import BaseMessage, SystemMessage, ToolMessage

from chatmem.core.checks import check_count
from chatmem.core.steps import STEP_MESSAGES, run_with_checkpoints
from chatmem.core.window.exchanges import Exchanges
from chatmem.core.window.inner import without_inner_halves
from chatmem.core.window.sending import Request, opening
from chatmem.core.window.tokens import counter_of, last_within
from chatmem.core.window.turns import Turns

if TYPE_CHECKING:
    from chatmem.core.window.tokens import TokenCounter

StartOn = str | type[BaseMessage] | Sequence[str | type[BaseMessage]] | None
Checkpoint = Callable[[], Awaitable[None]]
"""Lets other tasks run between two parts of a long computation; see `Transport.checkpoint`."""

_ROLES = {"user": "human", "assistant": "ai", "developer": "system"}  # no message has such a type
_LEAST, _MOST = 16, 512  # messages in the first slice
_MESSAGES_PER_TURN, _TOKENS_PER_MESSAGE = 6, 64  # guesses for the first slice; if it is too small, another one is read
_MANY_TO_COUNT = 200  # messages for which a caller's counter may take long


class Window:
    """The checked limits of a window. They include the pinned messages."""

    def __init__(
        self,
        *,
        messages: int | None,
        turns: int | None,
        tokens: int | None,
        token_counter: TokenCounter,
        start_on: StartOn,
    ) -> None:
        for name, value in (("messages", messages), ("turns", turns), ("tokens", tokens)):
            check_count(name, value)
        self.messages, self.turns, self.tokens = messages, turns, tokens
        self.count, self.adds_up = counter_of(token_counter)
        kinds = _kinds(start_on)
        self._names = {kind for kind in kinds if isinstance(kind, str)}
        self._classes = tuple(kind for kind in kinds if isinstance(kind, type))

    def first_slice(self) -> int:
        """Return how many messages to read at first."""
        guesses = [_MOST]
        if self.messages is not None:
            guesses.append(self.messages)
        if self.turns is not None:
            guesses.append(max(self.turns * _MESSAGES_PER_TURN, _LEAST))
        if self.tokens is not None:
            guesses.append(max(self.tokens // _TOKENS_PER_MESSAGE, _LEAST))
        return min(guesses)

    def select(self, pinned: list[BaseMessage]) -> Selection:
        """Begin to choose messages, beside those that are pinned."""
        return Selection(self, pinned)

    def may_start_on(self, message: BaseMessage) -> bool:
        """Return whether this message may be the first after the pinned ones."""
        if not self._names and not self._classes:
            return True
        kind = message.type
        return (
            kind in self._names
            or kind.removesuffix("MessageChunk").lower() in self._names
            or (isinstance(message, self._classes))
        )


def _kinds(start_on: StartOn) -> Sequence[str | type[BaseMessage]]:
    """Return the types and classes of messages that a window may begin with; none for any."""
    if start_on is None or isinstance(start_on, str | type):
        kinds = [] if start_on is None else [start_on]
    else:
        kinds = [*start_on] if isinstance(start_on, Iterable) else [start_on]
    for kind in kinds:
        if isinstance(kind, str) and kind in _ROLES:
            raise ValueError(f"start_on must be a type of message, not the role {kind!r}: pass {_ROLES[kind]!r}")
        if not (issubclass(kind, BaseMessage) if isinstance(kind, type) else isinstance(kind, str) and kind):
            what = 'start_on must be a type of message such as "human", a class of messages, a list of these, or None'
            raise ValueError(f"{what}, not {kind!r}")
    return kinds


class Selection:
    """Chooses a window, walking back through a conversation in slices, so that each message is looked at once.

    Attributes:
        is_behind_summary: whether the pinned messages end with a summary of everything before the messages taken.
    """

    def __init__(self, window: Window, pinned: list[BaseMessage]) -> None:
        self._window = window
        self._pinned = opening(pinned)
        self._exchanges = Exchanges()
        self._slices: list[list[BaseMessage]] = []  # the newest first
        self._room = None if window.messages is None else max(window.messages - len(self._pinned), 0)
        self._turns = 0
        self._tokens = window.tokens
        if self._tokens is not None and self._pinned:
            self._tokens = max(self._tokens - window.count(self._pinned), 0)
        self._size = self._counted = 0  # messages taken, and how many of them were last counted against `tokens`
        self._full = self._cut = False
        self.is_behind_summary = False

    def take(self, messages: list[BaseMessage]) -> bool:
        """Take the messages directly before those taken so far, about a thousand at most.

        Returns:
            Whether the limits allow more messages.
        """
        if self._full:
            return False
        part = self._exchanges.mend(messages)
        if self._room is not None:
            self._full = len(part) >= self._room
            self._cut = len(part) > self._room
            part = part[max(len(part) - self._room, 0) :]
            self._room -= len(part)
        if self._tokens is not None and self._window.adds_up:
            fitting, tokens = last_within(part, self._tokens, self._window.count)
            self._cut = self._cut or fitting < len(part)
            self._full = self._full or fitting < len(part)
            part = part[len(part) - fitting :]
            self._tokens -= tokens
        if self._window.turns is not None:
            self._turns += len(Turns().starts(part))
            self._full = self._full or self._turns >= self._window.turns
        self._slices.append(part)
        self._size += len(part)
        return not (self._full or self._is_too_much())

    async def messages(self, checkpoint: Checkpoint) -> list[BaseMessage]:
        """Return the window.

        Args:
            checkpoint: lets other tasks run between parts of the work.
        """
        chosen, begun = list[BaseMessage](), list[int]()
        turns = Turns()
        for number, part in enumerate(reversed(self._slices)):
            if number:
                await checkpoint()
            if self._window.turns is not None:
                begun += (len(chosen) + index for index in turns.starts(part))
            chosen += part
        first = len(chosen) - await self._fitting(chosen, checkpoint)
        if self._window.turns is not None and len(begun) >= self._window.turns:
            first = max(first, begun[-self._window.turns])
        first = self._start(chosen, first)
        request = await self._request(chosen[first:], checkpoint)
        while request.is_changed and first < len(chosen) and (excess := self._excess(request.messages)) > 0:
            while first < len(chosen) and excess > 0:
                excess -= self._window.count([chosen[first]])
                first += 1
            first = self._start(chosen, first)
            request = await self._request(chosen[first:], checkpoint)
        return request.messages

    async def _request(self, chosen: list[BaseMessage], checkpoint: Checkpoint) -> Request:
        request = Request()
        request.add(self._pinned)
        if len(chosen) > STEP_MESSAGES:
            await checkpoint()
        chosen = await run_with_checkpoints(without_inner_halves(chosen), checkpoint)
        for start in range(0, len(chosen), STEP_MESSAGES):
            if len(chosen) > STEP_MESSAGES:
                await checkpoint()
            request.add(chosen[start : start + STEP_MESSAGES])
        request.end()
        return request

    def _excess(self, messages: list[BaseMessage]) -> int:
        """Return by how many tokens messages in their final form exceed the limit."""
        return 0 if self._window.tokens is None else self._window.count(messages) - self._window.tokens

    def _start(self, chosen: list[BaseMessage], first: int) -> int:
        """Return the index of the first message that may begin the window. Without its call, a tool result may not.

        Nothing is left out between a summary that begins as a request must, and the message that follows it.
        """
        summarized = self.is_behind_summary and bool(self._pinned) and not isinstance(self._pinned[-1], SystemMessage)
        if first == 0 and summarized and not self._cut:
            return 0
        for index in range(first, len(chosen)):
            if not isinstance(chosen[index], ToolMessage) and self._window.may_start_on(chosen[index]):
                return index
        return len(chosen)

    def _is_too_much(self) -> bool:
        """Return whether the messages have too many tokens, if the counter counts lists.

        It counts again only when there are a quarter more messages, so it counts about five times as many in all.
        """
        if self._tokens is None or self._window.adds_up or self._size < 1.25 * self._counted:
            return False
        self._counted = self._size
        newest_first = [message for part in self._slices for message in reversed(part)]
        self._full = self._window.count(newest_first) > self._tokens
        return self._full

    async def _fitting(self, chosen: list[BaseMessage], checkpoint: Checkpoint) -> int:
        """Return how many of the last messages fit into the tokens, if the counter counts lists.

        As in `trim_messages`: first all messages, then a binary search over the newest ones.
        """
        if self._tokens is None or self._window.adds_up:
            return len(chosen)
        newest_first = chosen[::-1]
        low, middle, high = 0, len(chosen), len(chosen)
        while low < high:
            if middle > _MANY_TO_COUNT:
                await checkpoint()
            if self._window.count(newest_first[:middle]) <= self._tokens:
                low = middle
            else:
                high = middle - 1
            middle = (low + high + 1) // 2
        return low
