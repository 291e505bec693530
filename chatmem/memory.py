"""ChatMemory: the conversations on one server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from chatmem.backends.connection import Client, connection_to
from chatmem.codec.compression import Dictionary, compression_of
from chatmem.codec.encryption import KeyRing
from chatmem.codec.record import MAX_RECORD_BYTES
from chatmem.codec.values import OnUnstorable
from chatmem.core.all_sessions import all_sessions
from chatmem.core.feed import Changes
from chatmem.core.marks import Wanted
from chatmem.core.policy import Policy, Refresh
from chatmem.history import History
from chatmem.model import Match, SessionChange, SessionPage
from chatmem.producers import Producers
from chatmem.scripts.calls import Order
from chatmem.sessions import Sessions

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
    publish: bool = False,
) -> ChatMemory:
    """Return a memory on a server. No round trip; the first operation connects.

    Args:
        url: where the server is. `redis://`, `rediss://` and `unix://` lead to one server, `redis+cluster://` to a
            cluster, `redis+sentinel://host,host2/service/0` to the master of a service. `embedded://`, with an optional
            folder, starts a Valkey server that keeps its data there. Query options go to redis-py
            (`?socket_timeout=2`). `upstash://:TOKEN@host`, or `https://host` with `token`, leads to Upstash's REST API.
            By default the variable CHATMEM_URL, else UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN, else
            `embedded://`.
        client: your own client instead of a URL: a `Redis` or `RedisCluster` of redis.asyncio; one of redis, which
            runs in worker threads; or a `Redis` of upstash_redis. Closing the memory leaves it open.
        token: the token of Upstash's REST API, if it is not in `url`.
        prefix: the beginning of all keys.
        ttl: seconds or a `timedelta` after which a session expires as a whole; None for never.
        ttl_refresh: what restarts the TTL: "write" (each write), "read" (each read and write), "never" (nothing).
        wait_replicas: how many replicas must confirm a write before it returns (WAIT); by default none.
        wait_timeout: seconds or a `timedelta` in which they must do so. Keep it below the connection's own time-out of
            5 s.
        compression: "zstd", which uses a dictionary that is part of chatmem, or a `Dictionary` trained on your
            conversations, which is then stored with them. By default records are not compressed. Readers need no
            option, but they need the extra `zstd` too.
        max_messages: how many of a session's last messages each append keeps; by default all. A tool exchange is kept
            or removed as a whole, so there may be a few more, and a system message at the head always stays.
        max_message_bytes: how large a stored message may be; a larger one raises MessageTooLargeError. By default as
            large as a value in Redis.
        encryption: a `KeyRing` whose newest key encrypts messages, titles and metadata. Readers need it too. The ids of
            messages, sessions and users, kinds and times are not encrypted, nor is what was stored before.
        on_unstorable: what to do with a value in a message that cannot be stored, such as a lock or an open file:
            "error" raises EncodingError; "repr" stores a text that describes it.
        publish: tell listeners in other processes what each write changed; see `History.changes`. By default nothing is
            told, and nothing is kept for it.

    Raises:
        ValueError: an argument is wrong; the error names it and says how to write it.
    """
    policy = Policy(
        prefix=prefix,
        ttl=ttl,
        refresh=ttl_refresh,
        wait_replicas=wait_replicas,
        wait_timeout=wait_timeout,
        compression=compression_of(compression),
        max_messages=max_messages,
        max_message_bytes=max_message_bytes,
        encryption=encryption,
        on_unstorable=on_unstorable,
        publish=publish,
    )
    return ChatMemory(Sessions(connection_to(url, client, token), policy))


class ChatMemory:
    """The conversations on one server. `connect` makes it; leaving its `async with` block closes what it opened.

    Attributes:
        core: what adapters build on; not for applications.
        answers: runs producers of answers as tasks of this memory.
    """

    def __init__(self, core: Sessions) -> None:
        self.core = core
        self.answers = Producers()

    def history(self, session_id: str, *, user: str | None = None, claim: bool = False) -> History:
        """Return one conversation. No round trip.

        Args:
            session_id: any non-empty string. It is taken exactly: it is case-sensitive, and never a pattern.
            user: the user that the conversation belongs to. A new session becomes this user's with its first write, and
                is listed by `sessions`. Reading or writing a session of another user, or of nobody, raises
                NotYoursError. Without `user`, nothing is checked.
            claim: accept a session that has no user, and make it this user's with the first write.

        Raises:
            ValueError: the id or the user is empty or not a string, or `claim` is without a user.
        """
        return self.core.history(session_id, user, claim=claim)

    async def sessions(
        self,
        user: str,
        *,
        limit: int = 50,
        before: str | None = None,
        archived: bool | None = False,
        pinned: bool | None = None,
        tag: str | None = None,
        title: str | None = None,
        order: Order = "newest",
    ) -> SessionPage:
        """Return a page of a user's sessions, the last written first.

        Two round trips. With `title`, or with `pinned=False`, two for each 100 sessions that are looked at. One more if
        the list turns out to differ from what the sessions say, which is then set right.

        Args:
            user: the user that the sessions belong to.
            limit: return at most this many, from 1 to 1,000.
            before: the `next` of the page before this one, which was asked for with the same arguments.
            archived: return only archived sessions, or only others; None for both.
            pinned: return only pinned sessions, or only others; None for both.
            tag: return only sessions with this tag.
            title: return only sessions whose titles contain this text. Case does not matter.
            order: "newest" for the last written first, "oldest" for the other way round.

        Raises:
            UnavailableError: the server did not answer.
            ValueError: an argument is wrong.
        """
        wanted = Wanted(archived, pinned, tag, title)
        listed = self.core.of_user(user).sessions(limit=limit, before=before, wanted=wanted, first=order)
        return await listed

    async def count(
        self, user: str, *, archived: bool | None = False, pinned: bool | None = None, tag: str | None = None
    ) -> int:
        """Count a user's sessions without reading them. One round trip.

        A session that was deleted by other means than chatmem's counts until a page with it is read.

        Args:
            user: the user that the sessions belong to.
            archived: count only archived sessions, or only others; None for both.
            pinned: count only pinned sessions, or only others; None for both.
            tag: count only sessions with this tag.

        Raises:
            UnavailableError: the server did not answer.
            ValueError: an argument is wrong.
        """
        return await self.core.of_user(user).count(Wanted(archived, pinned, tag))

    async def search(self, user: str, query: str, *, limit: int = 10) -> list[Match]:
        """Search all of a user's sessions; return the best matches first. See `History.search`.

        Three round trips for each 100 sessions, and one for each 256 further messages of a long session.

        Args:
            user: the user that the sessions belong to.
            query: words, and "phrases in quotation marks".
            limit: return at most this many matches, at least 1.

        Raises:
            UnavailableError: the server did not answer.
            ValueError: `query` contains no word, or another argument is wrong.
        """
        return await self.core.of_user(user).search(query, limit=limit)

    def changes(
        self, user: str, *, after: str | None = None, timeout: float | timedelta | None = None
    ) -> Changes[SessionChange]:
        """Iterate over the changes of a user's list of sessions as they happen, in whatever process.

        It works as `History.changes` does: the writers' memory needs `publish=True`, else one small command a second
        asks the server, and removals and titles are not told. That a session expires is not told either. A session that
        a history writes without its `user` is told as soon as it is in the list.

        No round trip for a change that is pushed. One at the beginning, after a lost connection, and each 15 seconds.

        Args:
            user: the user that the sessions belong to.
            after: the `cursor` of the last change that you know. Sessions that were written about that time may come up
                again. By default only changes from now on: from the moment at which you begin to iterate.
            timeout: end the iteration after so many seconds, or a `timedelta`, without a change. By default never.

        Raises:
            UnavailableError: the server did not answer the first question, or denies this user a right.
            ValueError: an argument is wrong.
        """
        return self.core.of_user(user).changes(after=after, timeout=timeout)

    def all_sessions(self, match: str = "*") -> AsyncIterator[str]:
        """Iterate over the ids of all sessions, whoever they belong to, in no order. For maintenance and migration.

        This looks at every key on the server, about 1,000 in each round trip, so it takes long on a large one. It needs
        the right to SCAN. Sessions that begin or end meanwhile may or may not come up.

        Args:
            match: a glob that the ids must match: `*`, `?` and `[...]` as in Redis.

        Raises:
            UnavailableError: the server did not answer, or does not allow SCAN.
            ValueError: `match` is not a non-empty string.
        """
        return all_sessions(self.core.transport(blocking=False), self.core.policy.prefix, match)

    async def forget(self, user: str) -> int:
        """Erase all sessions of a user. Three round trips for each 100 sessions.

        Each session is erased as a whole, including what is left of a torn one. If somebody writes to a session
        meanwhile, what remains of it afterwards was written after the erasure, and is listed by `sessions`.

        Returns:
            The number of sessions erased.

        Raises:
            UnavailableError: the server did not confirm; repeat the call to erase the remaining sessions.
            ValueError: `user` is empty or not a string.
        """
        return await self.core.of_user(user).forget()

    def langchain(self, session_id: str, user: str | None = None) -> ChatMessageHistory:
        """Return one conversation as LangChain's `BaseChatMessageHistory`. No round trip.

        Pass the method itself to LangChain: `RunnableWithMessageHistory(chain, memory.langchain)`.

        Args:
            session_id: any non-empty string, taken exactly.
            user: the user that the conversation belongs to; see `history`.

        Raises:
            ValueError: the id or the user is empty or not a string.
        """
        from chatmem.langchain import ChatMessageHistory  # noqa: PLC0415 - LangChain deprecates its base

        return ChatMessageHistory(self.core, session_id, user)

    async def ping(self) -> bool:
        """Return True if the server answers. One round trip.

        Raises:
            UnavailableError: the server does not answer.
        """
        await self.core.connection.asynchronous().run([("PING",)])
        return True

    async def aclose(self) -> None:
        """Interrupt the answers of `answers`, and close the connections that this memory opened.

        Later calls raise UnavailableError.
        """
        await self.answers.aclose()
        await self.core.connection.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
