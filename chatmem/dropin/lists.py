"""A conversation in a list of JSON messages, in the layout of the replaced classes, which may use it too."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

from langchain_core.messages import BaseMessage

from chatmem.codec import record
from chatmem.core.checks import milliseconds
from chatmem.core.in_flight import Calls
from chatmem.core.keys import recent_calls_key
from chatmem.dropin import json_messages
from chatmem.errors import ChatMemError, CorruptRecordError
from chatmem.scripts import calls
from chatmem.transports.base import Transport

logger = logging.getLogger("chatmem")

_in_flight = Calls()
"""this process's calls under way, to lists on any server"""


class Layout(NamedTuple):
    """Where a conversation is stored, and in which form."""

    key: bytes
    newest_first: bool
    ttl: bytes
    """milliseconds, as the script takes them; empty for no TTL"""


def key_of(session_id: str, prefix: str = "") -> bytes:
    """Return the key of a conversation's list.

    Raises:
        ValueError: an argument is not a string, cannot be encoded in UTF-8, or both are empty.
    """
    for name, value in (("session_id", session_id), ("key_prefix", prefix)):
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a string, not {type(value).__name__}")
    if not prefix + session_id:
        raise ValueError("session_id must not be empty")
    try:
        return f"{prefix}{session_id}".encode()
    except UnicodeEncodeError:
        raise ValueError("session_id and key_prefix must be text without lone surrogates") from None


def ttl_argument(ttl: float | timedelta | None) -> bytes:
    """Return a TTL as `Layout` holds it; 0 and None mean no TTL, as in the replaced classes.

    Raises:
        ValueError: the TTL is negative, or is neither a number of seconds nor a timedelta.
    """
    return milliseconds("ttl", ttl) if ttl else b""


class ListHistory:
    """One conversation in a list."""

    def __init__(self, transport: Transport, layout: Layout) -> None:
        self._transport = transport
        self._layout = layout

    async def append(self, *messages: BaseMessage) -> None:
        """Push messages, all or none, and restart the list's TTL. One round trip; a retry pushes nothing twice.

        Raises:
            EncodingError: a message cannot be written as JSON. Nothing was sent.
            UnavailableError: the server did not confirm; all of the messages may be stored, or none.
            ValueError: a value is not a LangChain message.
        """
        with self._named():
            elements = list(_encode_all(messages))
            push = b"LPUSH" if self._layout.newest_first else b"RPUSH"
            keys = (self._layout.key, recent_calls_key(self._layout.key))
            call = _in_flight.begin(self._layout.key)
            try:
                await self._transport.run([calls.push(keys, push, call.token, self._layout.ttl, elements)])
            finally:
                _in_flight.end(call)

    async def messages(self) -> list[BaseMessage]:
        """Return the messages, oldest first. One round trip.

        Elements that cannot be read are left out; a warning in the log names the key and the index of each.

        Raises:
            UnavailableError: the server did not answer.
        """
        with self._named():
            (elements,) = await self._transport.run([("LRANGE", self._layout.key, b"0", b"-1")])
        read = [message for index, element in enumerate(elements) if (message := self._read(index, element))]
        return read[::-1] if self._layout.newest_first else read

    def _read(self, index: int, element: bytes) -> BaseMessage | None:
        try:
            return record.decode(element).message
        except CorruptRecordError as error:
            logger.warning("left out an unreadable element: key %r, index %d: %s", self._layout.key, index, error)
            return None

    async def clear(self) -> None:
        """Remove the list. One round trip."""
        with self._named():
            await self._transport.run([("UNLINK", self._layout.key)])

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except ChatMemError as error:
            error.key = self._layout.key.decode("utf-8", "replace")
            raise


def _encode_all(messages: Sequence[BaseMessage]) -> Iterator[bytes]:
    for index, message in enumerate(messages):
        if not isinstance(message, BaseMessage):
            raise ValueError(f"messages[{index}] must be a LangChain message, not {type(message).__name__}")
        yield json_messages.encode(message, index)
