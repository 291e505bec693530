"""Replaces items of a session in one atomic step, for the SDK's `OpenAIResponsesCompactionSession`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chatmem.core.reader import ENTRIES_PER_CALL, Slice
from chatmem.core.writer import Writer
from chatmem.errors import ConflictError, UnsupportedError
from chatmem.model import Entry
from chatmem.openai_agents.items import items_of, messages_of


class Snapshot:
    """The last items of a session at one moment, with the interface of the SDK's `_CompactionSnapshot`.

    It begins behind the last message that cannot be read, or cannot be written as an item: such messages stay stored.

    Attributes:
        items: the items, oldest first.
        complete: whether these are all messages of the session.
    """

    def __init__(self, writer: Writer, part: Slice, prune_prefix: Callable[[Any], bool] | None) -> None:
        """Take the last messages of a session.

        Args:
            writer: writes to the session.
            part: the last messages.
            prune_prefix: returns whether an item at the head of the session may go when the others are replaced.
        """
        self._writer, self._version, self._prune_prefix = writer, part.page.version, prune_prefix
        writer.reader.decoder.readable(part.entries)  # logs those that cannot be read
        self.items: list[Any] = []
        self.complete = not part.more
        self._positions: dict[int, int] = {}
        """by index of an item, the position of the message that begins with it"""
        for entry in part.entries:
            items = _items_of(entry)
            if items is None:
                self.items, self._positions, self.complete = [], {}, False
            else:
                self._positions[len(self.items)] = entry.seq
                self.items += items

    async def replace_suffix(self, start: int, items: list[Any]) -> bool:
        """Replace the items from an index on, and remove what may be pruned at the head. One step, atomic.

        One round trip; one more for each 256 messages at the head where items may be pruned.

        Args:
            start: an index into `items`.
            items: what takes their place.

        Returns:
            False if the session has changed since the snapshot, or no message begins at `start`. Nothing is replaced
            then.

        Raises:
            EncodingError: an item holds a value that cannot be stored. Nothing was sent.
            UnavailableError: the server did not confirm. Either all of it is done, or nothing.
        """
        position = self._positions.get(start)
        if position is None:
            return False
        parts = await self._writer.encode(messages_of(items))
        first = await self._first_to_keep(position)
        try:
            await self._writer.keep(first, position - 1, parts, expected_version=self._version)
        except ConflictError:
            return False
        return True

    async def _first_to_keep(self, end: int) -> int:
        """Return the position of the first message before `end` that may not be pruned; `end` if there is none."""
        if self._prune_prefix is None:
            return 0
        after, more = -1, True
        while more:
            part = await self._writer.reader.slice(after, end, ENTRIES_PER_CALL, newest=False)
            for entry in part.entries:
                items = _items_of(entry)
                if items is None or not all(map(self._prune_prefix, items)):
                    return entry.seq
                after = entry.seq
            more = part.more
        return end


def _items_of(entry: Entry) -> list[dict[str, Any]] | None:
    """Return a message's items; None if it cannot be read, or cannot be written as items."""
    try:
        return None if entry.message is None else items_of(entry.message)
    except UnsupportedError:
        return None
