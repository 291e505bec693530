"""A session for OpenAI's Agents SDK. This module does not import the SDK unless the application has."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from chatmem.core.reader import LARGEST_PAGE
from chatmem.errors import ChatMemError, UnsupportedError
from chatmem.history import History
from chatmem.memory import ChatMemory, connect
from chatmem.openai_agents.compaction import Snapshot
from chatmem.openai_agents.items import items_of, messages_of
from chatmem.repeats import Repeats

if TYPE_CHECKING:
    from agents import SessionSettings


class ChatmemSession:
    """A session that implements the SDK's `Session` protocol.

    Items come back exactly as they were added. Every added item is stored, even if its id is stored already: gateways
    number items anew in each response, so equal ids do not mean equal items.

    Items are stored as LangChain messages with the same content, so LangChain can read the session. A session that
    LangChain or pydantic-ai wrote can be read here as far as it is text, tool calls and their results; anything else
    raises UnsupportedError.

    With `user`, every method checks that the session is this user's, as `ChatMemory.history` does, and raises
    NotYoursError if it is not. Without it, nothing is checked.

    Example:
        >>> session = ChatmemSession(memory, "chat-1", user="alice")
        >>> result = await Runner.run(agent, "Hello", session=session)

    Attributes:
        session_id: the id of the session.
        session_settings: the SDK's `SessionSettings`, or None.
    """

    def __init__(
        self,
        memory: ChatMemory,
        session_id: str,
        *,
        user: str | None = None,
        claim: bool = False,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        """Open a session. No round trip.

        Args:
            memory: the memory that `chatmem.connect` returned.
            session_id: any non-empty string, taken exactly.
            user: the user that the session belongs to; see `ChatMemory.history`.
            claim: accept a session without a user, and make it this user's with the first write.
            session_settings: the SDK's `SessionSettings`, or a dict of them. Their `limit` is `get_items`' default.

        Raises:
            TypeError: the SDK does not know one of the settings.
            ValueError: the id or the user is empty or not a string, or `claim` is without a user.
        """
        self._history: History = memory.history(session_id, user=user, claim=claim)
        self._writer = memory.core.writer(session_id, user, claim=claim)
        self._readable = self._writer.reader.decoder.readable
        self._memory, self._owns_memory, self._closed = memory, False, False
        self._repeats = Repeats()
        self.session_id = session_id
        self.session_settings: SessionSettings | None = _settings(session_settings)

    @classmethod
    def from_url(
        cls,
        session_id: str,
        *,
        url: str | None = None,
        user: str | None = None,
        claim: bool = False,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Open a session with a memory of its own, which `close` closes. No round trip.

        If your application serves many sessions, make one memory with `chatmem.connect` and pass it to each of them.

        Args:
            session_id: any non-empty string, taken exactly.
            url: where the server is; see `chatmem.connect`.
            user: see the constructor.
            claim: see the constructor.
            session_settings: see the constructor.
            options: other arguments of `chatmem.connect`, such as `prefix` and `ttl`.

        Raises:
            TypeError: `chatmem.connect` does not know an option, or the SDK does not know one of the settings.
            ValueError: an argument is wrong; the error names it.
        """
        memory = connect(url, **options)
        session = cls(memory, session_id, user=user, claim=claim, session_settings=session_settings)
        session._owns_memory = True
        return session

    def __repr__(self) -> str:
        return f"ChatmemSession({self.session_id!r})"

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """Return the items, oldest first. Records that cannot be read are left out, with a warning in the log.

        One round trip, or a few if the last records cannot be read or `limit` is above 1,000. With a limit, the first
        items may be results of tools whose calls are not among them; the SDK's `Runner` leaves those out.

        Args:
            limit: return the last items only, at most this many; by default the settings' limit, else all.

        Raises:
            NotYoursError: the session does not belong to `user`.
            RuntimeError: the session was made by `from_url` and is closed.
            UnavailableError: the server did not answer.
            UnsupportedError: a message that another framework stored cannot be written as an item.
        """
        self._check_open()
        limit = _limit_of(self.session_settings) if limit is None else limit
        if limit is None:
            return [item for message in await self._history.messages() for item in items_of(message)]
        last, before, size = list[Any](), None, limit
        while len(last) < limit:
            page = await self._history.page(before=before, limit=min(size, LARGEST_PAGE))
            for message in self._readable(page.entries):
                if len(last) < limit:
                    last += reversed(items_of(message))
            if page.next is None:
                break
            before, size = page.next, 2 * size  # unreadable records do not count, so look further back
        return last[:limit][::-1]

    async def add_items(self, items: list[Any]) -> None:
        """Append items, all or none. One round trip.

        Every item is stored, whatever its id. If the call fails or is cancelled, you can repeat it on the same object,
        as the next `add_items`: the items are then stored once, even if the first call stored them.

        Args:
            items: items of the Responses API, as dicts.

        Raises:
            EncodingError: an item holds a value that cannot be stored. Nothing was sent.
            NotYoursError: the session does not belong to `user`. Nothing was stored.
            RuntimeError: the session was made by `from_url` and is closed.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: an item is not a dict.
        """
        self._check_open()
        if not items:
            return
        with self._repeats.named(self.session_id, items) as name:
            await self._history.append(*messages_of(items, name))

    async def pop_item(self) -> Any | None:
        """Remove the last item that can be read, and return it; None if there is none.

        Two round trips, or more if others pop at the same time. Records that cannot be read stay, with a warning in the
        log.

        Raises:
            NotYoursError: the session does not belong to `user`.
            RuntimeError: the session was made by `from_url` and is closed.
            UnavailableError: the server did not confirm.
            UnsupportedError: the last message, which another framework stored, is not exactly one item. It stays.
        """
        self._check_open()
        before, size = None, 1
        while True:
            page = await self._history.page(before=before, limit=size)
            self._readable(page.entries)  # logs those that cannot be read
            entry = next((entry for entry in page.entries if entry.message is not None), None)
            if entry is None or entry.message is None:
                if page.next is None:
                    return None
                before, size = page.next, min(2 * size, LARGEST_PAGE)
                continue
            items = items_of(entry.message)
            if len(items) > 1:
                raise UnsupportedError("the last message is several items, so none is removed: use History.delete")
            if (await self._history.delete(entry.seq)).count:
                return items[0]
            before, size = None, 1

    async def clear_session(self) -> None:
        """Remove the session. One round trip, or two for a user's session.

        Raises:
            NotYoursError: the session does not belong to `user`.
            RuntimeError: the session was made by `from_url` and is closed.
            UnavailableError: the server did not confirm.
        """
        self._check_open()
        await self._history.clear()

    async def _atomic_replace_items(self, items: list[Any]) -> bool:
        """Replace all items in one atomic step. Two round trips. `OpenAIResponsesCompactionSession` calls it.

        Title, metadata, owner and TTL stay.

        Returns:
            False, with nothing replaced, for a subclass that stores its items in another way.

        Raises:
            CorruptRecordError: the session holds a record that cannot be read. Nothing is replaced.
            UnavailableError: the server did not confirm. Either all items are replaced, or none.
        """
        self._check_open()
        if not self._stores_items_itself():
            return False
        await self._history.messages(strict=True)
        await self._writer.keep(0, -1, await self._writer.encode(messages_of(items)))
        return True

    async def _get_compaction_snapshot(
        self, limit: int, *, prune_prefix: Callable[[Any], bool] | None = None
    ) -> Snapshot | None:
        """Return the last items, to be replaced unless the session has changed by then. One round trip.

        `OpenAIResponsesCompactionSession` calls it, and `EncryptedSession` with `prune_prefix`.

        Args:
            limit: read at most this many messages.
            prune_prefix: returns whether an item at the head of the session may go when the others are replaced.

        Returns:
            None for a subclass that stores its items in another way.
        """
        self._check_open()
        if not self._stores_items_itself():
            return None
        part = await self._writer.reader.slice(None, None, limit, newest=True, size=None)
        return Snapshot(self._writer, part, prune_prefix)

    def _stores_items_itself(self) -> bool:
        own, methods = type(self), ("get_items", "add_items", "pop_item", "clear_session")
        return all(getattr(own, name) is getattr(ChatmemSession, name) for name in methods)

    async def ping(self) -> bool:
        """Return whether the server answers. One round trip.

        Raises:
            RuntimeError: the session was made by `from_url` and is closed.
        """
        self._check_open()
        try:
            return await self._memory.ping()
        except ChatMemError:
            return False

    async def close(self) -> None:
        """Close the memory that `from_url` made; later calls raise RuntimeError.

        A memory that you passed to the constructor stays open.
        """
        if self._owns_memory:
            self._closed = True
            await self._memory.aclose()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"{self!r} is closed")


def _settings(given: SessionSettings | dict[str, Any] | None) -> Any:
    """Return settings as the SDK's own sessions hold them. Without settings, the SDK is not imported for it."""
    if given is None and "agents.memory.session_settings" not in sys.modules:
        return None
    try:
        from agents.memory.session_settings import coerce_session_settings  # noqa: PLC0415
    except ImportError:
        return given
    return coerce_session_settings({} if given is None else given)


def _limit_of(settings: Any) -> int | None:
    return settings.get("limit") if isinstance(settings, dict) else getattr(settings, "limit", None)
