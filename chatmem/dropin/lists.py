"""A conversation in a list of JSON messages, in the layout of the replaced classes, which may use it too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from langchain_core.messages import BaseMessage

from chatmem.codec import record
from chatmem.core.checks import milliseconds
from chatmem.core.in_flight import Calls
from chatmem.core.keys import recent_calls_key
from chatmem.dropin import json_messages
from chatmem.dropin.errors import redis_errors_too
from chatmem.errors import CorruptRecordError
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


def checked_key(key: str) -> bytes:
    """Return the key of a conversation's list as bytes.

    Raises:
        ValueError: the key is empty, not a string, or cannot be encoded in UTF-8.
    """
    if not isinstance(key, str):
        raise ValueError(f"session_id must be a string: a key cannot be a {type(key).__name__}")
    if not key:
        raise ValueError("session_id must not be empty")
    try:
        return key.encode()
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

    def __init__(self, transport: Transport, layout: Callable[[], Layout]) -> None:
        """Open a conversation. No round trip.

        Args:
            transport: leads to the server.
            layout: returns where the conversation is. It is asked at every call, as the replaced classes look their
                attributes up at every call, and subclasses and callers change these.
        """
        self._transport = transport
        self._layout = layout

    async def append(self, *messages: BaseMessage) -> None:
        """Push messages, all or none, and restart the list's TTL. One round trip; a retry pushes nothing twice.

        Raises:
            EncodingError: a message cannot be written as JSON. Nothing was sent.
            UnavailableError: the server did not confirm; all of the messages may be stored, or none.
            ValueError: a value is not a LangChain message.
        """
        layout = self._layout()
        with redis_errors_too(layout.key):
            elements = list(_encode_all(messages))
            push = b"LPUSH" if layout.newest_first else b"RPUSH"
            call = _in_flight.begin(layout.key)
            try:
                keys = (layout.key, recent_calls_key(layout.key))
                await self._transport.run([calls.push(keys, push, call.token, layout.ttl, elements)])
            finally:
                _in_flight.end(call)

    async def messages(self) -> list[BaseMessage]:
        """Return the messages, oldest first. One round trip.

        Elements that cannot be read are left out; a warning in the log names the key and the index of each.

        Raises:
            UnavailableError: the server did not answer.
        """
        layout = self._layout()
        with redis_errors_too(layout.key):
            (elements,) = await self._transport.run([("LRANGE", layout.key, b"0", b"-1")])
        found = (_read(layout.key, index, element) for index, element in enumerate(elements))
        messages = [message for message in found if message is not None]
        return messages[::-1] if layout.newest_first else messages

    async def clear(self) -> None:
        """Remove the list. One round trip."""
        layout = self._layout()
        with redis_errors_too(layout.key):
            await self._transport.run([("UNLINK", layout.key)])


def _read(key: bytes, index: int, element: bytes) -> BaseMessage | None:
    try:
        return record.decode(element).message
    except CorruptRecordError as error:
        logger.warning("left out an unreadable element: key %r, index %d: %s", key, index, error)
        return None


def _encode_all(messages: Sequence[BaseMessage]) -> Iterator[bytes]:
    for index, message in enumerate(messages):
        if not isinstance(message, BaseMessage):
            raise ValueError(f"messages[{index}] must be a LangChain message, not {type(message).__name__}")
        yield json_messages.encode(message, index)
