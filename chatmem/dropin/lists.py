"""A conversation in a list of JSON messages, where the classes that chatmem replaces keep it: shared with them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

from langchain_core.messages import BaseMessage
from redis.crc import key_slot

from chatmem.codec import record
from chatmem.core.checks import milliseconds
from chatmem.core.in_flight import Calls
from chatmem.dropin import jsons
from chatmem.errors import ChatMemError, CorruptRecordError
from chatmem.scripts import calls
from chatmem.transports.base import Transport

logger = logging.getLogger("chatmem")

_in_flight = Calls()
"""of this process, to lists of any server"""


class Layout(NamedTuple):
    """Where a conversation is and how it lies there."""

    key: bytes
    newest_first: bool
    ttl: bytes
    """milliseconds, as the script takes them; empty for none"""


def key_of(session_id: str, prefix: str = "") -> bytes:
    """Return the key of a conversation's list.

    Raises:
        ValueError: an argument is no string, or UTF-8 cannot carry it.
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
    """Return the time to live as a layout holds it; 0 and None are none, as they are to the classes replaced.

    Raises:
        ValueError: it is less than 0 or no time.
    """
    return milliseconds("ttl", ttl) if ttl else b""


class ListHistory:
    """One conversation in a list. Making one costs no round trip."""

    def __init__(self, transport: Transport, layout: Layout) -> None:
        self._transport = transport
        self._layout = layout

    async def append(self, *messages: BaseMessage) -> None:
        """Push messages, all or none, with the list's time to live. One round trip; a resend pushes nothing twice.

        Raises:
            EncodingError: JSON cannot carry a message. Nothing was sent.
            UnavailableError: the server did not confirm. The messages are stored all or none.
            ValueError: a value is no message.
        """
        with self._named():
            elements = list(_encode_all(messages))
            push = b"LPUSH" if self._layout.newest_first else b"RPUSH"
            keys = (self._layout.key, _companion(self._layout.key))
            call = _in_flight.begin(self._layout.key)
            try:
                await self._transport.run([calls.push(keys, push, call.token, self._layout.ttl, elements)])
            finally:
                _in_flight.end(call)

    async def messages(self) -> list[BaseMessage]:
        """Return the messages, oldest first. One round trip.

        An element that cannot be read is left out, and a warning with key and index is logged.

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
        yield jsons.encode(message, index)


def _companion(key: bytes) -> bytes:
    """Return the key of the tokens of a list's last calls, which is in the list's own slot of a cluster."""
    name = b"chatmem:recent:" + key
    if _tag(key):
        return name
    if b"}" not in key:
        return b"chatmem:recent:{" + key + b"}"
    slot = key_slot(key)  # braces that are no tag: find one that leads there
    tag = next(number for number in map(str, range(1_000_000)) if key_slot(number.encode()) == slot)
    return b"chatmem:recent:{%b}:%b" % (tag.encode(), key)


def _tag(key: bytes) -> bytes:
    """Return what a cluster hashes instead of the whole key; empty where it hashes all."""
    _, brace, rest = key.partition(b"{")
    tag, closing, _ = rest.partition(b"}")
    return tag if brace and closing else b""
