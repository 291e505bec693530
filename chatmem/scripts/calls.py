"""What each script takes, in order: the one place where Python knows it. `answers` has what comes back.

A function here builds a script's command from named arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from chatmem import scripts
from chatmem.scripts import Command
from chatmem.scripts.answers import Branches, Ends, Found, Info, News, Page, Summary, UserNews

T = TypeVar("T")

NO_TOKEN = b"0:0:0"
"""The token of calls that may run twice."""
STATE_FIELDS = (b"version", b"created", b"updated", b"user", b"title", b"metadata")
"""The fields of a session's state that `info` asks for."""


class Read(NamedTuple, Generic[T]):
    """A call of `read.lua`, and what its answer is made into."""

    command: Command
    answer: Callable[[list[Any]], T]


class Shared(NamedTuple):
    """The arguments that `append.lua` and `edit.lua` share, in their order."""

    token: bytes = NO_TOKEN
    now: bytes = b""
    """microseconds since 1970; empty for the server's time"""
    ttl: bytes = b""
    """milliseconds; empty for none"""
    restart: bytes = b"1"
    """`1` if a write restarts the TTL, else `0`"""
    expected_version: bytes = b""
    """empty for any"""
    user: bytes = b""
    """empty for no check"""
    claim: bytes = b""
    """`1` if a session without a user becomes this one's"""


class Part(NamedTuple):
    """A message as `append.lua` and `edit.lua` take it."""

    id: bytes
    digest: bytes
    record: bytes


Keys = Sequence[bytes]


def append(
    keys: Keys,
    shared: Shared,
    messages: Iterable[bytes],
    *,
    idempotency_key: bytes = b"",
    max_messages: bytes = b"",
    on_known_id: bytes = b"error",
    sealed_for: bytes = b"",
    verdicts: bytes = b"",
    removed: Sequence[bytes] = (),
    answer: bytes = b"",
) -> Command:
    """Return the command that appends messages; `append.lua` says what the arguments mean.

    The arguments of the `messages` come one after another: those of a `Part` for each.
    """
    given = (
        idempotency_key,
        max_messages,
        on_known_id,
        sealed_for,
        verdicts,
        b"%d%b" % (len(removed), answer),
        *removed,
    )
    return scripts.APPEND.call(keys, *shared, *given, *messages)


def edit(keys: Keys, shared: Shared, task: bytes, *arguments: bytes) -> Command:
    """Return the command that changes a session; `edit.lua` says which tasks there are and what they take."""
    return scripts.EDIT.call(keys, *shared, task, *arguments)


class Reads:
    """The calls of `read.lua` for one session and one caller."""

    def __init__(self, keys: Keys, user: bytes, claim: bytes) -> None:
        """Take what all of them share.

        Args:
            keys: the session's.
            user: whose session it has to be; empty for no check.
            claim: `1` if it may be nobody's.
        """
        self._keys, self._user, self._claim = keys, user, claim

    def _call(self, how: bytes, *arguments: bytes) -> Command:
        return scripts.READ.call(self._keys, self._user, self._claim, how, *arguments)

    def message(self, how: bytes, what: bytes) -> Read[Found]:
        """Return the call that reads one element, by id (`how` is `id`) or by position (`at`)."""
        return Read(self._call(how, what), lambda said: Found(*said))

    def summary(self, *, all_branches: bool = False) -> Read[Summary]:
        """Return the call that reads the stored summary, of the active branch or of whatever branch."""
        every = (b"1",) if all_branches else ()
        return Read(self._call(b"summary", *every), lambda said: Summary(*said))

    def tail(self, last: int | None) -> Read[list[bytes]]:
        """Return the call that reads the last elements, or all of them."""
        return Read(self._call(b"tail", b"" if last is None else b"%d" % last), _first)

    def ends(self, last: int, *, with_tail: bool) -> Read[Ends]:
        """Return the call that reads the head and describes, or also reads, the last elements."""
        return Read(self._call(b"window", b"%d" % last, b"1" if with_tail else b""), lambda said: Ends(*said))

    def page(
        self,
        after: int | None,
        before: int | None,
        limit: int,
        *,
        newest: bool,
        size: int | None = None,
        all_branches: bool = False,
    ) -> Read[Page]:
        """Return the call that reads elements between two positions.

        Args:
            after: the position behind which to read; None for the beginning.
            before: the position before which to read; None for the end.
            limit: how many elements to read at most.
            newest: whether to read the last of them, or the first.
            size: the number of bytes after which to stop; None for no limit.
            all_branches: whether to read the messages of all branches, or of the active one.
        """
        ends = (b"" if end is None else b"%d" % end for end in (after, before))
        most = b"" if size is None else b"%d" % size
        every = (b"1",) if all_branches else ()
        command = self._call(b"page", *ends, b"%d" % limit, b"last" if newest else b"first", most, *every)
        return Read(command, lambda said: Page(*said))

    def branches(self) -> Read[Branches]:
        """Return the call that reads which branches there are."""
        return Read(self._call(b"branches"), lambda said: Branches(*said))

    def count(self) -> Read[int]:
        """Return the call that counts the messages."""
        return Read(self._call(b"count"), _first)

    def info(self) -> Read[Info]:
        """Return the call that reads what is known of the session."""
        return Read(self._call(b"info", *STATE_FIELDS), lambda said: Info(*said))


def _first(said: list[Any]) -> Any:
    return said[0] if said else None


def heal(
    keys: Keys,
    attempt: bytes,
    step: Literal["begin", "go on", "end", "only"],
    part: bytes,
    *,
    user: bytes,
    ttl: bytes,
    times: Sequence[bytes],
    ids: Iterable[bytes],
) -> Command:
    """Return the command that rebuilds a part of a torn session; `heal.lua` says what the arguments mean."""
    return scripts.HEAL.call(keys, attempt, step.encode(), part, user, ttl, *times, *ids)


def stage_add(keys: Keys, position: int, pinned: int, copies: Iterable[bytes]) -> Command:
    """Return the command that adds messages, each an id and a record, to a session that is built aside."""
    return scripts.STAGE.call(keys, b"add", b"%d" % position, b"%d" % pinned, *copies)


def stage_annotate(keys: Keys, annotations: Iterable[tuple[int, bytes]]) -> Command:
    """Return the command that adds annotations, each a position and a text, to a session that is built aside."""
    return scripts.STAGE.call(keys, b"annotate", *(value for at, text in annotations for value in (b"%d" % at, text)))


class Extras(NamedTuple):
    """What a session that is built aside has beside messages, as `stage.lua` takes it."""

    created: bytes = b""
    updated: bytes = b""
    """of the session, in microseconds since 1970; empty for now"""
    noted: bytes = b""
    """`1` if there are annotations"""
    branches: bytes = b""
    """as `branches.lua` keeps them; empty if there is one"""
    summarized: bytes = b""
    """the position up to which the summary speaks; empty for no summary"""


def stage_commit(
    keys: Keys,
    token: bytes,
    *,
    ttl: bytes,
    user: bytes,
    idempotency_key: bytes,
    count: int,
    pinned: int,
    extras: Extras,
    summary: Sequence[bytes],
) -> Command:
    """Return the command that puts a session that was built aside in its place."""
    told = (token, ttl, user, idempotency_key, b"%d" % count, b"%d" % pinned)
    more = (*extras, *summary) if any(extras) else ()
    return scripts.STAGE.call(keys, b"commit", *told, *more)


Order = Literal["newest", "oldest"]
"""Which sessions come first, by the time of their last write."""
How = Literal["CH", "NX", "XX", "TTL"]
"""How a session enters its user's index: added or moved to now, added, moved to now, or given a TTL alone."""


def register(
    keys: Keys,
    session: bytes,
    how: How,
    *,
    ttl: bytes = b"",
    now: bytes = b"",
    titled: bool = False,
    marks: bytes | None = None,
) -> Command:
    """Return the command that enters a session in its user's index.

    Args:
        keys: the two keys of the index, or all four if the session may have marks; then the log, for callers that
            publish.
        session: its id.
        how: what to do.
        ttl: milliseconds, behind `+` if the session may have a longer one; empty for none.
        now: microseconds since 1970; empty for the server's time.
        titled: whether its title, metadata or marks changed.
        marks: the session's marks; None for those that the index has.
    """
    told = [b"1" if titled else b""] if titled or marks is not None else []
    told += [] if marks is None else [b"=" + marks]
    return scripts.USER.call(keys, b"add", now, session, ttl, how.encode(), *told)


def registered(keys: Keys, session: bytes) -> Command:
    """Return the command that reads the time at which a session was entered in its user's index."""
    return scripts.USER.call(keys, b"get", session)


def unregister(keys: Keys, sessions: Iterable[tuple[bytes, bytes]]) -> Command:
    """Return the command that takes sessions, each a time and an id, off a user's index unless their time changed.

    The answer is of how many it did so, from the first on, and 1 if the user has marked sessions left.
    """
    return scripts.USER.call(keys, b"drop", *(value for pair in sessions for value in pair))


def list_registered(
    keys: Keys, names: Sequence[bytes], after: tuple[bytes, bytes], count: int, first: Order
) -> Command:
    """Return the command that lists sessions of a user's index, from behind a time and an id on.

    Args:
        keys: the two keys of the index, or all four for a list of marked sessions.
        names: the lists, as `core.marks` names them; an empty name is the index itself.
        after: the time and the id; both empty for the beginning.
        count: how many sessions to list at most.
        first: the order.
    """
    told = () if list(names) == [b""] else names
    return scripts.USER.call(keys, b"list", *after, b"%d" % count, first.encode(), *told)


def listed(reply: list[Any], names: Sequence[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield a session's id, its time, and the list that it is in, for each that `list_registered` answers."""
    for name, part in zip(names, [reply] if list(names) == [b""] else reply, strict=True):
        for session, time in zip(part[::2], part[1::2], strict=True):
            yield session, time, name


def count_registered(keys: Keys, names: Iterable[bytes]) -> Command:
    """Return the command that counts the sessions in lists; an empty name is the index itself."""
    return scripts.USER.call(keys, b"count", *names)


def changes(keys: Keys, user: bytes, claim: bytes, *, since: bytes, after: int | None) -> Read[News]:
    """Return the call that reads what changed in a session.

    Args:
        keys: the session's, and that of its log of changes.
        user: whose session it has to be; empty for no check.
        claim: `1` if it may be nobody's.
        since: the id of the last known change; empty for none.
        after: the version that is known, if no change is.
    """
    command = scripts.CHANGES.call(keys, user, claim, since, b"" if after is None else b"%d" % after)
    return Read(command, lambda said: News(*[*said[:6], _pairs(said[6:])]))


def user_changes(keys: Keys, since: bytes, time: bytes) -> Read[UserNews]:
    """Return the call that reads what changed in a user's index.

    Args:
        keys: the index's, and that of its log of changes.
        since: the id of the last known change; empty for none.
        time: the time of the last known write.
    """

    def answer(said: list[Any]) -> UserNews:
        rest = 4 + said[3]
        return UserNews(*[*said[:3], _pairs(said[4:rest]), _pairs(said[rest:])])

    return Read(scripts.USER_CHANGES.call(keys, since, time), answer)


def _pairs(values: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(values[::2], values[1::2], strict=True))


def push(keys: Keys, command: bytes, token: bytes, ttl: bytes, elements: Iterable[bytes]) -> Command:
    """Return the command that pushes elements to a list that other programs use too."""
    return scripts.PUSH.call(keys, command, token, ttl, *elements)
