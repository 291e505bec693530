"""A store for OpenAI's ChatKit server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chatkit.store import NotFoundError, TContext
from chatkit.types import Page, ThreadItem, ThreadMetadata

from chatmem import errors
from chatmem.chatkit.attachments import ATTACHMENTS, Attachments
from chatmem.chatkit.items import entry_with, item_id, item_of, message_of
from chatmem.chatkit.threads import thread_of, threads_of, title_and_metadata
from chatmem.core.checks import check_count
from chatmem.core.reader import LARGEST_PAGE
from chatmem.history import History


class ChatmemStore(Attachments[TContext]):
    """A `Store` for a `ChatKitServer`.

    A thread is a session of the user. Its items come back as ChatKit reads its own JSON, but with Python's values
    exact. They are stored as LangChain messages with the same text, so LangChain can read the thread.

    Every method checks that a thread is the user's. A thread or attachment of another user is one that does not exist:
    ChatKit's `NotFoundError`, or an empty page.

    Example:
        >>> store = ChatmemStore(memory, user_of=lambda context: context.user_id)
        >>> server = MyChatKitServer(store)
    """

    async def load_thread(self, thread_id: str, context: TContext) -> ThreadMetadata:
        """Return a thread's metadata. One round trip.

        Raises:
            NotFoundError: the user has no such thread.
            UnavailableError: the server did not answer.
        """
        with _as_missing("Thread", thread_id):
            thread = thread_of(await self._history(thread_id, context).info())
        if thread is None:
            raise _missing("Thread", thread_id)
        return thread

    async def save_thread(self, thread: ThreadMetadata, context: TContext) -> None:
        """Store a thread's metadata, or replace it. One round trip.

        Raises:
            EncodingError: JSON cannot represent the metadata.
            NotFoundError: the thread belongs to another user.
            UnavailableError: the server did not confirm; you can repeat the call.
        """
        title, metadata = title_and_metadata(thread)
        with _as_missing("Thread", thread.id):
            await self._history(thread.id, context).update(title=title, metadata=metadata)

    async def load_threads(self, limit: int, after: str | None, order: str, context: TContext) -> Page[ThreadMetadata]:
        """Return a page of the user's threads, by their `created_at`, as ChatKit's own stores do.

        Two round trips for each 1,000 threads of the user: the index of a user's sessions is in another order.

        Args:
            limit: return at most this many.
            after: the id of the last thread of the page before.
            order: "asc" for the oldest first, "desc" for the newest first.
            context: the request's context.

        Raises:
            NotFoundError: the user has no thread `after`.
            UnavailableError: the server did not answer.
            ValueError: `limit` is not at least 1.
        """
        check_count("limit", limit, least=1)
        threads = await threads_of(self._memory.core.of_user(self._user_of(context)))
        threads = [thread for thread in threads if not thread.id.startswith(ATTACHMENTS)]
        if order != "asc":
            threads.reverse()
        if after is not None:
            ids = [thread.id for thread in threads]
            if after not in ids:
                raise _missing("Thread", after)
            threads = threads[ids.index(after) + 1 :]
        found, more = threads[:limit], len(threads) > limit
        return Page(data=found, has_more=more, after=found[-1].id if more else None)

    async def delete_thread(self, thread_id: str, context: TContext) -> None:
        """Remove a thread with its items. Two round trips.

        Raises:
            NotFoundError: the thread belongs to another user.
            UnavailableError: the server did not confirm; you can repeat the call.
        """
        with _as_missing("Thread", thread_id):
            await self._history(thread_id, context).clear()

    async def load_thread_items(
        self, thread_id: str, after: str | None, limit: int, order: str, context: TContext
    ) -> Page[ThreadItem]:
        """Return a page of a thread's items. One round trip for each 1,000 items, and one more with `after`.

        An item that cannot be read is left out, with a warning in the log.

        Args:
            thread_id: the id of the thread. If the user has no such thread, the page is empty.
            after: the id of the last item of the page before.
            limit: return at most this many, at least 1.
            order: "asc" for the oldest first, "desc" for the newest first.
            context: the request's context.

        Raises:
            NotFoundError: there is no item `after`.
            UnavailableError: the server did not answer.
            UnsupportedError: a message that another framework stored cannot be written as an item.
            ValueError: `limit` is not at least 1.
        """
        history, newest_first = self._history(thread_id, context), order != "asc"
        readable = self._memory.core.reader(thread_id).decoder.readable
        items, last, more = list[ThreadItem](), None, True
        try:
            cursor = None if after is None else await _position(history, after)
            while more and len(items) < limit:
                size, edges = min(limit - len(items), LARGEST_PAGE), (cursor, None) if newest_first else (None, cursor)
                page = await history.page(before=edges[0], after=edges[1], limit=size, newest_first=newest_first)
                readable(page.entries)  # logs those that cannot be read
                items += [item_of(entry, thread_id) for entry in page.entries if entry.message is not None]
                last = item_id(page.entries[-1]) if page.entries else None
                cursor, more = page.next, page.next is not None
        except errors.NotYoursError:
            return Page()
        return Page(data=items, has_more=more, after=last if more else None)

    async def add_thread_item(self, thread_id: str, item: ThreadItem, context: TContext) -> None:
        """Append an item. One round trip. An item that the thread holds already is stored once.

        ChatKit adds a workflow anew each time a run ends with it, so a workflow replaces the one with its id.

        Raises:
            DuplicateIdError: the thread holds another item with the same id, which is not a workflow.
            EncodingError: the item holds a value that cannot be stored. Nothing was sent.
            NotFoundError: the thread belongs to another user.
            UnavailableError: the server did not confirm; you can repeat the call.
        """
        history, message = self._history(thread_id, context), message_of(item)
        with _as_missing("Thread", thread_id):
            await (history.put(message) if item.type == "workflow" else history.append(message))

    async def save_item(self, thread_id: str, item: ThreadItem, context: TContext) -> None:
        """Store an item over the one with the same id, or append it if there is none. One round trip.

        Raises:
            EncodingError: the item holds a value that cannot be stored. Nothing was sent.
            NotFoundError: the thread belongs to another user.
            UnavailableError: the server did not confirm; you can repeat the call.
        """
        with _as_missing("Thread", thread_id):
            await self._history(thread_id, context).put(message_of(item))

    async def load_item(self, thread_id: str, item_id: str, context: TContext) -> ThreadItem:
        """Return an item. One round trip.

        Raises:
            NotFoundError: the user has no such item.
            UnavailableError: the server did not answer.
            UnsupportedError: a message that another framework stored cannot be written as an item.
        """
        with _as_missing("Item", item_id):
            entry = await entry_with(self._history(thread_id, context), item_id)
        if entry is None:
            raise _missing("Item", item_id)
        return item_of(entry, thread_id)

    async def delete_thread_item(self, thread_id: str, item_id: str, context: TContext) -> None:
        """Remove an item, if it is there. One round trip; more for an id that looks like `position_3`.

        Raises:
            NotFoundError: the thread belongs to another user.
            UnavailableError: the server did not confirm; you can repeat the call.
        """
        with _as_missing("Thread", thread_id):
            history = self._history(thread_id, context)
            if item_id and not item_id.startswith("position_"):
                await history.delete(item_id)
            elif (entry := await entry_with(history, item_id)) is not None:
                await history.delete(entry.seq)

    def _history(self, thread_id: str, context: TContext) -> History:
        if not thread_id or thread_id.startswith(ATTACHMENTS):
            raise _missing("Thread", thread_id)
        return self._memory.history(thread_id, user=self._user_of(context))


async def _position(history: History, name: str) -> int:
    entry = await entry_with(history, name)
    if entry is None:
        raise _missing("Item", name)
    return entry.seq


def _missing(what: str, name: str) -> NotFoundError:
    """Return ChatKit's error for what the user does not have."""
    return NotFoundError(f"{what} {name} not found")


@contextmanager
def _as_missing(what: str, name: str) -> Iterator[None]:
    """Turn chatmem's error for another user's session into ChatKit's."""
    try:
        yield
    except errors.NotYoursError as error:
        raise _missing(what, name) from error
