"""A session: its keys, the rules of its memory, and how commands for it are sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chatmem.codec.encryption import Sealer
from chatmem.core.keys import (
    SessionKeys,
    escape,
    field,
    log_of,
    session_keys,
    stream_of,
    user_keys,
    user_lists,
    user_log,
    user_name,
)
from chatmem.core.policy import Policy
from chatmem.core.steps import BYTES_AT_ONCE
from chatmem.errors import ChatMemError, UnavailableError
from chatmem.scripts import answers, calls
from chatmem.scripts.answers import Refusal, Written
from chatmem.scripts.calls import How, Shared
from chatmem.transports.base import Command, Transport

ATTEMPTS = 10
"""How often an operation starts over because the session was torn, or changed while it was read."""
FIRST_OF_SUMMARY = 2**48
"""A summary's messages are counted from here, so that encrypted ones cannot be taken for messages of the session."""


class _Named:
    """Adds the session to errors that pass through: `with session.named: ...`."""

    __slots__ = ("_id", "_key")

    def __init__(self, session_id: str, key: bytes) -> None:
        self._id, self._key = session_id, key

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ChatMemError):
            error.session, error.key = self._id, self._key.decode()


class Session:
    """One conversation on a server, under a memory's rules.

    Attributes:
        user: the user that the session must belong to, or None for no check.
        claim: `b"1"` if a session without a user may become this user's, else empty.
        written_keys: the keys of calls that write: `keys`, and the log of changes if the memory publishes.
        sealer: encrypts and decrypts the session's records; None if the memory has no keys.
        next_position: the position that the next message will probably get. Sealed records carry their position, so a
            good guess saves a round trip.
        reads: builds the calls of `read.lua`.
    """

    def __init__(
        self, transport: Transport, policy: Policy, session_id: str, user: str | None = None, *, claim: bool = False
    ) -> None:
        self.transport = transport
        self.policy = policy
        self.id = session_id
        self.user = user
        self.user_name = b"" if user is None else user_name(user)
        self.claim = b"1" if claim else b""
        self.keys: SessionKeys = session_keys(policy.prefix, session_id)
        self.written_keys = (*self.keys, log_of(self.keys)) if policy.publish else self.keys
        self.named = _Named(session_id, self.keys.messages)
        self.sealer = sealer_of(policy, session_id)
        self.next_position = 0
        self.reads = calls.Reads(self.keys, self.user_name, self.claim)

    @property
    def key(self) -> str:
        """The name of the key with the messages, for errors and logs."""
        return self.keys.messages.decode()

    async def run(self, *commands: Command) -> list[Any]:
        """Run commands in one round trip; errors name the session."""
        with self.named:
            return await self.transport.run(commands)

    async def pause_after(self, size: int) -> None:
        """Let others run if that many bytes are more than one step should handle."""
        if size > BYTES_AT_ONCE:
            await self.transport.checkpoint()

    async def read(self, *commands: Command) -> list[Any]:
        """Run commands that read. If reads restart the TTL, restart it in the same round trip."""
        if self.policy.refresh != "read" or not self.policy.ttl_argument:
            return await self.run(*commands)
        extra = [calls.edit(self.written_keys, self.shared(), b"touch")]
        if self.user is not None:
            extra.append(self.register(self.user_name, "TTL"))
        replies = await self.run(*commands, *extra)
        touched = answers.written(replies[len(commands)])
        if self.user is not None:
            await self.check_marks(touched, replies[-1], "TTL")
        elif isinstance(touched, Written) and touched.user:
            await self.enter(touched, "NX")
        return replies[: len(commands)]

    async def send(self, *commands: Command) -> list[Any]:
        """Run commands that write. If records need a compression dictionary, make sure that the server has it."""
        dictionary = self.policy.dictionary
        return await (self.run(*commands) if dictionary is None else dictionary.write(self.run, self.id, commands))

    async def confirmed(self, *commands: Command) -> list[Any]:
        """Run commands that write, and wait for replicas if the memory does.

        Raises:
            UnavailableError: too few replicas confirmed the write, which is done on the master.
        """
        if self.policy.wait is None:
            return await self.send(*commands)
        *replies, reached = await self.send(*commands, self.policy.wait)
        if reached < self.policy.wait_replicas:
            with self.named:
                raise UnavailableError(
                    f"done on the master, but only {reached} of {self.policy.wait_replicas} replicas confirmed it in "
                    "time: if the master fails now, it may be lost; repeat the call to wait again"
                )
        return replies

    async def write(
        self,
        make: Callable[[Shared], Command],
        how: How | None,
        *,
        expected_version: int | None = None,
        time: int | None = None,
    ) -> Written | Refusal:
        """Run a script that changes messages, and enter the session in its user's index.

        Replicas are waited for in the same round trip. So is the index, if this session's user is known here.

        Args:
            make: builds the call of `append.lua` or `edit.lua`.
            how: how the session enters the index; None to leave its place there as it is.
            expected_version: the version that the session must have; None for any.
            time: the time of the write in microseconds since 1970; by default the server's.
        """
        now = b"" if time is None else b"%d" % time
        call = self.policy.calls.begin(self.keys.messages)
        try:
            shared = self.shared(token=call.token, now=now, expected_version=expected_version)
            return await self._write(make(shared), how, now)
        finally:
            self.policy.calls.end(call)

    async def _write(self, command: Command, how: How | None, now: bytes) -> Written | Refusal:
        if how is None and self.policy.restarts_ttl:
            how = "TTL"  # what restarts the session's TTL must reach the index, or it loses a session that lives on
        if self.policy.wait is not None:
            (reply,) = await self.confirmed(command)
        elif self.user is not None and how is not None:
            reply, listed = await self.send(command, self.register(self.user_name, how, now=now))
            done = answers.written(reply)
            await self.check_marks(done, listed, how, now=now)
            return done
        else:
            (reply,) = await self.send(command)
        done = answers.written(reply)
        if how is not None and isinstance(done, Written) and done.user:
            await self.enter(done, how, now=now)
        return done

    def shared(
        self,
        *,
        token: bytes = calls.NO_TOKEN,
        now: bytes = b"",
        ttl: bytes | None = None,
        expected_version: int | None = None,
    ) -> Shared:
        """Return the arguments that `append.lua` and `edit.lua` share."""
        return Shared(
            token,
            now,
            self.policy.ttl_argument if ttl is None else ttl,
            b"0" if self.policy.refresh == "never" else b"1",
            b"" if expected_version is None else b"%d" % expected_version,
            self.user_name,
            self.claim,
        )

    def register(
        self,
        user: bytes,
        how: How,
        *,
        ttl: bytes | None = None,
        now: bytes = b"",
        titled: bool = False,
        marks: bytes | None = None,
    ) -> Command:
        """Return the command that enters the session in a user's index; see `calls.register`."""
        left = self.policy.ttl_argument if ttl is None else ttl
        if ttl is None and left and not self.policy.restarts_ttl:
            left = b"+" + left  # the session may have begun with a longer one
        keys = index_keys(self.policy, user, marked=marks is not None or self.is_marked)
        return calls.register(keys, field(self.id), how, ttl=left, now=now, titled=titled, marks=marks)

    @property
    def is_marked(self) -> bool:
        """Whether this process knows that the session has marks, and that its user's index has them too."""
        return self.keys.messages in self.policy.marked

    async def check_marks(
        self, done: Written | Refusal, listed: Any, how: How, *, now: bytes = b"", titled: bool = False
    ) -> None:
        """Enter the session in its user's index again if the index has other marks than the session.

        Args:
            done: what the write answered.
            listed: what `register` answered in the same round trip: the index' marks, or a number if it did not ask.
            how: how `register` entered the session.
            now: the time of the write.
            titled: whether to tell listeners of new marks.
        """
        if isinstance(done, Written) and done.marks != (listed if isinstance(listed, bytes) else b""):
            await self.enter(done, how, now=now, titled=titled)

    async def enter(
        self, done: Written, how: How, *, ttl: bytes | None = None, now: bytes = b"", titled: bool = False
    ) -> None:
        """Enter the session in its user's index, and in the user's lists of marked sessions.

        Whoever changes marks changes the session first, then the index. So the index is right in the end if each who
        writes to it looks at the session afterwards. This takes one round trip, and more only beside other changes.

        Args:
            done: what a write to the session answered.
            how: how to enter it.
            ttl: milliseconds; by default the memory's TTL.
            now: the time of the write in microseconds since 1970; by default the server's.
            titled: whether to tell listeners that title, metadata or marks changed.
        """
        marks = done.marks
        if not marks and not self.is_marked:
            await self.run(self.register(done.user, how, ttl=ttl, now=now, titled=titled))
            return
        for _ in range(ATTEMPTS):
            entering, looking = self.marking(done.user, how, marks, ttl=ttl, now=now, titled=titled)
            _, (stored,) = await self.run(entering, looking)
            entered, marks = marks, stored or b""
            if entered == marks:
                break
        self.know_marks(entered)

    def marking(
        self,
        user: bytes,
        how: How,
        marks: bytes,
        *,
        ttl: bytes | None = None,
        now: bytes = b"",
        titled: bool = False,
    ) -> tuple[Command, Command]:
        """Return the commands that enter the session in a user's index with these marks, and then look at its own."""
        entering = self.register(user, how, ttl=ttl, now=now, titled=titled, marks=marks)
        return entering, ("HMGET", self.keys.state, b"marks")

    def know_marks(self, marks: bytes) -> None:
        """Note whether the session has marks."""
        if marks:
            self.policy.marked.add(self.keys.messages)
        else:
            self.policy.marked.discard(self.keys.messages)

    def of_anyone(self) -> Session:
        """Return the same session without a user, so that nothing checks whose it is."""
        return Session(self.transport, self.policy, self.id)


def answer_keys(session: Session) -> tuple[bytes, ...]:
    """Return the keys of calls that begin or end an answer: those of calls that write, and the stream of chunks."""
    return (*session.keys, stream_of(session.keys), *session.written_keys[3:])


def index_keys(policy: Policy, user: bytes, *, marked: bool = False) -> tuple[bytes, ...]:
    """Return the keys of a user's index for calls that write: with its log of changes if the memory publishes.

    Args:
        policy: the memory's rules.
        user: the result of `user_name`.
        marked: whether to add the keys that hold marked sessions.
    """
    keys = (user_lists if marked else user_keys)(policy.prefix, user)
    return (*keys, user_log(policy.prefix, user)) if policy.publish else keys


def sealer_of(policy: Policy, session_id: str) -> Sealer | None:
    """Return what encrypts and decrypts a session's records, or None if the memory has no keys."""
    return None if policy.encryption is None else Sealer(policy.encryption, policy.prefix, escape(session_id))
