"""What the scripts answer: the columns of an answer get names here, and refusals their codes."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple


class Code(IntEnum):
    """Why a script refused. The comment on each says what follows the code in the reply."""

    CONFLICT = -1  # the version that the session is at
    DUPLICATE_ID = -2  # the index of the message; 1 if its id is promised to an answer that runs
    OTHER_USER = -3
    MISSING = -4  # the message, the session or the answer that was named
    TAKEN = -5  # the index of the message whose id another message has
    TOO_MANY = -6  # how many messages may replace the others
    MOVED = -7  # where sealed records have to go
    HIDDEN = -8  # the version, then stored elements that the script cannot read
    TORN = -9  # which part is missing or foreign, then details
    LATE = -10  # the caller gave up this call before it arrived
    ACTIVE = -11  # the branch to remove is the active one
    TOO_MANY_BRANCHES = -12
    OUTDATED = -13  # the position up to which a newer summary speaks
    ANSWERING = -14  # the id of an answer that runs
    RAN_OUT = -15  # the id and the producer's token of an answer whose lease is over


class Refusal(NamedTuple):
    """A script's refusal. It changed nothing."""

    code: Code
    details: tuple[Any, ...]


class Written(NamedTuple):
    """The answer of `append.lua` and `edit.lua`."""

    version: int
    first: int
    """the position of the first message concerned, -1 for none"""
    last: int
    """the position of the last message concerned, -1 for none"""
    affected: int
    """of an append, the number of messages that were there already; of an edit, of those it changed or removed; of an
    update, the revision, 0 if it is not known"""
    user: bytes
    """the session's user as `keys.user_name` writes it, empty for none"""
    updated: bytes = b"0"
    """of an edit: the time of the write before it, in microseconds since 1970"""
    marks: bytes = b""
    """the session's marks, as `core.marks` writes them; empty for none"""


class Page(NamedTuple):
    """The answer to `page`."""

    more: int
    """1 if there are more messages in the direction that was asked for, else 0"""
    elements: list[bytes]
    first: int
    """the position of the first element"""
    version: int
    user: bytes
    edited: int
    """the version of the last change that was not an append"""
    pinned: int
    """the position before which the messages stand that a compaction put at the head"""
    before: int = -1
    """where there are several branches: the position of the message before the first element, -1 for none"""
    branches: bytes = b""
    """the branches, as `branches.lua` keeps them; empty if there is one"""
    annotations: Sequence[bytes] = ()
    """for each element its annotation, empty for none; nothing where there are none at all"""
    summarized: int = 0
    """1 if there is a summary, of whatever branch"""


class Found(NamedTuple):
    """The answer to `message`."""

    element: bytes | None = None
    annotation: bytes = b""


class Summary(NamedTuple):
    """The answer to `summary`."""

    last: int | None = None
    """the position of the last message that it speaks of, -1 if all of those are gone; None for no summary"""
    elements: Sequence[bytes] = ()


class Branches(NamedTuple):
    """The answer to `branches`."""

    branches: bytes
    """the branches, as `branches.lua` keeps them; empty if there is one"""
    last: int
    """the last position, -1 for none"""
    created: bytes
    updated: bytes
    """of the session, in microseconds since 1970; 0 if it does not exist"""


class Ends(NamedTuple):
    """The answer to `ends`: the two ends of a session."""

    length: int
    head: list[bytes]
    """the pinned messages, or else the system messages at the head"""
    first: int
    """the position of the first of the last messages"""
    last: int
    """the position of the last message"""
    edited: int
    """the version of the last change that was not an append"""
    tail: list[bytes]
    """the last messages, empty where they were not asked for"""
    summarized: int | None = None
    """the position up to which the summary speaks, -1 if all of those messages are gone; None for no summary"""
    summary: Sequence[bytes] = ()
    """the elements of the summary"""


class Info(NamedTuple):
    """The answer to `info`."""

    length: int
    fields: list[bytes | None]
    """the values of `STATE_FIELDS`"""
    ttl: int
    """milliseconds, negative for none"""
    marks: bytes | None = None
    """the state's field `marks`, None or empty where there is none"""
    answers: bytes | None = None
    """the state's field `answers`, None where there is none"""


def written(reply: list[Any]) -> Written | Refusal:
    """Return what a reply of `append.lua` or `edit.lua` says."""
    return refusal(reply) or Written(*reply)


def refusal(reply: list[Any]) -> Refusal | None:
    """Return the refusal that a script's reply is, or None where it is an answer."""
    return Refusal(Code(reply[0]), tuple(reply[1:])) if reply[0] < 0 else None


class News(NamedTuple):
    """The answer to `changes`."""

    exists: int
    """1 if the session exists, else 0"""
    version: int
    edited: int
    """the version of the last change that was not an append"""
    next: int
    """the next position"""
    unbroken: int
    """1 if the log still holds the change from which it was read, else 0"""
    newest: bytes
    """the id of the newest change in the log"""
    changes: list[tuple[bytes, bytes]]
    """ids and changes, see `publishing.lua`"""


class UserNews(NamedTuple):
    """The answer to `user_changes`."""

    unbroken: int
    """1 if the log still holds the change from which it was read, else 0"""
    newest: bytes
    """the id of the newest change in the log"""
    time: bytes
    """the time of the newest write, in microseconds since 1970"""
    changes: list[tuple[bytes, bytes]]
    """ids and changes, see `publishing.lua`"""
    written: list[tuple[bytes, bytes]]
    """sessions and their times, as the index has them"""


class Wrote(NamedTuple):
    """The answer to `write`."""

    stop: int
    """1 if somebody has asked for a stop, else 0"""


class Running(NamedTuple):
    """The answer to `follow` and `drain` while the answer runs."""

    told: int
    """of `follow`, 1 if somebody has asked for a stop, else 0; of `drain`, the number of the last batch"""
    more: int
    """1 if there are more entries, else 0"""
    last: bytes
    """the id of the last entry that was looked at"""
    entries: list[tuple[bytes, bytes, list[bytes]]]
    """for each batch its entry's id, its number, and its records"""


class Ended(NamedTuple):
    """The answer to `follow` after the end."""

    elements: list[bytes]
    """the elements of its messages"""


def following(said: list[Any]) -> Running | Ended:
    """Return what a reply to `follow` or `drain` says."""
    running, *rest = said
    return Running(*rest) if running else Ended(*rest)
