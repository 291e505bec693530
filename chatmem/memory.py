"""ChatMemory: one connection, its policy, and the histories in it."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from chatmem.backends.connection import Client, Connection, connection_to
from chatmem.codec.compression import Dictionary, compression_of
from chatmem.codec.encryption import KeyRing
from chatmem.codec.record import MAX_RECORD_BYTES
from chatmem.codec.values import OnUnstorable
from chatmem.core.policy import Policy, Refresh
from chatmem.core.user_index import User
from chatmem.history import History
from chatmem.model import Match, SessionPage

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
    max_messages: int | None = None,
    max_message_bytes: int = MAX_RECORD_BYTES,
    encryption: KeyRing | None = None,
    on_unstorable: OnUnstorable = "error",
) -> ChatMemory:
    """Return the memory at an address. No round trip; the first operation connects.

    Args:
        url: `redis://`, `rediss://`, `unix://`, `redis+cluster://`, `redis+sentinel://host,host2/service/0`, or
            `embedded://` with an optional folder: a Valkey server of its own that keeps its data there. Query
            options reach redis-py (`?socket_timeout=2`). Upstash's REST API is `upstash://:TOKEN@host`, or
            `https://host` with `token`. By default the variable CHATMEM_URL, else UPSTASH_REDIS_REST_URL and
            UPSTASH_REDIS_REST_TOKEN, else `embedded://`.
        client: a client of the caller's instead: a `Redis` or `RedisCluster` of redis.asyncio, or of redis (which
            is served through worker threads), or a `Redis` of upstash_redis. It stays open when the memory is closed.
        token: of Upstash's REST API, where it is not in `url`.
        prefix: what all keys begin with.
        ttl: seconds or a `timedelta` after which a session expires, whole; None for never.
        ttl_refresh: what restarts that time: "write" every append, "read" every append and read, "never" nothing.
        wait_replicas: how many replicas must confirm an append before it returns (WAIT); by default none.
        wait_timeout: seconds or a `timedelta` in which they must; keep it below the connection's own time-out (5 s).
        compression: "zstd", or a `Dictionary` trained on conversations like these, which is then stored beside them;
            by default records are not compressed. Readers need no option, but the extra `zstd` too.
        max_messages: how many of a session's last messages every append leaves; all by default. A tool exchange is
            kept or removed as a whole, so there may be a few more, and a system message at the head stays beside them.
        max_message_bytes: how many bytes a stored message may have; a larger one is a MessageTooLargeError. By default
            what Redis takes in one value.
        encryption: a `KeyRing` whose newest key encrypts messages, titles and metadata; readers need it too. Ids of
            messages, sessions and users, kinds and times are not encrypted, nor is what was stored before.
        on_unstorable: what becomes of a value in a message that cannot be stored, such as a lock or an open file:
            "error" is an EncodingError; with "repr" a text is stored in its place that says what it was.

    Raises:
        ValueError: an argument is wrong; it says which and how to write it.
    """
    how = compression_of(compression)
    policy = Policy(
        *(prefix, ttl, ttl_refresh, wait_replicas, wait_timeout, how),
        *(max_messages, max_message_bytes, encryption, on_unstorable),
    )
    return ChatMemory(connection_to(url, client, token), policy)


class ChatMemory:
    """The chat histories on one server. Made by `connect`; an async context manager that closes what it opened."""

    def __init__(self, connection: Connection, policy: Policy) -> None:
        self._connection = connection
        self._policy = policy

    def history(self, session_id: str, *, user: str | None = None, claim: bool = False) -> History:
        """Return one conversation. No round trip.

        Args:
            session_id: any non-empty string, taken exactly: case-sensitive, never a pattern.
            user: whose conversation it is. A new session becomes theirs with the first write, and is among their
                `sessions`. Reading or writing a session of another user, or of nobody, is a NotYoursError. Without it,
                nothing is checked.
            claim: also open a session that has no user; the first write makes it this user's.

        Raises:
            ValueError: the id or the user is empty or no string, or `claim` is without a user.
        """
        if claim and user is None:
            raise ValueError("claim needs user=: it makes a session that has no user that user's")
        return History(self._connection.asynchronous(), self._policy, session_id, user, claim=claim)

    async def sessions(self, user: str, *, limit: int = 50, before: str | None = None) -> SessionPage:
        """Return a user's sessions, the one written last first. Two round trips, however many there are.

        Args:
            user: whose sessions.
            limit: at most so many, from 1 to 1,000.
            before: `next` of the page before this one.

        Raises:
            UnavailableError: the server did not answer.
            ValueError: an argument is wrong.
        """
        return await self._user(user).sessions(limit=limit, before=before)

    async def search(self, user: str, query: str, *, limit: int = 10) -> list[Match]:
        """Return the messages of all of a user's sessions that hold the words of a query; see `History.search`.

        One round trip for each 256 messages, and at least one for each session.
        """
        return await self._user(user).search(query, limit=limit)

    async def forget(self, user: str) -> int:
        """Erase all of a user's sessions, and return how many there were. Three round trips for each 100.

        Each session is erased as a whole, also what is left of a torn one. One that is written meanwhile is erased
        before that write or after it: what is left of it then, if anything, was written after its erasure, and is
        listed.

        Raises:
            UnavailableError: the server did not confirm; do it again for the rest.
            ValueError: `user` is empty or no string.
        """
        return await self._user(user).forget()

    def _user(self, user: str) -> User:
        return User(self._connection.asynchronous(), self._policy, user)

    def langchain(self, session_id: str, user: str | None = None) -> ChatMessageHistory:
        """Return one conversation as LangChain's `BaseChatMessageHistory`. No round trip.

        This method is what `RunnableWithMessageHistory(chain, memory.langchain)` wants.

        Args:
            session_id: any non-empty string, taken exactly.
            user: whose conversation it is; see `history`.

        Raises:
            ValueError: the id or the user is empty or no string.
        """
        from chatmem.langchain import ChatMessageHistory  # noqa: PLC0415 - LangChain deprecates its base

        return ChatMessageHistory(self._connection, self._policy, session_id, user)

    async def ping(self) -> bool:
        """Return True if the server answers. One round trip.

        Raises:
            UnavailableError: it does not.
        """
        await self._connection.asynchronous().run([("PING",)])
        return True

    async def aclose(self) -> None:
        """Close the connections that this memory opened, for good: what you ask for then is an UnavailableError."""
        await self._connection.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
