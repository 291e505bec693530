"""The blocking twins of `ChatMemory` and `History`: the same coroutines, run to their end, a line a method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.messages import BaseMessage, MessageLikeRepresentation

from chatmem import history as core
from chatmem.backends.connection import Client, Connection, connection_to
from chatmem.codec.compression import Dictionary, compression_of
from chatmem.codec.encryption import KeyRing
from chatmem.codec.record import MAX_RECORD_BYTES
from chatmem.codec.values import OnUnstorable
from chatmem.core.policy import Policy, Refresh
from chatmem.core.storing import Known
from chatmem.core.user_index import User
from chatmem.core.window import StartOn
from chatmem.deprecated import renamed_argument
from chatmem.model import Appended, Edited, Entry, Match, Page, SessionInfo, SessionPage
from chatmem.transports.driving import drive, iterate

if TYPE_CHECKING:
    from chatmem.core.window import TokenCounter
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
    max_messages: int | None = None,
    max_message_bytes: int = MAX_RECORD_BYTES,
    encryption: KeyRing | None = None,
    on_unstorable: OnUnstorable = "error",
) -> ChatMemory:
    """Return the memory at an address, for synchronous code; see `chatmem.connect`.

    Raises:
        ValueError: an argument is wrong; a `redis.asyncio.Redis` as the client is.
    """
    connection = connection_to(url, client, token)
    connection.blocking()
    how = compression_of(compression)
    policy = Policy(
        *(prefix, ttl, ttl_refresh, wait_replicas, wait_timeout, how),
        *(max_messages, max_message_bytes, encryption, on_unstorable),
    )
    return ChatMemory(connection, policy)


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
        on_known_id: Known = "error",
    ) -> Appended:
        """Append messages: all of them, each once, or none. One round trip."""
        return drive(
            self._core.append(
                *messages,
                idempotency_key=idempotency_key,
                expected_version=expected_version,
                on_known_id=on_known_id,
            )
        )

    def put(self, message: BaseMessage, *, expected_version: int | None = None) -> Edited:
        """Store a message in the place of the one with its id, or append it. One round trip."""
        return drive(self._core.put(message, expected_version=expected_version))

    def replace(
        self, message: str | int, by: MessageLikeRepresentation, *, expected_version: int | None = None
    ) -> Edited:
        """Put another message in the place of one. One round trip, atomic."""
        return drive(self._core.replace(message, by, expected_version=expected_version))

    def delete(self, message: str | int, *, expected_version: int | None = None) -> Edited:
        """Remove one message. One round trip, atomic."""
        return drive(self._core.delete(message, expected_version=expected_version))

    def truncate(self, *, after: str | int, expected_version: int | None = None) -> Edited:
        """Remove all messages behind one. One round trip, atomic."""
        return drive(self._core.truncate(after=after, expected_version=expected_version))

    @renamed_argument("upto", "up_to")
    def compact(
        self,
        *,
        up_to: str | int,
        replacement: Sequence[MessageLikeRepresentation],
        expected_version: int | None = None,
    ) -> Edited:
        """Replace the head of the conversation. One round trip, atomic."""
        return drive(self._core.compact(up_to=up_to, replacement=replacement, expected_version=expected_version))

    @renamed_argument("upto", "up_to")
    def fork(
        self, new_session_id: str, *, up_to: str | int | None = None, expected_version: int | None = None
    ) -> History:
        """Copy the conversation, or its beginning, into a new session. Two round trips."""
        return History(drive(self._core.fork(new_session_id, up_to=up_to, expected_version=expected_version)))

    def messages(self, *, last: int | None = None, strict: bool = False) -> list[BaseMessage]:
        """Return the messages, oldest first. One round trip."""
        return drive(self._core.messages(last=last, strict=strict))

    def window(
        self,
        *,
        messages: int | None = None,
        turns: int | None = None,
        tokens: int | None = None,
        token_counter: TokenCounter = "approximate",
        keep_system: bool = True,
        start_on: StartOn = "human",
    ) -> list[BaseMessage]:
        """Return the last messages within limits, fit to be sent to a model. One round trip, or a few."""
        return drive(
            self._core.window(
                messages=messages,
                turns=turns,
                tokens=tokens,
                token_counter=token_counter,
                keep_system=keep_system,
                start_on=start_on,
            )
        )

    def entries(self, *, strict: bool = False) -> Iterator[Entry]:
        """Iterate over the stored messages with their positions, ids and times. One round trip a slice."""
        return iterate(self._core.entries(strict=strict))

    def page(
        self, *, before: int | None = None, after: int | None = None, limit: int = 50, newest_first: bool = True
    ) -> Page:
        """Return a page of the conversation. One round trip."""
        return drive(self._core.page(before=before, after=after, limit=limit, newest_first=newest_first))

    def get(self, message: str | int) -> Entry | None:
        """Return one message by its id or position, or None. One round trip."""
        return drive(self._core.get(message))

    def search(self, query: str, *, limit: int = 10) -> list[Match]:
        """Return the messages that hold the words of a query, the best first. One round trip a slice."""
        return drive(self._core.search(query, limit=limit))

    def count(self) -> int:
        """Return how many messages the session holds. One round trip."""
        return drive(self._core.count())

    def info(self) -> SessionInfo:
        """Return what is known of the session. One round trip."""
        return drive(self._core.info())

    def update(self, *, title: str | None = None, metadata: dict[str, Any] | None = None) -> None:
        """Set title and metadata. One round trip."""
        drive(self._core.update(title=title, metadata=metadata))

    def reencrypt(self) -> int:
        """Seal with the newest key what another key sealed, or none. One round trip or two a message."""
        return drive(self._core.reencrypt())

    def touch(self, *, ttl: float | timedelta | None = None) -> bool:
        """Restart the session's time to live; return whether it exists. One round trip, two where it has a user."""
        return drive(self._core.touch(ttl=ttl))

    def clear(self) -> None:
        """Remove the session. One round trip, two where it has a user."""
        drive(self._core.clear())


class ChatMemory:
    """The chat histories on one server; see `chatmem.ChatMemory`, whose methods these are."""

    def __init__(self, connection: Connection, policy: Policy) -> None:
        self._connection = connection
        self._policy = policy

    def history(self, session_id: str, *, user: str | None = None, claim: bool = False) -> History:
        """Return one conversation. No round trip."""
        if claim and user is None:
            raise ValueError("claim needs user=: it makes a session that has no user that user's")
        return History(core.History(self._connection.blocking(), self._policy, session_id, user, claim=claim))

    def sessions(self, user: str, *, limit: int = 50, before: str | None = None) -> SessionPage:
        """Return a user's sessions, the one written last first. Two round trips."""
        return drive(self._user(user).sessions(limit=limit, before=before))

    def search(self, user: str, query: str, *, limit: int = 10) -> list[Match]:
        """Return the messages of all of a user's sessions that hold the words of a query. One round trip a slice."""
        return drive(self._user(user).search(query, limit=limit))

    def forget(self, user: str) -> int:
        """Erase all of a user's sessions; return how many there were. Three round trips for each 100."""
        return drive(self._user(user).forget())

    def _user(self, user: str) -> User:
        return User(self._connection.blocking(), self._policy, user)

    def langchain(self, session_id: str, user: str | None = None) -> ChatMessageHistory:
        """Return one conversation as LangChain's `BaseChatMessageHistory`. No round trip."""
        from chatmem.langchain import ChatMessageHistory  # noqa: PLC0415 - LangChain deprecates its base

        return ChatMessageHistory(self._connection, self._policy, session_id, user)

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
