"""The blocking twins of `ChatMemory` and `History`: the same coroutines, run to their end, a line a method."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from langchain_core.messages import BaseMessage, MessageLikeRepresentation

from chatmem import history as core
from chatmem.codec.compression import Dictionary, compression_of
from chatmem.connect import Client, Connection, connection_to
from chatmem.model import Appended, Entry, SessionInfo
from chatmem.policy import Policy, Refresh
from chatmem.transports.blocking import drive

if TYPE_CHECKING:
    from chatmem.langchain import ChatMessageHistory


def connect(
    url: str | None = None,
    *,
    client: Client | None = None,
    token: str | None = None,
    prefix: str = "chatmem",
    ttl: float | timedelta | None = None,
    ttl_refresh: Refresh = "write",
    wait_replicas: int = 0,
    wait_timeout: float | timedelta = 1.0,
    compression: Literal["zstd"] | Dictionary | None = None,
) -> ChatMemory:
    """Return the memory at an address, for synchronous code; see `chatmem.connect`.

    Raises:
        ValueError: an argument is wrong; a `redis.asyncio.Redis` as the client is.
    """
    connection = connection_to(url, client, token)
    connection.blocking()
    return ChatMemory(
        connection, Policy(prefix, ttl, ttl_refresh, wait_replicas, wait_timeout, compression_of(compression))
    )


class History:
    """One conversation; see `chatmem.History`, whose methods these are."""

    def __init__(self, history: core.History) -> None:
        self._core = history
        self.session_id = history.session_id

    def __repr__(self) -> str:
        return f"sync.{self._core!r}"

    def append(
        self,
        *messages: MessageLikeRepresentation,
        idempotency_key: str | None = None,
        expected_version: int | None = None,
    ) -> Appended:
        """Append messages: all of them, each once, or none. One round trip."""
        return drive(self._core.append(*messages, idempotency_key=idempotency_key, expected_version=expected_version))

    def messages(self, *, last: int | None = None, strict: bool = False) -> list[BaseMessage]:
        """Return the messages, oldest first. One round trip."""
        return drive(self._core.messages(last=last, strict=strict))

    def entries(self, *, strict: bool = False) -> Iterator[Entry]:
        """Iterate over the stored messages with their positions, ids and times. One round trip a slice."""
        return _iterate(self._core.entries(strict=strict))

    def count(self) -> int:
        """Return how many messages the session holds. One round trip."""
        return drive(self._core.count())

    def info(self) -> SessionInfo:
        """Return what is known of the session: count, version, times, TTL. One round trip."""
        return drive(self._core.info())

    def touch(self, *, ttl: float | timedelta | None = None) -> bool:
        """Restart the session's time to live; return whether it exists. One round trip."""
        return drive(self._core.touch(ttl=ttl))

    def clear(self) -> None:
        """Remove the session. One round trip, atomic."""
        drive(self._core.clear())


def _iterate(entries: AsyncIterator[Entry]) -> Iterator[Entry]:
    while True:
        try:
            yield drive(anext(entries))  # type: ignore[arg-type]
        except StopAsyncIteration:
            return


class ChatMemory:
    """The chat histories on one server; see `chatmem.ChatMemory`, whose methods these are."""

    def __init__(self, connection: Connection, policy: Policy) -> None:
        self._connection = connection
        self._policy = policy

    def history(self, session_id: str) -> History:
        """Return one conversation. No round trip."""
        return History(core.History(self._connection.blocking(), self._policy, session_id))

    def langchain(self, session_id: str) -> ChatMessageHistory:
        """Return one conversation as LangChain's `BaseChatMessageHistory`. No round trip."""
        from chatmem.langchain import ChatMessageHistory  # noqa: PLC0415 - LangChain deprecates its base

        return ChatMessageHistory(self._connection, self._policy, session_id)

    def ping(self) -> bool:
        """Return True if the server answers. One round trip."""
        drive(self._connection.blocking().run([("PING",)]))
        return True

    def close(self) -> None:
        """Close the connections that this memory opened."""
        drive(self._connection.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
