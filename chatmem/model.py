"""What operations return. Each type is also a response model for FastAPI: see `core.jsonable`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from chatmem.core.jsonable import Message, Metadata, Text
from chatmem.errors import CorruptRecordError


@dataclass(frozen=True, slots=True)
class Appended:
    """The result of an append.

    Example: `Appended(version=1, first=0, last=1, duplicates=2)` says that both messages were stored already, at
    positions 0 and 1.

    Attributes:
        version: the session's version after the append. An append that stores nothing leaves it as it was.
        first: the lowest position of the given messages, whether this append stored them or an earlier one did. None
            if no message was given.
        last: the highest position of the given messages, or None.
        duplicates: how many of the given messages were not stored as new messages, because the session holds their
            ids. They were left out or, with `on_known_id="replace"`, took the place of the stored ones. If the session
            has seen the `idempotency_key` before, all messages are duplicates.
    """

    version: int
    first: int | None
    last: int | None
    duplicates: int


@dataclass(frozen=True, slots=True)
class Siblings:
    """The messages that follow the same message on different branches: edited questions, or answers to one question.

    Example: `Siblings(index=1, branches=(0, 2, 1))` belongs to the second of three messages ("2 of 3"). `switch(0)`
    shows the first one, and `switch(1)` the third.

    Attributes:
        index: which of them this message is, counted from 0.
        branches: for each of them, oldest first, a branch that shows it: the one written last.
    """

    index: int
    branches: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored message, with its position, id and time.

    Attributes:
        seq: the position, counted from 0. It never changes, also when earlier messages are removed.
        id: the message's own id, or None.
        created_at: when this content was stored, in UTC by the clock of the process that wrote it. None if the record
            does not say.
        message: the message, or None if the record cannot be read.
        error: why the record cannot be read, or None.
        siblings: the messages of other branches that stand in the same place, as `page` shows them; None if there are
            none.
        annotations: what `annotate` keeps beside the message, by key.
    """

    seq: int
    id: Text | None
    created_at: datetime | None
    message: Message | None
    error: CorruptRecordError | None = None
    siblings: Siblings | None = None
    annotations: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edited:
    """The result of an edit: `put`, `replace`, `delete`, `truncate` or `compact`.

    Attributes:
        version: the session's version after the edit. An edit that changes nothing leaves it as it was.
        seq: the position that the edit names or, for `put` and `compact`, the position of what it stored. None if
            there was nothing to delete.
        count: how many messages were replaced or removed.
    """

    version: int
    seq: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch of a conversation.

    Attributes:
        id: its number, counted from 0. A number is never used twice in a session.
        active: whether it is the branch that operations follow.
        after: the position of the last message that it shares with an older branch; -1 if they share none. None for
            the oldest branch.
        head: the position of its last message, or None if it shows no message.
        created_at: when it was made, in UTC.
        updated_at: when a message was last appended to it, in UTC.
    """

    id: int
    active: bool
    after: int | None
    head: int | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """A stored summary.

    Attributes:
        up_to: the position of the last message that it summarizes; None if those messages are gone.
        messages: the summary itself.
    """

    up_to: int | None
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class Switched:
    """The result of `branch` or `switch`.

    Attributes:
        version: the session's version.
        branch: the id of the branch that is active now.
    """

    version: int
    branch: int


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a session, as `History.changes` tells it.

    One write may make several changes, which carry the same version.

    Attributes:
        kind: what happened. Later releases may add kinds; read the session again if you do not know one.
            "appended": messages were added.
            "replaced": messages were replaced. After a compaction, those at the head were, and some are gone.
            "removed": messages were removed.
            "answer": an answer began; `History.follow` reads it. The version stays, unless the same step also appended.
            "branch": a branch was begun, made the active one, or deleted.
            "summary": a summary was stored. The version stays.
            "annotated": a message was annotated. The version stays.
            "title", "metadata", "marks": the title or the metadata was set, or the session was archived, pinned or
                tagged. The version stays.
            "cleared": the session was erased, or has expired.
            "reset": there were changes that are not known one by one: read the session again.
        version: the session's version after the change. Pass the last one as `after` to go on from there.
        first: the position of the first message concerned; None if there is none, or it is not known.
        last: the position of the last one, or None. A range may include messages that stayed as they were.
    """

    kind: str
    version: int
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class SessionChange:
    """A change of a user's list of sessions, as `ChatMemory.changes` tells it.

    Attributes:
        kind: what happened. Later releases may add kinds; read the list again if you do not know one.
            "written": the session was begun or written to, and comes first in the list.
            "title": the session's title or metadata was set, or it was archived, pinned or tagged.
            "removed": the session was erased, or found expired.
            "reset": there were changes that are not known one by one: read the list again.
        session_id: the session, or None for "reset".
        cursor: where this change is. Pass the last one as `after` to go on from there.
    """

    kind: str
    session_id: Text | None
    cursor: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a conversation.

    Attributes:
        entries: the messages of this page.
        next: the cursor of the next page, which `page` takes as `before` or `after`. None on the last page.
    """

    entries: list[Entry]
    next: int | None


@dataclass(frozen=True, slots=True)
class Match:
    """A message that a search found.

    Attributes:
        session_id: the session that holds the message.
        entry: the message, with its position, id and time.
        text: the text that was searched: the message's content, or its text blocks joined by line breaks.
        spans: where the words and phrases of the query occur in `text`: (start, end) offsets in characters, in order.
        score: the rank, higher is better. Scores of one search can be compared, those of two searches cannot.
    """

    session_id: Text
    entry: Entry
    text: Text
    spans: tuple[tuple[int, int], ...]
    score: float


AnswerStatus = Literal["complete", "stopped", "interrupted", "failed"]
"""How an answer ended.

"complete": its producer finished it. "stopped": somebody asked it to stop. "interrupted": its producer was cancelled or
died. "failed": its producer raised an error. Unless it is complete, the last AI message of the answer says so:
`response_metadata["answer"]`.
"""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of an answer, as `History.follow` yields it.

    Attributes:
        cursor: where this part ends. Pass the last one as `after` to go on behind it.
        messages: while the answer runs, chunks of AI messages and whole messages (results of tools), in order. Chunks
            with the same id belong to one message: add them up. In the last part, the finished messages as they are
            stored, which take the place of all parts.
        status: how the answer ended. None while it runs: only the last part has it.
    """

    cursor: str
    messages: list[Message]
    status: AnswerStatus | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that runs.

    Attributes:
        id: its id, which is that of the first message that it stores.
        started_at: when it began, in UTC by the server's clock.
        stopping: whether somebody has asked it to stop.
    """

    id: Text
    started_at: datetime
    stopping: bool


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What is known of a session without reading its messages.

    Attributes:
        session_id: the session's id.
        count: the number of messages; 0 if the session does not exist.
        version: a number that grows with every change of the messages; 0 before the first one.
        created_at: when the first message was appended, in UTC, or None.
        updated_at: when the messages were last changed, in UTC, or None.
        ttl: seconds until the session expires, or None if it does not expire.
        user: the session's owner, or None.
        title: the title that `update` set, or None.
        metadata: the metadata that `update` set.
        archived: whether the session is archived; `sessions` leaves archived sessions out unless asked for them.
        pinned: whether the session is pinned.
        tags: the session's tags, in the order in which `update` got them.
        revision: a number that stands for title, metadata and marks, and changes with them; 0 if none are set. `update`
            takes it as `expected_revision`.
        answers: the answers that run.
    """

    session_id: Text
    count: int
    version: int
    created_at: datetime | None
    updated_at: datetime | None
    ttl: float | None
    user: Text | None = None
    title: Text | None = None
    metadata: Metadata = field(default_factory=dict)
    archived: bool = False
    pinned: bool = False
    tags: tuple[Text, ...] = ()
    revision: int = 0
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionPage:
    """A page of a user's sessions.

    Attributes:
        sessions: the sessions, the one written last first unless another order was asked for.
        next: the cursor of the next page, which `sessions` takes as `before`. None on the last page.
    """

    sessions: list[SessionInfo]
    next: str | None
