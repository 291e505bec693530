"""A session of OpenAI's Agents SDK on any server that chatmem knows. It needs nothing of the SDK itself."""

from __future__ import annotations

import copy
import secrets
import sys
from typing import TYPE_CHECKING, Any, Self

from chatmem.core.reader import LARGEST_PAGE
from chatmem.errors import ChatMemError, UnavailableError, UnsupportedError
from chatmem.history import History
from chatmem.memory import ChatMemory, connect
from chatmem.openai_agents.items import items_of, message_of

if TYPE_CHECKING:
    from agents import SessionSettings


class ChatmemSession:
    """A `Session` of the SDK: `Runner.run(agent, text, session=ChatmemSession(memory, "user-123"))`.

    Items come back exactly, and each that is added is kept: gateways number items anew in each response, so an item's
    id does not say which it is. They are stored as messages that say the same, so that LangChain can read the session;
    a session of LangChain's is read as items where it is text and tool calls, and is an UnsupportedError where not.
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
            memory: what `chatmem.connect` returned.
            session_id: any non-empty string, taken exactly.
            user: whose session it is; see `ChatMemory.history`.
            claim: also open a session that has no user; the first write makes it this user's.
            session_settings: the SDK's `SessionSettings`, or a dict of them, whose limit `get_items` has by default.

        Raises:
            TypeError: the settings hold what the SDK does not know.
            ValueError: the id or the user is empty or no string, or `claim` is without a user.
        """
        self._history: History = memory.history(session_id, user=user, claim=claim)
        self._readable = memory.core.reader(session_id).decoder.readable
        self._memory, self._owns_memory, self._closed = memory, False, False
        self._failed: tuple[list[Any], str] | None = None
        """items whose `add_items` ended in an error, and what their ids begin with"""
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

        A server that serves many sessions makes one memory with `chatmem.connect`, and gives it to each of them.

        Args:
            session_id: any non-empty string, taken exactly.
            url: where the session lies; see `chatmem.connect`.
            user: as in the constructor, like `claim` and `session_settings`.
            claim: see there.
            session_settings: see there.
            options: what else `chatmem.connect` takes, such as `prefix` and `ttl`.

        Raises:
            TypeError: an option is none of `chatmem.connect`'s, or the settings hold what the SDK does not know.
            ValueError: an argument is wrong; it says which.
        """
        memory = connect(url, **options)
        session = cls(memory, session_id, user=user, claim=claim, session_settings=session_settings)
        session._owns_memory = True
        return session

    def __repr__(self) -> str:
        return f"ChatmemSession({self.session_id!r})"

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """Return the items, oldest first, those that cannot be read left out with a warning in the log.

        One round trip, or a few where the last records cannot be read or `limit` is above 1,000. With a limit, the
        first items may be results of tools whose calls are not among them; the SDK's `Runner` leaves those out.

        Args:
            limit: only so many from the end; by default what the settings say, else all.

        Raises:
            NotFoundError: the session is another user's.
            RuntimeError: the session was made by `from_url` and is closed.
            UnavailableError: the server did not answer.
            UnsupportedError: a message, stored by other means, says what no item can.
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
            before, size = page.next, 2 * size  # records that cannot be read count for nothing
        return last[:limit][::-1]

    async def add_items(self, items: list[Any]) -> None:
        """Append items: all of them, or none. One round trip.

        Each of them is stored, whatever ids they have. Where this ends in an error or is cancelled, the same call on
        this object stores them once, whether or not they were stored already.

        Args:
            items: dicts.

        Raises:
            EncodingError: an item holds what cannot be stored. Nothing was sent.
            NotFoundError: the session is another user's. Nothing was stored.
            RuntimeError: the session was made by `from_url` and is closed.
            UnavailableError: the server did not confirm.
            ValueError: a value is no dict.
        """
        self._check_open()
        messages = [message_of(item) for item in items]
        if not messages:
            return
        failed, self._failed = self._failed, None
        name = failed[1] if failed is not None and failed[0] == items else secrets.token_urlsafe(9)
        for number, message in enumerate(messages):
            message.id = f"{name}{number}"
        try:
            await self._history.append(*messages)
        except BaseException as error:
            if isinstance(error, UnavailableError) or not isinstance(error, Exception):  # it may have been stored
                self._failed = copy.deepcopy(items), name
            raise

    async def pop_item(self) -> Any | None:
        """Remove the last item that can be read and return it; None where there is none.

        Two round trips, more where others pop too. Records that cannot be read stay, with a warning in the log.

        Raises:
            NotFoundError: the session is another user's.
            RuntimeError: the session was made by `from_url` and is closed.
            UnavailableError: the server did not confirm.
            UnsupportedError: it is a message, stored by other means, that is no single item; it stays.
        """
        self._check_open()
        before, size = None, 1
        while True:
            page = await self._history.page(before=before, limit=size)
            self._readable(page.entries)  # logs
            entry = next((entry for entry in page.entries if entry.message is not None), None)
            if entry is None or entry.message is None:
                if page.next is None:
                    return None
                before, size = page.next, min(2 * size, LARGEST_PAGE)
                continue
            items = items_of(entry.message)
            if len(items) > 1:
                raise UnsupportedError("the last message is several items: remove it with History.delete")
            if (await self._history.delete(entry.seq)).count:
                return items[0]
            before, size = None, 1

    async def clear_session(self) -> None:
        """Remove the session. One round trip, two for a session of a user.

        Raises:
            NotFoundError: it is another user's.
            RuntimeError: the session was made by `from_url` and is closed.
            UnavailableError: the server did not confirm.
        """
        self._check_open()
        await self._history.clear()

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
        """Close the memory that `from_url` made; every other call is a RuntimeError then. A memory given stays open."""
        if self._owns_memory:
            self._closed = True
            await self._memory.aclose()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"{self!r} is closed")


def _settings(given: SessionSettings | dict[str, Any] | None) -> Any:
    """Return settings as the SDK's own sessions have them. Who gives none and uses no SDK need not import it."""
    if given is None and "agents.memory.session_settings" not in sys.modules:
        return None
    try:
        from agents.memory.session_settings import coerce_session_settings  # noqa: PLC0415
    except ImportError:
        return given
    return coerce_session_settings({} if given is None else given)


def _limit_of(settings: Any) -> int | None:
    return settings.get("limit") if isinstance(settings, dict) else getattr(settings, "limit", None)
